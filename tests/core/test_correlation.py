"""Batches with alike effects are found, independent ones left so; what one tells of a gene helps with the others."""

from dataclasses import replace

import numpy as np
import pytest

import unbatch as ub
from unbatch.core.correlation import find_correlation
from unbatch.core.loglinear import fit_effects
from unbatch.core.state_table import StateTable

N_STATES = 5


def alike(kind, own, n_genes, rng):
    """Effects of batches of some kinds: what a kind has in common, standard deviation 0.6, and what each has alone."""
    kind = np.asarray(kind)
    return 0.6 * rng.standard_normal((n_genes, kind.max() + 1))[:, kind] + own * rng.standard_normal(
        (n_genes, len(kind))
    )


def table_of(log_delta, rng, *, depth=3.0):
    n_genes, n_batches = log_delta.shape
    cells = rng.integers(5, 60, (N_STATES, n_batches)).astype(float)
    rates = depth * np.exp(0.7 * rng.standard_normal((n_genes, N_STATES, 1)))
    counts = rng.poisson(rates * cells * np.exp(log_delta)[:, None, :] / 10).astype(float)
    return StateTable(counts=counts, squares=counts**2 / cells + counts, exposure=cells, cells=cells)


def centred(log_delta):
    contrasts = log_delta - log_delta.mean(axis=1, keepdims=True)
    return contrasts - np.median(contrasts, axis=0)


def error(found, truth):
    return np.sqrt(np.mean((centred(found) - centred(truth)) ** 2))


def independent(monkeypatch):
    monkeypatch.setattr("unbatch.core.loglinear.find_correlation", lambda *what: np.eye(what[1].shape[1]))


def gaussian(correlation, n_genes, rng, *, noise=0.25):
    """What is told of effects of standard deviation 1 that are seen with noise, independently in each batch."""
    n = len(correlation)
    effects = rng.standard_normal((n_genes, n)) @ np.linalg.cholesky(correlation).T
    seen = effects + noise * rng.standard_normal((n_genes, n))
    return np.broadcast_to(np.eye(n) / noise**2, (n_genes, n, n)).copy(), seen / noise**2


def test_correlations_of_normal_effects_come_back():
    true = np.array([[1, 0.8, -0.5], [0.8, 1, -0.3], [-0.5, -0.3, 1]])
    found = find_correlation(*gaussian(true, 4000, np.random.default_rng(0)))
    np.testing.assert_allclose(found, true, atol=0.05)
    assert (np.linalg.eigvalsh(found) > 0).all()


@pytest.mark.parametrize("common", [0.3, 0.6])
def test_what_all_batches_have_in_common_is_none_of_it(common):
    """It shows in the size of differences only, which widths hold already."""
    even = np.full((4, 4), common)
    np.fill_diagonal(even, 1)
    found = find_correlation(*gaussian(even, 3000, np.random.default_rng(1)))
    np.testing.assert_allclose(found, np.eye(4), atol=0.05)
    pairs = common + (1 - common) * np.kron(np.eye(2), np.full((2, 2), 0.8))
    np.fill_diagonal(pairs, 1)
    found = find_correlation(*gaussian(pairs, 3000, np.random.default_rng(2)))
    off = pairs[~np.eye(4, dtype=bool)].mean()
    np.testing.assert_allclose(found, (pairs - off) / (1 - off), atol=0.13)


def test_two_batches_have_nothing_but_the_size_of_their_difference():
    both = np.array([[1, 0.7], [0.7, 1]])
    np.testing.assert_array_equal(find_correlation(*gaussian(both, 500, np.random.default_rng(0))), np.eye(2))


def test_the_result_is_positive_definite_where_taking_off_the_mean_is_not():
    uneven = np.array([[1, 0.9, 0.9, 0.1], [0.9, 1, 0.9, 0.1], [0.9, 0.9, 1, 0.6], [0.1, 0.1, 0.6, 1]])
    values, vectors = np.linalg.eigh(uneven)
    uneven = (vectors * np.maximum(values, 0.01)) @ vectors.T
    found = find_correlation(*gaussian(uneven, 4000, np.random.default_rng(0), noise=0.05))
    assert np.linalg.eigvalsh(found)[0] > 0.005
    np.testing.assert_array_equal(np.diag(found), np.ones(4))


@pytest.mark.parametrize("n_batches", [2, 5, 30])
@pytest.mark.parametrize("n_genes", [100, 1000])
def test_chance_is_not_taken_for_a_correlation(n_batches, n_genes):
    found = find_correlation(*gaussian(np.eye(n_batches), n_genes, np.random.default_rng(n_batches)))
    assert np.sqrt(np.mean((found - np.eye(n_batches)) ** 2)) < 0.02


