"""Cells are drawn together where states part them, and only there: by shifts, and by links of pseudobulks."""

import functools
from dataclasses import replace

import anndata
import numpy as np
import pytest
from matched_problems import Problem, graded, rmse, simulated
from scipy import sparse
from scipy.spatial import cKDTree

import unbatch as ub
from unbatch.core.composition import NO_COMPOSITION
from unbatch.core.counterparts import regained
from unbatch.core.embedding import find_embedding
from unbatch.core.kept_information import kept_information
from unbatch.core.rounds import Rounds, Settings
from unbatch.core.shifts import find_places
from unbatch.core.state_table import StateTable
from unbatch.core.states import States


def own_way(*, sd=0.25, seed=0):
    """Separate states that each of two batches changes by factors of its own besides, whose mean log is 0."""
    plain = simulated(n_batches=2, composition=2.0, median_depth=4000, variation=0.1, log_delta_sd=0.4, seed=seed)
    rng = np.random.default_rng(seed)
    own = rng.normal(0, sd, size=(2, 5, len(plain.truth)))
    own -= own.mean(axis=1, keepdims=True)
    factor = np.exp(own[plain.batch, plain.cell_type] - 1)
    return plain._replace(counts=sparse.csr_array(rng.poisson(plain.counts.toarray() * factor).astype(np.float64)))


@functools.cache
def fit_of_own_way():
    """What several tests look at; not to be changed."""
    return own_way().fit()


def in_pairs(*, sd=0.4, seed=0):
    """Four batches, two and two of a kind that changes all cells alike, and each type in its own way besides."""
    plain = simulated(n_batches=4, composition=None, median_depth=2000, variation=0.3, log_delta_sd=0.2, seed=seed)
    kind, rng = np.array([0, 1, 0, 1]), np.random.default_rng(seed)
    own = rng.normal(0, sd, size=(2, 5, len(plain.truth)))
    own -= own.mean(axis=1, keepdims=True)
    common = rng.normal(0, 1, size=(2, 1, len(plain.truth)))
    factor = np.exp((own + common)[kind][plain.batch, plain.cell_type] - 2)
    counts = sparse.csr_array(rng.poisson(plain.counts.toarray() * factor).astype(np.float64))
    return plain._replace(counts=counts, truth=plain.truth + common[kind, 0].T)


def stay(where, _, *, batch, level, group, keys, seed):
    """Shifts that shift nothing."""
    return find_places(where, batch=batch, level=level, n_batches=len(group), keys=keys, seed=seed)[0]


def test_batches_that_change_states_in_their_own_way_are_compared_all_the_same(monkeypatch):
    problem, drawn = own_way(), fit_of_own_way()
    monkeypatch.setattr("unbatch.core.rounds.Rounds._better_together", lambda *_: False)
    monkeypatch.setattr("unbatch.core.matched._drawn_from_the_start", lambda _, settled, *__: settled)
    plain = problem.fit()
    assert drawn.shifts
    assert not plain.shifts
    assert plain.support[plain.states.code, problem.batch].mean() < 0.7
    assert drawn.support[drawn.states.code, problem.batch].mean() > 0.9
    assert rmse(drawn.effects.log_delta, problem) < 0.6 * rmse(plain.effects.log_delta, problem)


@pytest.mark.parametrize("seed", [1, 2])
def test_cells_that_have_lost_their_counterparts_find_them_from_the_start(seed, monkeypatch):
    problem = own_way(sd=0.3, seed=seed)
    again = problem.fit()
    monkeypatch.setattr("unbatch.core.matched._drawn_from_the_start", lambda _, settled, *__: settled)
    once = problem.fit()
    assert once.support[once.states.code, problem.batch].mean() < 0.3
    assert again.support[again.states.code, problem.batch].mean() > 0.8
    assert rmse(again.effects.log_delta, problem) < 0.6 * rmse(once.effects.log_delta, problem)


