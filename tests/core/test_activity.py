"""Activities of cells: the maximum of the likelihood, by another way and by its own conditions, in any split."""

import numba
import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

from unbatch.core.activity import TOLERANCE, expected_by_batch, fit_cells, proportions


@pytest.fixture(scope="module")
def problem():
    """300 genes, 4 factors, 2 batches, 60 cells of which the first has no counts."""
    rng = np.random.default_rng(4)
    beta = rng.gamma(0.5, size=(300, 4)) + 1e-6
    beta /= beta.sum(axis=0)
    delta = np.exp(rng.normal(0, 1.2, (300, 2)))
    batch = rng.integers(0, 2, 60).astype(np.int32)
    theta = rng.dirichlet(np.full(4, 0.4), 60) * rng.integers(200, 3000, 60)[:, None]
    theta[0] = 0
    counts = rng.poisson((theta @ beta.T) * delta.T[batch]).astype(np.float64)
    return beta, delta, batch, theta, counts


def fitted(problem, **options):
    beta, delta, batch, _, counts = problem
    given = {"batch": batch, "beta": beta, "expected": expected_by_batch(beta, delta), **options}
    return fit_cells(sparse.csr_array(counts), **given)


def objective(theta, counts, beta, expected):
    """Expected counts less log-likelihood, of one cell."""
    used = counts > 0
    return theta @ expected - counts[used] @ np.log(beta[used] @ theta)


def test_a_cell_is_as_likely_as_a_general_optimiser_makes_it(problem):
    beta, delta, batch, _, counts = problem
    expected = expected_by_batch(beta, delta)
    found = fitted(problem)
    for cell in range(1, 12):
        given = counts[cell], beta, expected[batch[cell]]
        start = np.full(4, counts[cell].sum() / 4)
        best = minimize(objective, start, args=given, bounds=[(1e-9, None)] * 4, method="L-BFGS-B", tol=1e-12)
        assert objective(found.theta[cell], *given) <= best.fun + TOLERANCE


def test_counts_that_no_factor_explains_are_left_out(problem):
    beta, delta, batch, _, counts = problem
    more = np.vstack([beta, np.zeros((1, 4))]), np.vstack([delta, np.ones((1, 2))])
    unexplained = np.hstack([counts, np.full((60, 1), 5.0)])
    found = fitted((*more, batch, None, unexplained))
    np.testing.assert_array_equal(found.theta, fitted(problem).theta)
    assert np.isfinite(found.gap).all()


def test_the_gap_bounds_what_is_lacking_and_meets_the_tolerance(problem):
    beta, delta, batch, _, counts = problem
    expected = expected_by_batch(beta, delta)
    exact = fitted(problem, tol=1e-9)
    for options in ({}, {"max_iter": 3}, {"tol": 0.5}):
        rough = fitted(problem, **options)
        for cell in range(1, 60):
            given = counts[cell], beta, expected[batch[cell]]
            lacking = objective(rough.theta[cell], *given) - objective(exact.theta[cell], *given)
            assert -1e-8 <= lacking <= rough.gap[cell] + 1e-8
    assert fitted(problem).gap.max() <= TOLERANCE
    assert fitted(problem, max_iter=3).gap.max() > TOLERANCE


def test_planted_activities_are_found(problem):
    truth = proportions(problem[3])
    found = proportions(fitted(problem).theta)
    ignoring = proportions(fitted((problem[0], np.ones_like(problem[1]), *problem[2:])).theta)
    assert np.corrcoef(found[1:].ravel(), truth[1:].ravel())[0, 1] > 0.98
    assert np.abs(found - truth).mean() < 0.7 * np.abs(ignoring - truth).mean()


def test_expected_counts_are_those_observed_and_none_is_negative(problem):
    beta, delta, batch, _, counts = problem
    theta = fitted(problem).theta
    assert (theta >= 0).all()
    assert (theta == 0).any()
    expected = (theta * expected_by_batch(beta, delta)[batch]).sum(axis=1)
    np.testing.assert_allclose(expected, counts.sum(axis=1), rtol=1e-12)


def test_a_cell_without_counts_has_no_activities(problem):
    found = fitted(problem)
    assert not found.theta[0].any()
    assert found.gap[0] == 0
    shares = proportions(found.theta)
    assert not shares[0].any()
    np.testing.assert_allclose(shares[1:].sum(axis=1), 1)


def test_genes_that_are_not_measured_say_nothing(problem):
    beta, delta, batch, _, counts = problem
    measured = np.ones_like(delta)
    measured[100:, 1] = 0
    seen = counts * measured.T[batch]
    some = fit_cells(
        sparse.csr_array(seen), batch=batch, beta=beta, expected=expected_by_batch(beta, delta * measured)
    ).theta
    cell = int(np.flatnonzero(batch == 1)[1])
    alone = fit_cells(
        sparse.csr_array(seen[[cell], :100]),
        batch=np.zeros(1, dtype=np.int32),
        beta=beta[:100],
        expected=expected_by_batch(beta[:100], delta[:100, [1]]),
    ).theta
    np.testing.assert_allclose(some[cell], alone[0], rtol=1e-9)


def test_a_factor_of_which_a_batch_shows_nothing_has_no_part_in_its_cells(problem):
    beta, delta, batch, _, counts = problem
    beta, delta, counts = beta.copy(), delta.copy(), counts.copy()
    beta[:50, 3], beta[50:, 3] = 1 / 50, 0
    delta[:50, 1] = 0
    counts[:, :50] *= (batch == 0)[:, None]
    theta = fit_cells(sparse.csr_array(counts), batch=batch, beta=beta, expected=expected_by_batch(beta, delta)).theta
    assert not theta[batch == 1, 3].any()
    assert theta[batch == 0, 3].any()
    assert np.isfinite(theta).all()


def test_neither_threads_nor_the_split_of_cells_change_a_bit(problem):
    beta, delta, batch, _, counts = problem
    many = np.tile(counts, (12, 1)), np.tile(batch, 12)
    expected = expected_by_batch(beta, delta)
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in (1, before):
            numba.set_num_threads(n_threads)
            results.append(fit_cells(sparse.csr_array(many[0]), batch=many[1], beta=beta, expected=expected).theta)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0][37:60], fitted(problem).theta[37:60])
