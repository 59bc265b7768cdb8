"""Residuals, rates and likelihoods equal their formulas over dense arrays."""

import numpy as np
import pytest

from unbatch.core.kernels.residuals import chi_squares, kind_chi_squares, likelihoods, state_chi_squares

N_GENES, N_STATES, N_BATCHES, N_CELLS = 20, 5, 3, 200


@pytest.fixture(params=[(1, 1), (1, N_STATES), (N_GENES, 1), (N_GENES, N_STATES)])
def problem(request):
    """Cells of states and batches, one of the pairs empty, and their sums."""
    rng = np.random.default_rng(0)
    state, batch = rng.integers(0, N_STATES, N_CELLS), rng.integers(0, N_BATCHES, N_CELLS)
    batch[(state == 1) & (batch == 1)] = 0
    size, factor = rng.uniform(0.5, 2, N_CELLS), rng.uniform(0.5, 2, (*request.param, N_BATCHES))
    counts = rng.poisson(3.0, (N_CELLS, N_GENES))
    counts[:, 0], size[:N_STATES], state[:N_STATES] = 0, 2.0, np.arange(N_STATES)
    counts[:N_STATES, 0] = 1  # one count in each state, in a cell of size 2
    sums, squares = np.zeros((2, N_GENES, N_STATES, N_BATCHES))
    exposure = np.zeros((N_STATES, N_BATCHES))
    np.add.at(sums.transpose(1, 2, 0), (state, batch), counts)
    np.add.at(squares.transpose(1, 2, 0), (state, batch), counts**2 / size[:, None])
    np.add.at(exposure, (state, batch), size)
    delta, scale = rng.uniform(0.5, 2, (N_GENES, N_BATCHES)), rng.uniform(0.5, 2, N_BATCHES)
    weight = exposure * scale * factor * delta[:, None, :]
    return {
        "cells": (counts, state, batch, size),
        "sums": sums,
        "squares": squares,
        "exposure": exposure,
        "factor": factor,
        "delta": delta,
        "scale": scale,
        "rate": sums.sum(axis=2) / weight.sum(axis=2),
        "share": weight / weight.sum(axis=2, keepdims=True),
    }


def test_the_scatter_of_cells_needs_their_sums_only(problem):
    counts, state, batch, size = problem["cells"]
    per_size = problem["scale"] * problem["factor"] * problem["delta"][:, None, :]
    per_size = np.broadcast_to(per_size, problem["sums"].shape)
    mean = (problem["rate"][:, state] * per_size[:, state, batch]).T * size[:, None]
    expected = ((counts - mean) ** 2 / mean).sum(axis=0)
    chi2 = np.zeros(N_GENES)
    sums, factors = problem["sums"].sum(axis=2), (problem["scale"], problem["factor"], problem["delta"])
    chi_squares(problem["squares"], sums, problem["exposure"], *factors, chi2)
    np.testing.assert_allclose(chi2, expected, rtol=1e-9)


def test_the_scatter_of_states_counts_where_enough_is_expected(problem):
    dispersion, enough = np.random.default_rng(1).uniform(1, 3, N_GENES), 20.0
    expected = problem["sums"].sum(axis=2, keepdims=True) * problem["share"]
    used = expected > enough
    assert 0.1 < used.mean() < 0.95
    ratio = (problem["sums"] - expected) ** 2 / np.where(used, expected, 1) / dispersion[:, None, None]
    squares, freedoms = np.where(used, ratio, 0), np.where(used, 1 - problem["share"], 0)
    (chi2, freedom), by_state = np.zeros((2, N_GENES)), np.zeros((2, N_STATES, N_BATCHES))
    sums, exposure = problem["sums"].sum(axis=2), problem["exposure"] * problem["scale"]
    model = (exposure, problem["factor"], problem["delta"], dispersion)
    state_chi_squares(problem["sums"], sums, *model, enough, chi2, freedom, by_state)
    np.testing.assert_allclose(chi2, squares.sum(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(freedom, freedoms.sum(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(by_state, [squares.sum(axis=0), freedoms.sum(axis=0)], rtol=1e-9)


@pytest.mark.parametrize("kind", [[0, 0, 1, 1, 2], [0, 1, 2, 3, 4], [1, 0, 1, 0, 1]])
def test_kinds_of_states_add_up_what_is_too_much_before_it_is_squared(problem, kind):
    dispersion, enough = np.random.default_rng(1).uniform(1, 3, N_GENES), 8.0
    sums, n_kinds = problem["sums"].sum(axis=2), max(kind) + 1
    member = np.eye(n_kinds)[kind].T
    excess = np.einsum("hs,gsk->ghk", member, problem["sums"] - sums[:, :, None] * problem["share"])
    variance = np.einsum("hs,gsk->ghk", member, sums[:, :, None] * problem["share"] * (1 - problem["share"]))
    used = variance > enough
    assert 0.1 < used.mean() < 0.99
    squares = np.where(used, excess**2 / np.where(used, variance, 1), 0) / dispersion[:, None, None]
    due = np.where(used, 1 - variance / np.maximum(variance.sum(axis=1, keepdims=True), 1e-300), 0)
    chi2, freedom = np.zeros((2, N_GENES))
    model = (problem["exposure"] * problem["scale"], problem["factor"], problem["delta"], dispersion)
    scratch = np.full((2, n_kinds, N_BATCHES), np.nan)
    kind_chi_squares(problem["sums"], sums, *model, np.array(kind), enough, scratch, chi2, freedom)
    np.testing.assert_allclose(chi2, squares.sum(axis=(1, 2)), rtol=1e-9)
    np.testing.assert_allclose(freedom, due.sum(axis=(1, 2)), rtol=1e-9)


def test_rates_and_likelihoods_equal_their_formulas(problem):
    rate, likelihood = np.zeros((N_GENES, N_STATES)), np.zeros(N_GENES)
    sums, exposure = problem["sums"].sum(axis=2), problem["exposure"] * problem["scale"]
    likelihoods(problem["sums"], sums, exposure, problem["factor"], problem["delta"], rate, likelihood)
    np.testing.assert_allclose(rate, problem["rate"], rtol=1e-9)
    logs = np.log(np.where(problem["share"] > 0, problem["share"], 1))
    np.testing.assert_allclose(likelihood, (problem["sums"] * logs).sum(axis=(1, 2)), rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2])
def test_a_few_genes_by_themselves_give_what_they_give_among_all(problem, n):
    def run(genes):
        of_genes = {name: problem[name][genes] for name in ("sums", "squares", "delta")}
        factor = problem["factor"][genes] if len(problem["factor"]) > 1 else problem["factor"]
        totals, here = of_genes["sums"].sum(axis=2), of_genes["sums"].shape[0]
        exposure = problem["exposure"] * problem["scale"]
        (chi2, of_states, freedom, likelihood), rate = np.zeros((4, here)), np.zeros((here, N_STATES))
        by_state = np.zeros((2, N_STATES, N_BATCHES))
        factors = (problem["scale"], factor, of_genes["delta"])
        chi_squares(of_genes["squares"], totals, problem["exposure"], *factors, chi2)
        model = (exposure, factor, of_genes["delta"], np.ones(here))
        state_chi_squares(of_genes["sums"], totals, *model, 20.0, of_states, freedom, by_state)
        likelihoods(of_genes["sums"], totals, exposure, factor, of_genes["delta"], rate, likelihood)
        return np.column_stack([chi2, of_states, freedom, likelihood, rate])

    np.testing.assert_array_equal(run(slice(5, 5 + n)), run(slice(None))[5 : 5 + n])