def without_links(logs, *, linked, **options):
    assert linked is not None
    return find_embedding(logs, **options)


def test_the_embedding_follows_links_too(monkeypatch):
    problem = own_way(sd=0.35, seed=1)
    adata = anndata.AnnData(sparse.csr_matrix(problem.counts.astype(np.float32)))
    adata.obs["batch"] = [f"batch_{number}" for number in problem.batch]
    same = []
    for find in (find_embedding, without_links):
        monkeypatch.setattr("unbatch.methods.matched.find_embedding", find)
        ub.tl.batch_effects(adata, batch_key="batch")
        near = cKDTree(adata.obsm["X_unbatch"]).query(adata.obsm["X_unbatch"], k=16)[1][:, 1:]
        assert (problem.cell_type[near] == problem.cell_type[:, None]).mean() > 0.99
        same.append((problem.batch[near] == problem.batch[:, None]).mean())
    assert same[0] < same[1] - 0.05


def test_links_are_followed_in_each_group_of_batches():
    """Conditions with batches of their own: each group is put on its own footing, and cells are drawn anew."""
    parts = own_way(sd=0.3, seed=1), own_way(sd=0.3, seed=2)
    level = np.repeat(np.arange(2), [len(part.batch) for part in parts]).astype(np.int32)
    problem = Problem(
        sparse.csr_array(sparse.vstack([part.counts for part in parts])),
        np.concatenate([parts[0].batch, parts[1].batch + 2]).astype(np.int32),
        np.concatenate([part.cell_type for part in parts]),
        np.hstack([part.truth for part in parts]),
    )
    fitted = problem.fit(level=level)
    assert fitted.tied.group.tolist() == [0, 0, 1, 1]
    assert fitted.linked is not None
    assert len(fitted.shifts) == 1 + 5
    assert (fitted.shifts[0].target == 0).all()  # which none of the other rounds has
    assert (fitted.shifts[0].shift[:, 2:] != 0).any()
    assert fitted.support[fitted.states.code, problem.batch].mean() > 0.8


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        ([0.5, 1.0, 1.0], [0.9, 1.0, 1.0], True),
        ([0.5, 1.0, 1.0], [0.55, 1.0, 1.0], False),  # too little
        ([0.5, 1.0, 1.0], [0.9, 0.85, 1.0], False),  # one loses
        ([0.5, 0.95, 0.95, 0.95], [0.61, 0.9, 0.9, 0.9], False),  # all together lose
        ([0.0, 1.0, 1.0], [1.0, 1.0, 1.0], False),  # what shares nothing is refused
        ([0.0, 0.5, 1.0], [0.3, 0.9, 1.0], False),
        ([0.0, 0.5, 1.0], [0.0, 0.9, 1.0], True),
    ],
)
def test_which_counterparts_are_taken_for_regained(before, after, taken):
    assert regained(np.array(before), np.array(after)) is taken


def test_rounds_do_not_begin_anew_for_nothing(monkeypatch):
    """Not where all have counterparts, nor where those that lack some share nothing at all."""
    asked, problem = [], simulated(seed=0)
    settle = Rounds.settle
    monkeypatch.setattr(Rounds, "settle", lambda *args, **linked: asked.append(linked) or settle(*args, **linked))
    problem.fit()
    monkeypatch.setattr(Rounds, "counterparts", lambda *_: np.array([0.0, 1.0, 0.95]))
    problem.fit()
    assert asked == [{}, {}]


def test_types_that_a_batch_moves_farther_than_their_cells_lie_apart_are_found_by_links(monkeypatch):
    """States of cells are of one batch each, and pseudobulks are each other's nearest all the same."""
    problem = own_way(sd=0.4, seed=2)
    linked = problem.fit()
    monkeypatch.setattr("unbatch.core.shift_rounds.find_linked_shifts", stay)
    alone = problem.fit()
    assert alone.support[alone.states.code, problem.batch].mean() < 0.3
    assert linked.support[linked.states.code, problem.batch].mean() > 0.6
    assert rmse(linked.effects.log_delta, problem) < 0.7 * rmse(alone.effects.log_delta, problem)


