"""Where batches are many, modes and errors of genes are found among states: they are those found among batches."""

import numpy as np
import pytest

from unbatch.core.correlation import Correlation
from unbatch.core.kernels import newton, wide_newton

N_GENES, N_STATES, N_BATCHES = 25, 5, 30


@pytest.fixture(params=["one for all", "by state", "by gene and state"])
def factor(request):
    shape = {"one for all": (1, 1), "by state": (1, N_STATES), "by gene and state": (N_GENES, N_STATES)}[request.param]
    return np.exp(0.3 * np.random.default_rng(1).standard_normal((*shape, N_BATCHES)))


@pytest.fixture(params=[0, 1, 3])
def prior(request):
    rng = np.random.default_rng(2)
    loadings = rng.normal(0, 0.5, (N_BATCHES, request.param))
    return Correlation.of_loadings(loadings * np.sqrt(0.9 / np.maximum(np.square(loadings).sum(axis=1), 0.9))[:, None])


@pytest.fixture
def sums(factor):
    rng = np.random.default_rng(0)
    exposure = rng.uniform(5, 50, (N_STATES, N_BATCHES)) * (rng.random((N_STATES, N_BATCHES)) < 0.6)
    mean = exposure * factor * np.exp(0.5 * rng.standard_normal((N_GENES, 1, N_BATCHES)))
    counts = rng.poisson(mean * np.exp(2 * rng.standard_normal((N_GENES, N_STATES, 1)))).astype(float)
    counts[3] = 0
    return counts.sum(axis=2), counts.sum(axis=1), exposure


PER_WIDTH = np.random.default_rng(3).uniform(1, 3, (N_GENES, N_BATCHES))
DISPERSION = np.random.default_rng(4).uniform(1, 3, N_GENES)


def wide_room(n_common):
    n_rows = N_STATES + n_common
    return np.empty((4, N_BATCHES)), np.empty((n_rows, N_BATCHES)), np.empty((n_rows, n_rows)), np.empty(n_rows)


def dense_room():
    return np.empty((5, N_BATCHES)), np.empty((N_BATCHES, N_BATCHES)), np.empty((N_BATCHES, N_BATCHES))


def wide_modes(sums, factor, prior, steps):
    by_state, by_batch, exposure = sums
    unique, common = prior.inverse()
    work, rows, matrix, small = wide_room(len(common))
    found, variance = np.full((2, N_GENES, N_BATCHES), 0.1)
    model = (by_state, by_batch, exposure, factor, DISPERSION, PER_WIDTH, unique, common)
    wide_newton.find_wide_modes(*model, steps, work, rows, np.empty_like(rows), matrix, small, found, variance)
    return found, variance


def dense_modes(sums, factor, prior, steps):
    by_state, by_batch, exposure = sums
    found, variance = np.full((2, N_GENES, N_BATCHES), 0.1)
    model = (by_state, by_batch, exposure, factor, DISPERSION, PER_WIDTH, np.linalg.inv(prior.matrix))
    newton.find_modes(*model, steps, *dense_room(), found, variance)
    return found, variance


def test_modes_and_variances_are_those_found_among_batches(sums, factor, prior):
    steps = (50, 1.0, 1e-6, 1e-9)
    found, variance = wide_modes(sums, factor, prior, steps)
    expected, expected_variance = dense_modes(sums, factor, prior, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-9)
    np.testing.assert_array_equal(found[3], 0)
    assert np.abs(found).max() > 0.5


def test_variances_that_may_be_a_little_off_change_the_mode_by_no_more_than_its_tolerance(sums, factor, prior):
    exact, variance = wide_modes(sums, factor, prior, (50, 1.0, 1e-6, 1e-9))
    rough, alike = wide_modes(sums, factor, prior, (50, 1.0, 1e-6, 0.03))
    assert (rough != exact).any()
    np.testing.assert_allclose(rough, exact, atol=1e-6)
    np.testing.assert_allclose(alike, variance, rtol=0.05)


@pytest.mark.parametrize("alike", [True, False])
def test_errors_are_those_found_among_batches(sums, factor, prior, alike):
    by_state, _, exposure = sums
    share = np.random.default_rng(1).dirichlet(np.ones(N_BATCHES), 1 if alike else N_GENES)
    at = np.random.default_rng(5).normal(0, 0.5, (N_GENES, N_BATCHES))
    model = (by_state, exposure, factor, DISPERSION, PER_WIDTH)
    unique, common = prior.inverse()
    se, expected = np.zeros((2, N_GENES, N_BATCHES))
    wide_newton.find_wide_errors(*model, unique, common, share, at, *wide_room(len(common))[:3], se)
    newton.find_errors(*model, np.linalg.inv(prior.matrix), share, at, *dense_room(), expected)
    np.testing.assert_allclose(se, expected, rtol=1e-9)
    assert (se > 0).all()


def test_more_counts_than_numbers_tell_apart_from_a_prior_leave_no_number_that_is_none():
    rng = np.random.default_rng(0)
    share, steps = np.full((1, N_BATCHES), 1 / N_BATCHES), (50, 1.0, 1e-6, 1e-9)
    for _ in range(20):
        exposure = rng.uniform(1, 10, (1, N_BATCHES))
        by_state, by_batch = np.full((1, 1), 1e19), 1e19 * exposure / exposure.sum()
        prior = (np.ones((1, N_BATCHES)), np.ones(N_BATCHES), np.zeros((0, N_BATCHES)))
        model = (exposure, np.ones((1, 1, N_BATCHES)), np.ones(1), *prior)
        found, variance, se = np.zeros((3, 1, N_BATCHES))
        work, rows, matrix, small = wide_room(0)
        room = (work, rows, rows.copy(), matrix, small)
        wide_newton.find_wide_modes(by_state, by_batch, *model, steps, *room, found, variance)
        wide_newton.find_wide_errors(by_state, *model, share, found, work, rows, matrix, se)
        assert np.isfinite([found, variance, se]).all()
        assert np.abs(found).max() < 50


def test_many_counts_against_a_wide_prior_leave_a_curvature_that_can_be_inverted():
    """What all batches have in common is told by the prior alone: one part in 10^12 of the curvature here."""
    by_state, exposure = np.full((1, 1), 1e12), np.ones((1, N_BATCHES))
    by_batch = np.full((1, N_BATCHES), 1e12 / N_BATCHES)
    found, variance = np.zeros((2, 1, N_BATCHES))
    work, rows, matrix, small = wide_room(0)
    given = (by_state, by_batch, exposure, np.ones((1, 1, N_BATCHES)), np.ones(1), np.full((1, N_BATCHES), 1.0))
    prior = (np.ones(N_BATCHES), np.zeros((0, N_BATCHES)))
    steps = (50, 1.0, 1e-6, 1e-9)
    wide_newton.find_wide_modes(*given, *prior, steps, work, rows, rows.copy(), matrix, small, found, variance)
    np.testing.assert_allclose(found, 0, atol=1e-6)
    np.testing.assert_allclose(variance, 1 / N_BATCHES, rtol=0.01)
