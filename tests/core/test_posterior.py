"""Effects of many batches, found among states, are those of the model, in any number of threads."""

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads

from unbatch.core.correlation import MANY_BATCHES, Correlation
from unbatch.core.posterior import SharedOut

N_GENES, N_STATES, N_BATCHES = 300, 6, 70


@pytest.fixture(scope="module")
def shared():
    rng = np.random.default_rng(0)
    exposure = rng.uniform(5, 50, (N_STATES, N_BATCHES))
    mean = exposure * np.exp(0.5 * rng.standard_normal((N_GENES, 1, N_BATCHES)))
    counts = rng.poisson(mean * np.exp(rng.standard_normal((N_GENES, N_STATES, 1)))).astype(float)
    return SharedOut(
        counts.sum(axis=2), counts.sum(axis=1), exposure, np.ones((1, 1, N_BATCHES)), rng.uniform(1, 3, N_GENES)
    )


@pytest.fixture(scope="module")
def prior():
    return Correlation.of_loadings(np.random.default_rng(1).uniform(-0.6, 0.6, (N_BATCHES, 2)))


NOTHING, WIDTH = np.zeros((N_GENES, N_BATCHES)), np.random.default_rng(2).uniform(0.2, 1, (N_GENES, N_BATCHES))


def test_a_prior_of_loadings_and_its_matrix_give_the_same(shared, prior):
    assert N_BATCHES > MANY_BATCHES
    matrix = Correlation(prior.matrix)
    modes, variance = shared.modes(NOTHING, WIDTH, prior)
    expected = shared.modes(NOTHING, WIDTH, matrix)
    np.testing.assert_allclose(modes, expected[0], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-8)
    known = np.random.default_rng(3).random((N_GENES, N_BATCHES)) < 0.9
    se, dense = (shared.standard_errors(modes, WIDTH, which, known=known) for which in (prior, matrix))
    np.testing.assert_allclose(se, dense, rtol=1e-8)
    assert prior.penalty(modes) == pytest.approx(matrix.penalty(modes), rel=1e-9)


def test_by_default_effects_have_nothing_to_do_with_each_other(shared):
    expected = shared.modes(NOTHING, WIDTH, Correlation(np.eye(N_BATCHES)))[0]
    np.testing.assert_allclose(shared.modes(NOTHING, WIDTH)[0], expected, rtol=1e-8, atol=1e-9)


def test_threads_change_no_bit(shared, prior):
    before, found = get_num_threads(), []
    try:
        for n_threads in (1, 2):
            set_num_threads(min(n_threads, before))
            modes, variance = shared.modes(NOTHING, WIDTH, prior)
            se = shared.standard_errors(modes, WIDTH, prior, known=np.ones((1, N_BATCHES), dtype=bool))
            found.append(np.stack([modes, variance, se]))
    finally:
        set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_a_prior_among_others_and_joined_keeps_what_it_is():
    first, second = (Correlation.of_loadings(np.full((n, 1), 0.5)) for n in (3, 4))
    batches = np.array([True, False, True, False, False, True, False])
    both = first.among(batches).joined(second.among(~batches), ~batches)
    expected = np.where(np.equal.outer(batches, batches), 0.25, 0.0)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_array_equal(both.matrix, expected)
    np.testing.assert_array_equal(both.of_batches(batches).matrix, first.matrix)
