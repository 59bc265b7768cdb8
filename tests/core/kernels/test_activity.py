"""Poisson regression of one cell ends where the conditions of a maximum hold."""

import numpy as np
import pytest

from unbatch.core.kernels.activity import fit_activity


@pytest.mark.parametrize("n_factors", [1, 3, 12])
def test_the_conditions_of_a_maximum_hold(n_factors):
    rng = np.random.default_rng(n_factors)
    n_genes = 80
    beta, expected = rng.gamma(0.3, size=(n_genes, n_factors)) + 1e-9, rng.uniform(0.5, 2, (1, n_factors))
    counts = rng.poisson(rng.gamma(0.5, 6, n_genes)).astype(float)
    used = np.flatnonzero(counts).astype(np.int32)
    theta, gap = np.ones((1, n_factors)), np.empty(1)
    fit_activity(
        counts[used],
        used,
        np.array([0, used.size]),
        np.zeros(1, dtype=np.int32),
        beta,
        expected,
        1e-8,
        200,
        np.empty(used.size + 1),
        np.empty((used.size + 1, n_factors)),
        np.empty(used.size + 1),
        np.empty((4, n_factors)),
        np.empty(n_factors, dtype=np.int64),
        np.empty((n_factors, n_factors)),
        theta,
        gap,
    )
    slope = (counts / (beta @ theta[0])) @ beta / expected[0]
    assert gap[0] <= 1e-8
    assert (slope <= 1 + 1e-9).all()
    np.testing.assert_allclose(slope[theta[0] > 1e-9], 1, atol=1e-5)
