"""The first pass: who takes part, on which genes, and what the counts look like along some directions."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from unbatch import InputError
from unbatch._progress import Silent
from unbatch.io.batches import Batches
from unbatch.io.source import open_counts
from unbatch.methods.survey import active_codes, survey


def test_cells_of_small_batches_have_no_code():
    batches = Batches(np.array([0, 1, 0, 2, 2], dtype=np.int32), ("a", "b", "c"), min_cells=2)
    assert active_codes(batches).tolist() == [0, -1, 0, 2, 2]
    assert active_codes(batches).dtype == np.int32


def test_cells_whose_projection_is_nothing_have_no_code():
    batches = Batches(np.array([0, 1, 0, 1, 2], dtype=np.int32), ("a", "b", "c"), min_cells=2)
    projected = np.array([[0.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    codes = active_codes(batches, projected)
    assert codes.tolist() == [-1, 1, 0, 1, -1]
    assert codes.dtype == np.int32


def test_survey_projects_every_cell():
    rng = np.random.default_rng(1)
    counts = rng.poisson(1.0, (50, 8)).astype(np.float32)
    basis = rng.standard_normal((8, 3))
    values = survey(open_counts(ad.AnnData(sparse.csr_matrix(counts))), basis, progress=Silent())
    np.testing.assert_allclose(values, counts.astype(float) @ basis, rtol=1e-12)


def test_survey_checks_at_the_door():
    counts = np.ones((4, 3), dtype=np.float32)
    counts[2, 1] = -1
    with pytest.raises(InputError, match="1 negative"):
        survey(open_counts(ad.AnnData(counts)), np.ones((3, 1)), progress=Silent())
