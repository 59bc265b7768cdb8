"""A new batch against a reference: what makes it comparable, what its cells weigh, graded states."""

from dataclasses import replace

import numpy as np
import pytest

import unbatch as ub
from unbatch.core import mapped_fit, mapping
from unbatch.core.embedding import Embedding
from unbatch.core.placement import Axes, place
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.source import open_counts
from unbatch.methods.map_plan import plan_mapping


def fitted(adata, **options):
    source = open_counts(adata)
    return ub.BatchModel(**options).fit_source(source, read_batches(source, "batch"))


def held_out(adata, *, name):
    mine = (adata.obs["batch"] == name).to_numpy()
    return fitted(adata[~mine].copy()), adata[mine].copy()


def error(result, adata, *, batch):
    true, loud = adata.varm["log_delta_true"], np.asarray(adata.X.sum(axis=0)).ravel() > 200
    apart = result.log_delta[:, 0] - (true[:, batch] - np.delete(true, batch, axis=1).mean(axis=1))
    return float(np.std((apart - np.median(apart[loud]))[loud]))


pytestmark = pytest.mark.filterwarnings("ignore:.* have no counts:unbatch.InputWarning")


@pytest.fixture(scope="module")
def graded():
    adata = ub.simulate(n_cells=3000, n_batches=3, confounding=0.65, seed=2)
    return adata, *held_out(adata, name="batch_3")


def test_in_graded_states_composition_is_not_taken_for_an_effect(graded):
    adata, model, new = graded
    assert model.result.evidence["composition_strength"][0] > 0
    without = ub.BatchModel()
    evidence = {**model.result.evidence, "composition_strength": np.zeros(1)}
    without._result = replace(model.result, evidence=evidence)
    assert error(model.map(new).result, adata, batch=2) < 0.8 * error(without.map(new).result, adata, batch=2)


@pytest.mark.parametrize(("n_updates", "low", "high"), [(30, 1.05, 2.0), (180, 0.98, 1.02)])
def test_in_graded_states_errors_know_of_the_start_of_the_factor_model(graded, monkeypatch, n_updates, low, high):
    """A factor model that has converged has forgotten it."""
    _, model, new = graded
    monkeypatch.setattr("unbatch.core.composition._UPDATES", n_updates)
    several = model.map(new).result
    monkeypatch.setattr(mapped_fit, "_STARTS", 1)
    one = model.map(new).result
    assert low < np.median(several.se / one.se) < high
    assert not np.array_equal(several.log_delta, one.log_delta)


@pytest.fixture(scope="module")
def unshared():
    """Three batches of six types, and a fourth of two types of its own."""
    composition = np.zeros((4, 8))
    composition[:3, :6] = np.random.default_rng(0).dirichlet(np.full(6, 2.0), size=3)
    composition[3, 6:] = 0.5
    return ub.simulate(
        n_cells=1600,
        n_genes=600,
        n_batches=4,
        n_types=8,
        composition=composition,
        log_delta_sd=0.5,
        median_depth=1500,
        seed=0,
    )


@pytest.mark.parametrize("name", ["batch_1", "batch_4"])
def test_types_of_its_own_tie_a_batch_to_nothing(unshared, name):
    adata = unshared[np.isin(unshared.obs["batch"], ["batch_1", "batch_2", "batch_3", name])].copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    model, new = held_out(adata, name=name)
    if name == "batch_1":
        assert np.isfinite(model.map(new).result.se).any()
    else:
        with pytest.warns(ub.InputWarning, match="share no cell state"):
            result = model.map(new).result
        assert (result.log_delta == 0).all()


def test_a_known_batch_without_effects_is_placed_as_in_the_fit(unshared):
    with pytest.warns(ub.InputWarning, match="share no cell state"):
        model = fitted(unshared)
    result = model.map(unshared).result
    np.testing.assert_array_equal(result.embedding, model.result.embedding)
    np.testing.assert_array_equal(result.sample, model.result.sample)
    np.testing.assert_array_equal(result.se, model.result.se)


def test_a_state_beyond_the_caliper_is_not_compared(unshared):
    model, new = held_out(unshared[(unshared.obs["batch"] != "batch_4").to_numpy()].copy(), name="batch_3")
    strict = ub.BatchModel()
    strict._result = replace(model.result, parameters={**model.result.parameters, "caliper": 0.01})
    with pytest.warns(ub.InputWarning, match="share no cell state"):
        strict.map(new)


