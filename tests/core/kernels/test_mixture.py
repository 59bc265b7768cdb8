"""What the leaves find equals dense algebra over all genes and widths, compiled or not."""

import numpy as np
import pytest
from scipy import stats

from unbatch.core.kernels.mixture import moments, update_shares, weigh_widths

N_GENES = 40
WIDTH2 = np.array([0.01, 0.25, 4.0])


@pytest.fixture
def effects():
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.05, 0.5, N_GENES)
    truth = np.where(rng.random(N_GENES) < 0.3, 2.0, 0.1) * rng.standard_normal(N_GENES)
    known = np.ones(N_GENES, dtype=bool)
    known[[3, 7]] = False
    return truth + np.sqrt(variance) * rng.standard_normal(N_GENES), variance, known


def densities(observed, variance):
    return stats.norm.pdf(observed[:, None], scale=np.sqrt(WIDTH2 + variance[:, None]))


def likelihood_of(effects, weigh=weigh_widths):
    likelihood = np.empty((N_GENES, len(WIDTH2)))
    weigh(*effects, WIDTH2, likelihood)
    return likelihood


@pytest.mark.parametrize("weigh", [weigh_widths, weigh_widths.py_func])
def test_likelihoods_are_those_of_normal_effects_with_normal_errors(effects, weigh):
    observed, variance, known = effects
    likelihood, expected = likelihood_of(effects, weigh), densities(observed, variance)
    np.testing.assert_allclose(likelihood[known], (expected / expected.max(axis=1, keepdims=True))[known])
    assert not likelihood[~known].any()


@pytest.mark.parametrize("update", [update_shares, update_shares.py_func])
def test_shares_are_where_expectation_maximisation_stays(effects, update):
    likelihood, share, prior = likelihood_of(effects), np.full(3, 1 / 3), np.array([1.0, 5.0, 1.0])
    update(likelihood, prior, 5000, 1e-14, np.empty(3), share)
    assert share.sum() == pytest.approx(1)
    posterior = likelihood[effects[2]] * share
    posterior /= posterior.sum(axis=1, keepdims=True)
    again = posterior.sum(axis=0) + prior
    np.testing.assert_allclose(share, again / again.sum(), atol=1e-10)


def test_updates_end_when_shares_stay(effects):
    likelihood, one, many = likelihood_of(effects), np.full(3, 1 / 3), np.full(3, 1 / 3)
    update_shares(likelihood, np.ones(3), 1, 0.0, np.empty(3), one)
    update_shares(likelihood, np.ones(3), 50, 1.0, np.empty(3), many)
    np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("find", [moments, moments.py_func])
def test_moments_are_those_of_the_mixture(effects, find):
    observed, variance, known = effects
    share, kept, spread = np.array([0.5, 0.3, 0.2]), np.empty(N_GENES), np.empty(N_GENES)
    find(observed, variance, WIDTH2, likelihood_of(effects), share, kept, spread)
    for gene in range(N_GENES):
        weight = share * densities(observed, variance)[gene] if known[gene] else share
        grid = np.linspace(-12, 12, 20001)
        prior = (share * stats.norm.pdf(grid[:, None], scale=np.sqrt(WIDTH2))).sum(axis=1)
        if known[gene]:
            density = prior * stats.norm.pdf(observed[gene], loc=grid, scale=np.sqrt(variance[gene]))
            mean = (grid * density).sum() / density.sum()
            assert kept[gene] * observed[gene] == pytest.approx(mean, rel=1e-6)
            assert spread[gene] == pytest.approx((grid**2 * density).sum() / density.sum() - mean**2, rel=1e-6)
        else:
            np.testing.assert_allclose(kept[gene], (weight * WIDTH2 / (WIDTH2 + variance[gene])).sum())