def test_batches_that_go_in_pairs_are_compared_across_the_pairs(monkeypatch):
    """Cells have counterparts in the other batch of the pair, and few in the other pair."""
    problem = in_pairs()
    drawn = problem.fit()
    monkeypatch.setattr("unbatch.core.rounds.Rounds._better_together", lambda *_: False)
    plain = problem.fit()
    assert drawn.shifts
    assert plain.support[plain.states.code, problem.batch].mean() > 0.99
    least_kept = [kept_information(fit.states.code, problem.batch, fit.states.apart)[0] for fit in (plain, drawn)]
    assert least_kept[0] < 0.4
    assert least_kept[1] > 0.7
    assert rmse(drawn.effects.log_delta, problem) < 0.85 * rmse(plain.effects.log_delta, problem)


def test_states_of_cells_that_were_drawn_together_hold_one_type_each():
    problem = own_way(seed=1)
    fitted = problem.fit()
    assert fitted.shifts
    table = np.zeros((fitted.states.n_states, 5))
    np.add.at(table, (fitted.states.code, problem.cell_type), 1)
    assert table.max(axis=1).sum() > 0.97 * len(problem.batch)


def test_errors_know_which_states_are_alike(monkeypatch):
    problem, told = own_way(), fit_of_own_way()
    kind = told.states.kinds()
    assert len(np.unique(kind)) > 1
    np.testing.assert_array_equal(told.refit.how.kind, kind)
    size = np.asarray(problem.counts.sum(axis=1)).ravel() / problem.counts.sum(axis=1).mean()
    table = StateTable.of(
        problem.counts, state=told.states.code, batch=problem.batch, size=size, shape=told.support.shape
    )
    alone = replace(told.refit, how=replace(told.refit.how, kind=np.zeros_like(kind)))
    assert np.median(told.refit.effects(table).se / alone.effects(table).se) > 1.1
    monkeypatch.setattr(States, "kinds", lambda self: np.zeros(self.n_states, dtype=np.int64))
    assert np.median(told.effects.se / problem.fit().effects.se) > 1.1


@pytest.mark.parametrize("problem", [graded(), simulated(seed=1), simulated(seed=1, log_delta_sd=0)])
def test_cells_that_have_counterparts_are_not_drawn(problem):
    assert problem.fit().shifts == ()


def test_graded_states_of_which_batches_hold_other_parts_are_corrected_instead(monkeypatch):
    adata = ub.simulate(confounding=0.9, seed=5)
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    counts, truth = sparse.csr_array(adata.X).astype(np.float64), np.array(adata.varm["log_delta_true"])
    problem = Problem(counts, batch, np.zeros_like(batch), truth)
    corrected = problem.fit()
    monkeypatch.setattr("unbatch.core.rounds.choose_composition", lambda *_, **__: NO_COMPOSITION)
    monkeypatch.setattr("unbatch.core.rounds.Rounds.displaced", lambda *_: True)
    drawn = problem.fit()
    assert drawn.shifts
    assert corrected.shifts == ()
    assert corrected.composition.strength == 1
    assert rmse(corrected.effects.log_delta, problem) < 0.7 * rmse(drawn.effects.log_delta, problem)


def test_rounds_that_do_not_settle_are_drawn_together_half_way(monkeypatch):
    asked = []
    monkeypatch.setattr("unbatch.core.rounds.Rounds._better_together", lambda *_: asked.append(1) or True)
    fitted = own_way().fit(settings=Settings(tol=1e-12, max_rounds=4))
    assert len(asked) == 1
    assert fitted.shifts
    assert len(fitted.trace["change"]) == 4
