"""Where few counts do not tell states, effects come from a mixture of them; where they do, nothing changes."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from matched_problems import contrasts, rmse, simulated

import unbatch as ub
from unbatch.core import matched, mixture_fit
from unbatch.core.mixture_fit import MixtureTrial

FEW = {"n_genes": 100, "median_depth": 60, "composition": 0.5}


@pytest.fixture
def never(monkeypatch):
    """Fits by states of cells alone."""

    def fit(problem, **options):
        with monkeypatch.context() as patched:
            patched.setattr(matched, "FEW_GENES", -1.0)
            return problem.fit(**options)

    return fit


@functools.cache
def given(seed):
    """A problem that several tests may look at, and its fit; neither is to be changed."""
    problem = simulated(seed=seed, **FEW)
    return problem, problem.fit()


def covered(effects, problem):
    loud = problem.counts.sum(axis=0) > 50
    off = contrasts(effects.log_delta) - contrasts(problem.truth)
    off -= np.median(off[loud], axis=0)
    return float(np.mean(np.abs(off)[loud] < 1.96 * effects.se[loud]))


@pytest.mark.parametrize("seed", [2, 3, 6])
def test_effects_of_few_genes_come_back(seed, never):
    """By states of cells what types differ by becomes effects, and errors are a tenth to a third as large again."""
    problem, found = given(seed)
    before, after = never(problem).effects, found.effects
    assert rmse(after.log_delta, problem) < 0.9 * rmse(before.log_delta, problem)
    assert covered(before, problem) < 0.92
    assert covered(after, problem) > 0.91


def test_no_effect_is_made_of_types_where_there_is_none(never):
    problem = simulated(seed=5, log_delta_sd=0.0, **FEW)
    assert rmse(never(problem).effects.log_delta, problem) > 0.1
    assert rmse(problem.fit().effects.log_delta, problem) < 0.03


def test_states_that_counts_tell_stay_as_they_are(never, monkeypatch):
    """It is tried with few counts, and not taken; with many it is not tried."""
    tried = []
    better = MixtureTrial.better

    def watched(self, *args):
        tried.append(better(self, *args))
        return tried[-1]

    monkeypatch.setattr(MixtureTrial, "better", watched)
    for changes, trials in (({"n_genes": 300, "median_depth": 400}, [None]), ({}, [])):
        tried.clear()
        problem = simulated(seed=0, **changes)
        np.testing.assert_array_equal(problem.fit().effects.log_delta, never(problem).effects.log_delta)
        assert tried == trials


@pytest.mark.parametrize(("n_genes", "taken"), [(60, 0), (100, 8)])
def test_only_what_is_clear_is_taken(n_genes, taken):
    """Effects differ by more than an error in both sets; cells are clearly likelier by the mixture in one."""
    found = given(0)[1] if n_genes == 100 else simulated(seed=3, **(FEW | {"n_genes": n_genes})).fit()
    assert found.n_mixture_states == taken


@pytest.mark.parametrize("seed", [0, 4])
def test_what_effects_owe_to_being_fitted_does_not_speak_for_them(seed, never, monkeypatch):
    """Types differ little and no batch does: hundreds of small effects, fitted to all cells, suit those that judge."""
    faint = {"n_types": 3, "composition": 0.3, "marker_log_fold_sd": 0.7, "size_factor_sd": 0.0, "n_factors": 5}
    problem = simulated(**faint, n_cells=1000, n_genes=200, median_depth=100, log_delta_sd=0.0, seed=seed)
    assert rmse(never(problem).effects.log_delta, problem) > 0.06
    assert rmse(problem.fit().effects.log_delta, problem) < 0.01
    monkeypatch.setattr(mixture_fit, "_owed", lambda _: 0.0)
    assert problem.fit().n_mixture_states == 0


def test_effects_owe_nothing_where_the_prior_decides_and_their_dispersion_where_counts_do():
    effects = given(0)[1].effects
    shape = effects.se.shape
    phi = np.linspace(1, 3, shape[0])
    for error, width, owed in ((0.5, 0.5, 0), (np.inf, 0.5, 0), (0.5, 0, 0), (1e-6, 0.5, 1), (0.3, 0.5, 1 - 0.6**2)):
        some = replace(effects, se=np.full(shape, error), width=np.full(shape, float(width)), dispersion=phi)
        assert mixture_fit._owed(some) == pytest.approx(owed * shape[1] * phi.sum(), abs=1e-8)


def test_only_what_matters_is_taken_and_again_to_the_bit(monkeypatch):
    """Effects by the mixture differ by 0.93 standard errors here."""
    problem, found = given(0)
    monkeypatch.setattr(mixture_fit, "_MATERIAL", 0.9)
    again = problem.fit()
    assert again.n_mixture_states > 0
    np.testing.assert_array_equal(again.effects.log_delta, found.effects.log_delta)
    monkeypatch.setattr(mixture_fit, "_MATERIAL", 1.0)
    assert problem.fit().n_mixture_states == 0


def test_a_batch_without_a_gene_to_tell_it_by_differs_by_nothing():
    effects = simulated(seed=0, n_genes=40, n_cells=300, median_depth=60).fit().effects
    moved, genes = replace(effects, log_delta=effects.log_delta + effects.se), np.arange(40) < 20
    moved.log_delta[::2] -= 2 * effects.se[::2]
    assert 0.8 < mixture_fit._off(moved, effects, genes) < 1.2
    assert mixture_fit._off(moved, effects, np.zeros(40, dtype=bool)) == 0
    blind = effects.se.copy()
    blind[:20, 1] = np.inf
    assert mixture_fit._off(moved, replace(effects, se=blind), genes) == 0


def test_errors_know_of_states_and_of_other_partitions(monkeypatch):
    problem, found = given(0)
    loud = problem.counts.sum(axis=0) > 50
    whole = found.effects.se[loud]
    monkeypatch.setattr(matched, "_PARTITIONS", 1)
    alone = problem.fit().effects.se[loud]
    assert (whole > alone).all()
    monkeypatch.setattr(MixtureTrial, "_inflation", lambda *_: np.ones(problem.truth.shape))
    ratio = alone / problem.fit().effects.se[loud]
    assert (ratio > 0.999).all()
    assert ratio.max() > 1.2


def test_rates_go_with_the_effects():
    """Counts of a state are its rate times exposure, which knows of the effects; errors are those of the mixture."""
    problem, found = given(0)
    effects = found.effects
    taking_part = ~found.states.apart[found.states.code, problem.batch]
    counts = np.zeros_like(effects.rate)
    np.add.at(counts.T, found.states.code[taking_part], problem.counts.toarray()[taking_part])
    np.testing.assert_allclose(effects.rate * effects.exposure, counts, rtol=1e-8)
    exposure = np.exp(effects.log_delta) @ (found.sizes * effects.scale).T
    np.testing.assert_allclose(effects.exposure, exposure, rtol=1e-8)
    assert found.refit.mixture is not None
    np.testing.assert_array_equal(effects.se, found.refit.mixture.se)


def test_levels_are_not_compared(never):
    """Cells of two conditions that differ as types do, each in batches of its own composition."""
    problem = simulated(seed=5, **FEW)
    level = (problem.cell_type >= 2).astype(np.int32)
    before, after = never(problem, level=level), problem.fit(level=level)
    assert rmse(after.effects.log_delta, problem) < 0.9 * rmse(before.effects.log_delta, problem)
    assert set(after.states.level[after.states.code[level == 0]]) == {0}


def test_genes_that_a_batch_lacks_get_no_effect_there(never):
    problem = simulated(seed=5, **FEW)
    measured = np.ones(problem.truth.shape, dtype=bool)
    measured[:10, 2] = False
    counts = problem.counts.toarray()
    counts[np.ix_(problem.batch == 2, ~measured[:, 2])] = 0
    lacking = problem._replace(counts=type(problem.counts)(counts))
    before, after = never(lacking, measured=measured).effects, lacking.fit(measured=measured).effects
    assert (after.log_delta[~measured] == 0).all()
    whole = lacking._replace(counts=lacking.counts[:, 10:], truth=problem.truth[10:])
    assert rmse(after.log_delta[10:], whole) < 0.75 * rmse(before.log_delta[10:], whole)


def test_more_cells_than_the_sketch_sharpen_it(monkeypatch):
    """What it differs by from sums by state, in the sketch, is added to those of all cells."""
    options = {"n_types": 5, "n_batches": 3, "log_delta_sd": 0.5, "size_factor_sd": 0.3, "n_cells": 4000, **FEW}
    adata = ub.simulate(seed=0, **options)
    loud, truth = np.asarray(adata.X.sum(axis=0)).ravel() > 200, np.array(adata.varm["log_delta_true"])

    def fitted(**options):
        ub.tl.batch_effects(adata, batch_key="batch", method=ub.MatchedOptions(sketch_size=2000), **options)
        off = contrasts(np.array(adata.varm["batch_effects"])) - contrasts(truth)
        return np.sqrt(np.mean((off - np.median(off, axis=0))[loud] ** 2)), np.array(adata.varm["batch_effects_se"])

    error, se = fitted()
    assert 5 <= adata.uns["unbatch"]["evidence"]["mixture_states"][0] <= 12
    assert np.isfinite(adata.obsm["X_unbatch"]).all()
    of_sketch, of_sketch_se = fitted(effects_only=True)
    assert error < of_sketch
    assert 0.6 < np.median((se / of_sketch_se)[loud]) < 0.9
    monkeypatch.setattr(matched, "FEW_GENES", -1.0)
    assert error < 0.75 * fitted()[0]
    assert adata.uns["unbatch"]["evidence"]["mixture_states"][0] == 0


def test_groups_of_batches_are_left_to_states_of_cells(monkeypatch):
    """Two batches have one level, two the other: a mixture would have to be one for each."""
    shares = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]] * 2
    problem = simulated(seed=3, n_types=3, n_batches=4, **(FEW | {"composition": shares}))
    monkeypatch.setattr(MixtureTrial, "better", lambda *_: pytest.fail("tried"))
    found = problem.fit(level=(problem.batch // 2).astype(np.int32))
    assert len(set(found.tied.group)) == 2
    assert found.n_mixture_states == 0
