"""Dispersion that grows with the mean: found where it was put, and none where there is none."""

import numpy as np
import pytest

from unbatch.core.growing_dispersion import dispersion_of_sums, growth_of


def sums(growth, *, seed=0, n_cells=60):
    """Sums of 200 genes by 6 states and 3 batches of negative binomial counts: of Y, of Y^2 / l and of l."""
    rng = np.random.default_rng(seed)
    rate, sizes = rng.lognormal(1.5, 0.7, (200, 6, 3)), rng.lognormal(0, 0.4, (6, 3, n_cells))
    mean = rate[..., None] * sizes
    spread = rng.gamma(1 / growth, growth, mean.shape) if growth else 1.0
    counts = rng.poisson(mean * spread)
    expected = rate * sizes.sum(axis=2)
    return counts.sum(axis=3), (counts**2 / sizes).sum(axis=3), expected, sizes


@pytest.mark.parametrize("growth", [0.0, 0.3, 1.0])
def test_the_growth_is_that_of_the_cells_and_sums_vary_as_it_says(growth):
    counts, squares, expected, sizes = sums(growth)
    exposure, cells = sizes.sum(axis=2), np.full((6, 3), sizes.shape[2])
    found = growth_of(counts, squares, expected, exposure=exposure, cells=cells)
    assert np.mean(found) == pytest.approx(growth, abs=0.03)
    dispersion = dispersion_of_sums(
        np.ones(200), found, expected, exposure=exposure, squared_sizes=(sizes**2).sum(axis=2)
    )
    assert np.mean((counts - expected) ** 2 / (expected * dispersion)) == pytest.approx(1, rel=0.12)
    loud = expected > np.quantile(expected, 0.9)
    assert np.mean(((counts - expected) ** 2 / (expected * dispersion))[loud]) == pytest.approx(1, rel=0.2)


def test_nothing_expected_says_nothing():
    zero, one = np.zeros((5, 2, 3)), np.ones((2, 3))
    assert growth_of(zero, zero, zero, exposure=0 * one, cells=one).tolist() == [0] * 5
    found = dispersion_of_sums(np.full(5, 2.0), np.ones(5), zero, exposure=0 * one, squared_sizes=0 * one)
    assert (found == 2).all()


def test_where_cells_vary_alike_at_any_mean_the_usual_dispersion_holds():
    found = dispersion_of_sums(
        np.array([3.0]),
        np.array([0.1]),
        np.array([[[1.0, 100.0]]]),
        exposure=np.ones((1, 2)),
        squared_sizes=np.ones((1, 2)),
    )
    assert found.tolist() == [[[3.0, 11.0]]]