def test_rounds_begin_at_effects_of_pseudobulks_that_are_linked(unshared, monkeypatch):
    adata = unshared[(unshared.obs["batch"] != "batch_4").to_numpy()].copy()
    model, new = held_out(adata, name="batch_3")
    first, begin = [], mapping._Rounds._first_effects
    monkeypatch.setattr(mapping._Rounds, "_first_effects", lambda rounds: first.append(begin(rounds)) or first[-1])
    found = model.map(new).result.log_delta[:, 0]
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > 500
    first, found = (values[loud] - np.median(values[loud]) for values in (first[0], found))
    assert np.corrcoef(first, found)[0, 1] > 0.8
    assert np.polyfit(found, first, 1)[0] == pytest.approx(1.0, abs=0.25)


def test_cells_of_every_shared_state_count_and_those_that_lie_apart_in_none(unshared, monkeypatch):
    """Two types of its own among the cells of a batch that shares the other six."""
    names = unshared.obs["batch"].astype(str).to_numpy()
    model, new = (
        fitted(unshared[np.isin(names, ["batch_1", "batch_2"])].copy()),
        unshared[np.isin(names, ["batch_3", "batch_4"])].copy(),
    )
    new.obs["batch"] = "new"
    seen, shifted = [], []
    compare, shift = mapping._Rounds._comparable, Embedding.of_new_batch
    monkeypatch.setattr(
        mapping._Rounds,
        "_comparable",
        lambda rounds, where, state: seen.append((state, compare(rounds, where, state))) or seen[-1][1],
    )
    monkeypatch.setattr(
        Embedding, "of_new_batch", lambda one, where, level: shifted.append(len(where)) or shift(one, where, level)
    )
    model.map(new)
    state, (counted, _) = seen[-1]
    cells = np.bincount(state[state >= 0], minlength=len(counted))
    assert counted[cells > 0].all()
    assert cells[0] > 0
    assert not counted[cells == 0].any()
    strangers = (names == "batch_4").sum()
    assert (state < 0).sum() > 0.9 * strangers
    assert shifted[0] < len(new) - 0.9 * strangers


def test_what_effects_are_relative_to_does_not_move_cells(unshared):
    adata = unshared[(unshared.obs["batch"] != "batch_4").to_numpy()].copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    model, new = held_out(adata, name="batch_3")
    other = fitted(adata[(adata.obs["batch"] != "batch_3").to_numpy()].copy(), reference="batch_2")
    assert np.std(other.result.landmarks.gene_shift) > 0.1
    one, two = model.map(new).result, other.map(new).result
    spread = np.sqrt(np.einsum("sdd->s", model.result.landmarks.spread).mean())
    moved = np.sqrt(np.square(one.embedding - two.embedding).sum(axis=1).mean())
    assert moved < 0.1 * spread


def test_size_factors_are_over_all_genes_also_where_some_were_not_measured(unshared):
    adata = unshared[(unshared.obs["batch"] != "batch_4").to_numpy()].copy()
    model = fitted(adata)
    states = model.result.sample
    profile = np.stack([np.asarray(adata.X[states == s].mean(axis=0)).ravel() for s in np.unique(states)])
    share = profile / profile.sum(axis=1, keepdims=True)
    kept = share.max(axis=0) - share.min(axis=0) < np.quantile(np.ptp(share, axis=0), 0.9)
    sizes = []
    for cells in (adata, adata[:, kept].copy()):
        source = open_counts(cells)
        plan = plan_mapping(source, model.result, label_cells(source, "batch"))
        log_delta = plan.landmarks.log_delta
        axes = Axes.of(plan.views[0], log_delta=log_delta, genes=plan.reference.genes)
        codes = label_cells(source, "batch").codes
        counts, level = source.rows(np.arange(source.n_cells)), np.zeros(source.n_cells, np.int32)
        sizes.append(place(counts, codes, level, axes=axes, view=plan.views[0], landmarks=plan.landmarks).size)
    ratio = np.array([np.median(sizes[1][states == s] / sizes[0][states == s]) for s in np.unique(states)])
    lost = share[:, kept].sum(axis=1)
    assert np.ptp(lost) > 0.1
    assert np.mean(np.abs(ratio - 1)) < 0.02
    assert np.abs(ratio - 1).max() < 0.08
