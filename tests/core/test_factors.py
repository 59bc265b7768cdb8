"""A Poisson factorisation of pseudobulks: planted programmes come back, effects are offsets, sums have fixed order."""

import numba
import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from unbatch._check import InputError
from unbatch.core import factors
from unbatch.core.factors import Pseudobulks, factorise, loadings, poisson_deviance


def matched(truth, found):
    """Correlation of each column with its counterpart."""
    n = truth.shape[1]
    correlation = np.corrcoef(truth.T, found.T)[:n, n:]
    rows, columns = linear_sum_assignment(-correlation)
    return correlation[rows, columns], columns


@pytest.fixture(scope="module")
def planted():
    """60 pseudobulks of two batches, each of one batch only in half of the cases; effects of sd 1."""
    rng = np.random.default_rng(2)
    beta = rng.gamma(0.5, size=(600, 4))
    beta /= beta.sum(axis=0)
    theta = rng.dirichlet(np.full(4, 0.3), 60)
    delta = np.exp(rng.normal(0, 1, (600, 2)))
    size = rng.uniform(2e4, 2e5, (60, 2))
    size[:15, 0], size[15:30, 1] = 0, 0
    counts = rng.poisson((size @ delta.T) * (theta @ beta.T)).astype(float)
    return beta, theta, delta, Pseudobulks(counts, size)


def test_planted_programmes_come_back_and_without_the_effects_they_do_not(planted):
    beta, _, delta, pseudobulks = planted
    found = factorise(pseudobulks, delta, n_factors=4, seed=0)
    assert matched(beta, found.beta)[0].min() > 0.98
    blind = factorise(pseudobulks, np.ones_like(delta), n_factors=4, seed=0)
    assert matched(beta, blind.beta)[0].mean() < 0.8


def test_activities_are_found_by_the_genes_with_most_counts(planted, monkeypatch):
    beta, _, delta, pseudobulks = planted
    monkeypatch.setattr(factors, "_GENES", 200)
    found = factorise(pseudobulks, delta, n_factors=4, seed=0)
    loud = np.argsort(-pseudobulks.counts.sum(axis=0))[:200]
    alone = factorise(Pseudobulks(pseudobulks.counts[:, loud], pseudobulks.size), delta[loud], n_factors=4, seed=0)
    assert matched(beta, found.beta)[0].min() > 0.98
    np.testing.assert_allclose(found.deviance, alone.deviance)


def test_columns_are_shares_and_factors_come_in_order_of_their_counts(planted):
    beta, theta, delta, pseudobulks = planted
    found = factorise(pseudobulks, delta, n_factors=4, seed=0)
    np.testing.assert_allclose(found.beta.sum(axis=0), 1, rtol=1e-9)
    assert (found.beta > 0).all()
    assert (np.diff(found.counts) <= 0).all()
    _, place = matched(beta, found.beta)
    expected = pseudobulks.size.sum(axis=1) @ theta
    np.testing.assert_allclose(found.counts[place], expected, rtol=0.1)


def test_a_gene_that_a_batch_does_not_measure_is_learned_from_the_other(planted):
    beta, _, delta, pseudobulks = planted
    measured = np.ones_like(delta)
    measured[:200, 1] = 0
    rng = np.random.default_rng(3)
    theta = planted[1]
    counts = rng.poisson((pseudobulks.size @ (delta * measured).T) * (theta @ beta.T)).astype(float)
    found = factorise(Pseudobulks(counts, pseudobulks.size), delta * measured, n_factors=4, seed=0)
    _, place = matched(beta, found.beta)
    silent = factorise(Pseudobulks(counts, pseudobulks.size), delta, n_factors=4, seed=0)
    error, wrong = (np.abs(one.beta[:200, matched(beta, one.beta)[1]] - beta[:200]).mean() for one in (found, silent))
    assert error < 0.3 * wrong
    assert len(set(place)) == 4


def test_the_deviance_falls_and_says_why_it_ended(planted):
    _, _, delta, pseudobulks = planted
    found = factorise(pseudobulks, delta, n_factors=4, seed=0)
    assert (np.diff(found.deviance) <= 0).all()
    assert found.stop_reason == "converged"
    short = factorise(pseudobulks, delta, n_factors=4, seed=0, max_iter=60, tol=0.0)
    assert short.stop_reason == "max_iter"
    assert len(short.deviance) == 3


def test_with_one_factor_it_is_the_adjusted_mean(planted):
    _, _, delta, pseudobulks = planted
    found = factorise(pseudobulks, delta, n_factors=1, seed=0)
    mean = pseudobulks.counts.sum(axis=0) / (delta @ pseudobulks.size.sum(axis=0))
    np.testing.assert_allclose(found.beta[:, 0], mean / mean.sum(), rtol=0.02, atol=1e-6)


def test_loadings_given_activities_equal_long_updates(planted):
    _, theta, delta, pseudobulks = planted
    counts, size = pseudobulks.counts[:, :40], pseudobulks.size
    found = loadings(counts, theta, size=size, delta=delta[:40])
    expected, weight = np.ones((40, 4)), delta[:40] @ (size.T @ theta)
    for _ in range(3000):
        expected *= ((counts / (theta @ expected.T)).T @ theta) / weight
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


def test_the_deviance_is_that_of_the_poisson_distribution():
    counts, mean = np.array([0.0, 3.0, 5.0]), np.array([2.0, 3.0, 1.0])
    np.testing.assert_allclose(poisson_deviance(counts, mean), [4.0, 0.0, 2 * (5 * np.log(5) - 4)])


def test_genes_in_several_chunks_give_the_same(planted, monkeypatch):
    _, _, delta, pseudobulks = planted
    whole = factorise(pseudobulks, delta, n_factors=4, seed=0, max_iter=60)
    monkeypatch.setattr(factors, "_CHUNK", 100)
    parts = factorise(pseudobulks, delta, n_factors=4, seed=0, max_iter=60)
    np.testing.assert_allclose(parts.deviance, whole.deviance, rtol=1e-9)
    np.testing.assert_allclose(parts.beta, whole.beta, rtol=1e-5)


def test_threads_change_no_bit(planted):
    _, _, delta, pseudobulks = planted
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in (1, before):
            numba.set_num_threads(n_threads)
            results.append(factorise(pseudobulks, delta, n_factors=3, seed=5, max_iter=60).beta)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])


def test_more_factors_than_pseudobulks_are_refused(planted):
    _, _, delta, pseudobulks = planted
    few = Pseudobulks(pseudobulks.counts[:3], pseudobulks.size[:3])
    with pytest.raises(InputError, match="4 factors cannot be told apart by 3 pseudobulks"):
        factorise(few, delta, n_factors=4, seed=0)


def test_pseudobulks_without_counts_change_nothing(planted):
    _, _, delta, pseudobulks = planted
    empty = Pseudobulks(
        np.vstack([pseudobulks.counts, np.zeros(600)]), np.vstack([pseudobulks.size, np.array([5.0, 5.0])])
    )
    more = factorise(empty, delta, n_factors=3, seed=0, max_iter=50)
    np.testing.assert_array_equal(more.beta, factorise(pseudobulks, delta, n_factors=3, seed=0, max_iter=50).beta)
    assert sparse.csr_array(empty.counts[[-1]]).nnz == 0
