"""What the result says of itself holds for the numbers in it."""

import numpy as np
import pytest

import unbatch as ub
from unbatch.core.convention import weighted_median
from unbatch.fitted import CONVENTION


@pytest.fixture(scope="module", params=[2, 5])
def medians(request):
    adata = ub.simulate(n_cells=200, n_genes=60, n_batches=request.param, seed=7)
    fit = ub.BatchModel().fit(adata.X, adata.obs["batch"]).result
    assert np.abs(fit.log_delta.mean(axis=1)).max() < 1e-12
    weights = np.asarray(adata.X.sum(axis=0)).ravel()
    return [weighted_median(fit.log_delta[:, batch], weights) for batch in range(request.param)]


def test_the_convention_promised_medians_of_0_where_they_can_only_be_equal(medians):
    assert "the same for every batch, with two batches 0" in CONVENTION
    assert np.ptp(medians) < 1e-9
    assert (np.abs(medians[0]) < 1e-9) == (len(medians) == 2)
