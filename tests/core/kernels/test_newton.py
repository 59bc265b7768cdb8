"""Modes and errors of genes equal what dense algebra over all genes at once gives."""

import numpy as np
import pytest

from unbatch.core.kernels.newton import find_errors, find_information, find_modes, sum_posteriors

N_GENES, N_STATES, N_BATCHES = 30, 6, 4


@pytest.fixture(params=["one for all", "by state", "by gene and state"])
def problem(request):
    rng = np.random.default_rng(0)
    exposure = rng.uniform(5, 50, (N_STATES, N_BATCHES)) * (rng.random((N_STATES, N_BATCHES)) < 0.8)
    shape = {"one for all": (1, 1), "by state": (1, N_STATES), "by gene and state": (N_GENES, N_STATES)}[request.param]
    factor = np.exp(0.3 * rng.standard_normal((*shape, N_BATCHES)))
    mean = exposure * factor * np.exp(0.5 * rng.standard_normal((N_GENES, 1, N_BATCHES)))
    counts = rng.poisson(mean * np.exp(rng.standard_normal((N_GENES, N_STATES, 1)))).astype(float)
    counts[3] = 0
    coupling = np.linalg.inv(np.corrcoef(rng.standard_normal((N_BATCHES, 2 * N_BATCHES))))
    return counts, exposure, factor, rng.uniform(1, 3, N_GENES), rng.uniform(1, 3, (N_GENES, N_BATCHES)), coupling


def derivatives(problem, log_delta):
    """Gradient and curvature of the log-posterior of all genes."""
    counts, exposure, factor, dispersion, per_width, coupling = problem
    weight = exposure * factor * np.exp(log_delta)[:, None, :]
    share = weight / np.maximum(weight.sum(axis=2, keepdims=True), 1e-300)
    total = counts.sum(axis=2)
    expected = np.einsum("gs,gsk->gk", total, share)
    information = np.einsum("gk,km->gkm", expected, np.eye(N_BATCHES)) - np.einsum(
        "gs,gsk,gsm->gkm", total, share, share
    )
    precision = per_width[:, :, None] * coupling * per_width[:, None, :]
    gradient = (counts.sum(axis=1) - expected) / dispersion[:, None] - np.einsum("gkm,gm->gk", precision, log_delta)
    return gradient, information / dispersion[:, None, None] + precision


def scratch():
    return np.empty((5, N_BATCHES)), np.empty((N_BATCHES, N_BATCHES)), np.empty((N_BATCHES, N_BATCHES))


def modes(problem, *, same=1e-9):
    counts, exposure, factor, dispersion, per_width, coupling = problem
    work, hessian, inverse = scratch()
    found, variance = np.full((2, N_GENES, N_BATCHES), 0.1)
    steps = (50, 1.0, 1e-6, same)
    sums = (counts.sum(axis=2), counts.sum(axis=1))
    model = (exposure, factor, dispersion, per_width, coupling)
    find_modes(*sums, *model, steps, work, hessian, inverse, found, variance)
    return found, variance


def test_at_the_mode_the_gradient_is_zero_and_variances_are_those_of_the_curvature(problem):
    found, variance = modes(problem)
    gradient, curvature = derivatives(problem, found)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    np.testing.assert_allclose(variance, np.linalg.inv(curvature).diagonal(axis1=1, axis2=2), rtol=1e-8)
    np.testing.assert_array_equal(found[3], 0)


def test_variances_that_may_be_a_little_off_change_the_mode_by_no_more_than_its_tolerance(problem):
    (found, variance), (rough, alike) = modes(problem), modes(problem, same=0.03)
    assert (rough != found).any()
    np.testing.assert_allclose(rough, found, atol=1e-6)
    np.testing.assert_allclose(alike, variance, rtol=0.05)


@pytest.mark.parametrize("alike", [True, False])
def test_errors_are_those_of_what_is_left_without_the_mean(problem, alike):
    counts, exposure, factor, dispersion, per_width, coupling = problem
    share = np.random.default_rng(1).dirichlet(np.ones(N_BATCHES), 1 if alike else N_GENES)
    found, _ = modes(problem)
    se, (work, hessian, inverse) = np.zeros((N_GENES, N_BATCHES)), scratch()
    sums = counts.sum(axis=2)
    model = (exposure, factor, dispersion, per_width, coupling)
    find_errors(sums, *model, share, found, work, hessian, inverse, se)
    covariance = np.linalg.inv(derivatives(problem, found)[1])
    off = np.eye(N_BATCHES) - np.broadcast_to(share, found.shape)[:, None, :]
    expected = np.einsum("gik,gkm,gim->gi", off, covariance, off)
    np.testing.assert_allclose(se, np.sqrt(expected), rtol=1e-9)