def test_a_batch_of_which_nothing_is_told_is_taken_for_an_average_one():
    true = np.array([[1, 0.8, 0.0, 0.0], [0.8, 1, 0.0, 0.0], [0.0, 0.0, 1, 0.8], [0.0, 0.0, 0.8, 1]])
    curvature, pull = gaussian(true, 2000, np.random.default_rng(1))
    curvature[:, 3], curvature[:, :, 3], pull[:, 3] = 0, 0, 0
    found = find_correlation(curvature, pull)
    assert np.ptp(found[3, :3]) < 1e-12
    assert found[0, 1] - found[0, 2] == pytest.approx(0.8 / (1 - 0.8 / 3), abs=0.1)


@pytest.mark.parametrize("n", [0, 1])
def test_one_batch_or_no_gene_has_nothing_to_be_correlated(n):
    curvature, pull = gaussian(np.eye(1), 10, np.random.default_rng(0))
    np.testing.assert_array_equal(find_correlation(curvature[: 10 * n], pull[: 10 * n]), [[1]])


def test_batches_of_a_kind_are_found_and_tell_of_each_other(monkeypatch):
    rng = np.random.default_rng(2)
    truth = alike([0, 1, 0, 1, 0, 1], 0.15, 800, rng)
    table = table_of(truth, rng, depth=0.5)
    found = fit_effects(table)
    same = np.add.outer(np.arange(6), np.arange(6)) % 2 == 0
    pairs = ~np.eye(6, dtype=bool)
    assert found.correlation.matrix[same & pairs].mean() > found.correlation.matrix[~same].mean() + 0.5
    z = (centred(found.log_delta) - centred(truth)) / found.se
    assert np.mean(np.abs(z) < 1.96) > 0.93
    independent(monkeypatch)
    alone = fit_effects(table)
    np.testing.assert_array_equal(alone.correlation.matrix, np.eye(6))
    assert error(found.log_delta, truth) < 0.85 * error(alone.log_delta, truth)
    assert np.median(found.se) < 0.95 * np.median(alone.se)


def test_batches_that_have_nothing_in_common_are_fitted_as_if_alone(monkeypatch):
    rng = np.random.default_rng(3)
    truth = 0.5 * rng.standard_normal((800, 5))
    table = table_of(truth, rng)
    found = fit_effects(table)
    independent(monkeypatch)
    alone = fit_effects(table)
    np.testing.assert_allclose(found.log_delta, alone.log_delta, atol=0.02)
    assert error(found.log_delta, truth) == pytest.approx(error(alone.log_delta, truth), rel=0.01)


def test_what_a_batch_did_not_measure_stays_unknown():
    rng = np.random.default_rng(4)
    truth = alike([0, 0, 1, 1], 0.1, 400, rng)
    table, measured = table_of(truth, rng), np.ones((400, 4), dtype=bool)
    measured[:50, 1] = False
    table = replace(table, counts=table.counts * measured[:, None], squares=table.squares * measured[:, None])
    found = fit_effects(table, composition=measured[:, None, :].astype(float))
    assert found.correlation.matrix[0, 1] > 0.3
    np.testing.assert_array_equal(found.log_delta[~measured], 0)
    np.testing.assert_array_equal(found.rate, np.nan_to_num(found.rate))


def test_groups_of_batches_keep_their_own_correlations():
    rng = np.random.default_rng(5)
    first, second = (fit_effects(table_of(alike(kinds, 0.1, 300, rng), rng)) for kinds in ([0, 0, 1], [0, 1, 1]))
    batches = np.array([True, False, True, False, True, False])
    nothing = first.among(np.zeros(6, dtype=bool))
    both = nothing.joined(first, batches).joined(second, ~batches)
    np.testing.assert_array_equal(both.correlation.matrix[np.ix_(batches, batches)], first.correlation.matrix)
    np.testing.assert_array_equal(both.correlation.matrix[np.ix_(~batches, ~batches)], second.correlation.matrix)
    np.testing.assert_array_equal(both.correlation.matrix[np.ix_(batches, ~batches)], 0)
    np.testing.assert_array_equal(both.of_batches(batches).correlation.matrix, first.correlation.matrix)


def test_the_correlation_is_part_of_the_evidence():
    adata = ub.simulate(n_cells=400, n_genes=80, n_batches=3, seed=1)
    ub.tl.batch_effects(adata, batch_key="batch")
    found = adata.uns["unbatch"]["evidence"]["correlation"]
    assert found.shape == (3, 3)
    np.testing.assert_array_equal(np.diag(found), 1)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
