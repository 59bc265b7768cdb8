"""The median that the convention takes off is one of estimates: their errors are in it."""

import numpy as np
import pytest

from unbatch.core.common_level import errors_with_level
from unbatch.core.convention import weighted_median


def drawn(n_genes, *, seed=0, n_draws=4000):
    """Truths, their estimates (n_draws, n_genes), errors and weights."""
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(sigma=1.0, size=n_genes)
    se = 0.1 / np.sqrt(weights)
    truth = 0.5 * rng.standard_normal((n_draws, n_genes))
    return truth, truth + se * rng.standard_normal(truth.shape), se, weights


@pytest.mark.parametrize("n_genes", [10, 30, 100])
def test_errors_are_those_of_effects_less_their_median(n_genes):
    truth, seen, se, weights = drawn(n_genes)

    def centred(values):
        return values - np.array([weighted_median(row, weights) for row in values])[:, None]

    found = errors_with_level(seen.T, np.tile(se[:, None], len(seen)), weights).T
    z2 = ((centred(seen) - centred(truth)) / found) ** 2
    assert 0.7 < z2.mean() < 1.1
    assert (((centred(seen) - centred(truth)) / se) ** 2).mean() > 1.05 * z2.mean()


def test_among_thousands_of_genes_nothing_changes():
    rng = np.random.default_rng(0)
    se = rng.uniform(0.05, 0.3, (5000, 3))
    found = errors_with_level(0.3 * rng.standard_normal(se.shape), se, np.ones(5000))
    np.testing.assert_allclose(found, se, rtol=0.01)
    assert (found > 0.99 * se).all()


def test_it_is_common_to_all_genes():
    log_delta, se = np.array([[0.5], [0.0], [-0.5]]), np.full((3, 1), 0.1)
    found = errors_with_level(log_delta, se, np.array([1.0, 5.0, 1.0]))
    np.testing.assert_allclose(found, found[0, 0])
    assert 0.14 < found[0, 0] < 0.2


def test_what_is_not_known_stays_unknown_and_tells_nothing():
    log_delta, se = np.array([[0.5], [0.1], [-0.5], [9.0]]), np.array([[0.1], [0.2], [0.1], [np.inf]])
    found = errors_with_level(log_delta, se, np.array([1.0, 1.0, 1.0, 100.0]))
    assert np.isinf(found[3, 0])
    np.testing.assert_array_equal(found[:3], errors_with_level(log_delta[:3], se[:3], np.ones(3)))
    np.testing.assert_array_equal(errors_with_level(log_delta, se, np.zeros(4)), se)