def test_the_unit_of_size_factors_does_not_matter(problem):
    counts, exposure, *rest = problem
    for found, expected in zip(modes((counts, 1e-6 * exposure, *rest)), modes(problem), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_without_the_compiler_nothing_is_read_beyond_an_array(problem):
    counts, exposure, factor, dispersion, per_width, coupling = problem
    found, variance = modes(problem)
    plain, se = np.full((2, N_GENES, N_BATCHES), 0.1), np.zeros((2, N_GENES, N_BATCHES))
    work, hessian, inverse = scratch()
    sums, steps = (counts.sum(axis=2), counts.sum(axis=1)), (50, 1.0, 1e-6, 1e-9)
    model = (exposure, factor, dispersion, per_width, coupling)
    find_modes.py_func(*sums, *model, steps, work, hessian, inverse, *plain)
    np.testing.assert_allclose(plain, [found, variance], rtol=1e-12)
    share = np.full((1, N_BATCHES), 1 / N_BATCHES)
    for find, out in zip((find_errors, find_errors.py_func), se, strict=True):
        find(sums[0], *model, share, found, work, hessian, inverse, out)
    np.testing.assert_allclose(se[0], se[1], rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2])
def test_a_few_genes_by_themselves_give_what_they_give_among_all(problem, n):
    counts, exposure, factor, dispersion, per_width, coupling = problem
    found, variance = modes(problem)
    some = slice(5, 5 + n)
    of_some = factor[some] if len(factor) > 1 else factor
    work, hessian, inverse = scratch()
    (mine, spread), se = np.full((2, n, N_BATCHES), 0.1), np.zeros((2, N_GENES, N_BATCHES))
    sums, steps = (counts.sum(axis=2), counts.sum(axis=1)), (50, 1.0, 1e-6, 1e-9)
    model = (exposure, of_some, dispersion[some], per_width[some], coupling)
    find_modes(sums[0][some], sums[1][some], *model, steps, work, hessian, inverse, mine, spread)
    np.testing.assert_array_equal(mine, found[some])
    np.testing.assert_array_equal(spread, variance[some])
    share = np.random.default_rng(1).dirichlet(np.ones(N_BATCHES), N_GENES)
    whole = (exposure, factor, dispersion, per_width, coupling, share, found, work, hessian, inverse, se[0])
    find_errors(sums[0], *whole)
    find_errors(sums[0][some], *model, share[some], mine, work, hessian, inverse, se[1][some])
    np.testing.assert_array_equal(se[1][some], se[0][some])


def information(problem, log_delta):
    counts, exposure, factor, dispersion, _, _ = problem
    curvature, pull = np.zeros((N_GENES, N_BATCHES, N_BATCHES)), np.zeros((N_GENES, N_BATCHES))
    no_prior = np.zeros(N_BATCHES), np.zeros((N_BATCHES, N_BATCHES))
    sums = (counts.sum(axis=2), counts.sum(axis=1))
    out = (scratch()[0], curvature, pull)
    find_information(*sums, exposure, factor, dispersion, log_delta, *no_prior, *out)
    return curvature, pull


def test_what_counts_tell_is_the_curvature_without_a_prior_and_pulls_to_the_mode(problem):
    found, _ = modes(problem)
    *data, per_width, coupling = problem
    curvature, pull = information(problem, found)
    _, expected = derivatives((*data, 0 * per_width, coupling), found)
    np.testing.assert_allclose(curvature, expected, atol=1e-9)
    precision = per_width[:, :, None] * coupling * per_width[:, None, :]
    np.testing.assert_allclose(np.linalg.solve(curvature + precision, pull[:, :, None])[:, :, 0], found, atol=1e-6)


def test_second_moments_are_those_of_the_posterior(problem):
    found, _ = modes(problem)
    coupling = problem[-1]
    curvature, pull = information(problem, found)
    covariance = np.linalg.inv(curvature + coupling)
    mean = np.einsum("gkm,gm->gk", covariance, pull)
    expected = covariance + mean[:, :, None] * mean[:, None, :]
    for find in (sum_posteriors, sum_posteriors.py_func):
        second, told = np.full((N_BATCHES, N_BATCHES), 7.0), np.zeros((N_GENES, N_BATCHES))
        _, hessian, inverse = scratch()
        find(curvature, pull, coupling, np.empty(N_BATCHES), hessian, inverse, second, told)
        np.testing.assert_allclose(second, expected.sum(axis=0), rtol=1e-9)
        np.testing.assert_allclose(told, 1 - covariance.diagonal(axis1=1, axis2=2), atol=1e-9)
