"""States tell whether batches are displaced by the way that their cells would be moved, or hold other cells."""

from functools import partial

import numpy as np
import pytest
from matched_problems import rmse, simulated
from scipy import sparse

import unbatch as ub
from unbatch.core import embedding
from unbatch.core.clustering import k_means
from unbatch.core.displacement import SHOWN_BY_LITTLE, visible_shares
from unbatch.core.keyed import keys_by_place
from unbatch.core.rounds import Rounds, Settings
from unbatch.core.shift_rounds import find_rounds
from unbatch.core.states import States
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts

FEW_TYPES = {"n_genes": 1000, "median_depth": 12000, "dispersion": 0.3, "marker_share": 0.1, "log_delta_sd": 0.4}
TWO_TYPES = FEW_TYPES | {"n_types": 2, "composition": 0.5, "n_factors": 5, "marker_log_fold_sd": 0.7, "seed": 78}
"""Batches of one type mostly, two of the one and one of the other."""
FIVE_TYPES = FEW_TYPES | {"n_types": 5, "composition": 0.3, "n_factors": 2, "marker_log_fold_sd": 0.7, "variation": 0.1}


def shares(where, moved, state, batch):
    compared = np.ones((state.max() + 1, batch.max() + 1), dtype=bool)
    return visible_shares(where, moved, state, batch, compared=compared)


def drawn_together(where, batch):
    """Move each batch to the mean of the means of all."""
    means = np.stack([where[batch == k].mean(axis=0) for k in range(batch.max() + 1)])
    return where + (means.mean(axis=0) - means)[batch]


def in_states(where, batch):
    return k_means(where, len(where) // 40, seed=0), drawn_together(where, batch)


@pytest.mark.parametrize("n_dims", [5, 20])
@pytest.mark.parametrize("apart", [1.0, 3.0])
def test_states_show_that_a_batch_is_displaced(apart, n_dims):
    """However finely few axes are cut."""
    rng = np.random.default_rng(0)
    batch = np.repeat(np.arange(2, dtype=np.int32), 1000)
    where = rng.normal(size=(2000, n_dims))
    where[:, 0] += apart * batch
    state, moved = in_states(where, batch)
    found, together = shares(where, moved, state, batch)
    assert together > 1.3 * SHOWN_BY_LITTLE
    np.testing.assert_allclose(found, together, rtol=0.01)  # two batches show the same


@pytest.mark.parametrize("n_dims", [5, 20])
@pytest.mark.parametrize("rare", [50, 200])
def test_states_show_that_batches_hold_the_same_types_in_other_shares(rare, n_dims):
    rng = np.random.default_rng(1)
    batch = np.repeat(np.arange(2, dtype=np.int32), 1000)
    of_other = np.tile(np.arange(1000) < rare, 2)
    where = rng.normal(size=(2000, n_dims))
    where[:, 0] += 6 * (batch ^ of_other)
    state, moved = in_states(where, batch)
    assert max(shares(where, moved, state, batch)[0]) < SHOWN_BY_LITTLE


def test_what_no_state_tells_of_is_let_pass():
    rng = np.random.default_rng(2)
    batch = np.repeat(np.arange(2, dtype=np.int32), 100)
    where = rng.normal(size=(200, 5)) + 10 * batch[:, None]
    found, together = shares(where, drawn_together(where, batch), batch, batch)
    assert found.tolist() == [1, 1]
    assert together == 1


def test_batches_that_are_not_looked_at_are_let_pass():
    rng = np.random.default_rng(4)
    where, batch, state = rng.normal(size=(50, 3)), np.repeat([0, 1], 25).astype(np.int32), np.zeros(50, dtype=np.int32)
    compared = np.zeros((1, 2), dtype=bool)
    found, together = visible_shares(where, drawn_together(where, batch), state, batch, compared=compared)
    assert found.tolist() == [1, 1]
    assert together == 1


def test_cells_that_stay_show_all_of_their_way():
    where, batch = np.zeros((10, 2)), np.repeat([0, 1], 5).astype(np.int32)
    assert shares(where, where, np.zeros(10, dtype=np.int32), batch)[1] == 1


def test_shares_equal_a_loop():
    rng = np.random.default_rng(3)
    where, moved = rng.normal(size=(300, 3)), rng.normal(size=(300, 3))
    state, batch = rng.integers(0, 4, 300).astype(np.int32), rng.integers(0, 3, 300).astype(np.int32)
    compared = np.ones((4, 3), dtype=bool)
    compared[1, 2] = compared[2, :2] = False
    seen, whole = np.zeros(3), np.zeros(3)
    for s in range(4):
        for k in np.flatnonzero(compared[s]):
            mine = (state == s) & (batch == k)
            theirs = (state == s) & (batch != k) & compared[s, batch]
            if not (mine.any() and theirs.any()):
                continue
            weight = mine.sum() * theirs.sum() / (mine.sum() + theirs.sum())
            difference = where[mine].mean(axis=0) - where[theirs].mean(axis=0)
            way = difference - (moved[mine].mean(axis=0) - moved[theirs].mean(axis=0))
            seen[k] += weight * (difference @ way)
            whole[k] += weight * (way @ way)
    part, inside, around = compared[state, batch], np.zeros(3), np.zeros(3)
    for variance, groups in ((inside, 3 * state + batch), (around, batch)):
        names = np.unique(groups[part])
        for name in names:
            mine = where[part & (groups == name)]
            variance[:] += np.square(mine - mine.mean(axis=0)).sum(axis=0) / (part.sum() - len(names))
    seen /= (inside / around).max()
    of_a_cell = np.square(moved - where).sum(axis=1).mean()
    found, together = visible_shares(where, moved, state, batch, compared=compared)
    np.testing.assert_allclose(found, (seen + of_a_cell) / (whole + of_a_cell))
    assert together == pytest.approx((seen.sum() + of_a_cell) / (whole.sum() + of_a_cell))


@pytest.mark.parametrize("options", [TWO_TYPES, FIVE_TYPES | {"seed": 79}])
def test_batches_with_other_shares_of_types_are_not_drawn_together(monkeypatch, options):
    """In the first, much of a contrast would be won; in the second, cells without counterparts would have some."""
    problem = simulated(**options)
    fitted = problem.fit()
    assert fitted.shifts == ()
    monkeypatch.setattr("unbatch.core.rounds.Rounds.displaced", lambda *_: True)
    drawn = problem.fit()
    assert drawn.shifts
    assert rmse(fitted.effects.log_delta, problem) < 0.7 * rmse(drawn.effects.log_delta, problem)


@pytest.mark.parametrize(
    ("shown", "alone", "common", "displaced"),
    [
        (0.8, 0.0, False, True),
        (0.6, 0.0, False, False),
        (0.6, 0.3, False, False),
        (0.6, 0.5, False, True),
        (0.6, 0.0, True, True),
        (0.3, 0.5, True, False),
    ],
)
def test_less_must_be_shown_by_few_cells_and_of_what_is_common(monkeypatch, shown, alone, common, displaced):
    batch, state = np.repeat(np.arange(2, dtype=np.int32), 10), np.zeros(20, dtype=np.int32)
    state[: round(10 * alone)] = 1
    way = np.ones((20, 2)) if common else np.tile([[1.0], [-1.0]], (10, 2))
    rounds = Rounds(
        counts=sparse.csr_array((20, 3)),
        batch=batch,
        measured=np.ones((3, 2), dtype=bool),
        shared=np.ones(3, dtype=bool),
        level=np.zeros(20, dtype=np.int32),
        control_genes=None,
        settings=Settings(),
        seed=0,
    )
    states = States(code=state, apart=np.zeros((2, 2), dtype=bool), centres=np.zeros((2, 2)), level=np.zeros(2))
    monkeypatch.setattr("unbatch.core.rounds.visible_shares", lambda *_, **__: (np.full(2, shown), shown))
    assert rounds.displaced(np.zeros((20, 2)), way, states) == displaced


def test_a_batch_that_leaves_it_open_goes_with_the_others_of_its_group_or_with_the_fit(monkeypatch):
    rng = np.random.default_rng(6)
    where, batch = rng.normal(size=(90, 3)), np.repeat(np.arange(3, dtype=np.int32), 30)
    level, group = np.zeros(90, dtype=np.int32), np.zeros(3, dtype=np.int64)
    find = partial(find_rounds, where, batch=batch, level=level, keys=keys_by_place(90), seed=0)
    rounds, moved = find(group=group)
    told = partial(embedding._displaced, rounds[0], where, moved, batch=batch, level=level, group=group)
    some, more = [True, False, False], [True, True, False]
    for together, known, expected in ((0.8, False, more), (0.6, False, some), (0.6, True, more)):
        shown = np.array([0.75, 0.5, 0.3]), together
        monkeypatch.setattr(embedding, "visible_shares", lambda *_, shown=shown, **__: shown)
        assert told(known=known).tolist() == expected


def same_type(adata):
    """Share of the ten nearest neighbours that are of a cell's own type."""
    place = adata.obsm["X_unbatch"]
    near = np.square(place[:, None] - place[None]).sum(axis=2).argsort(axis=1)[:, 1:11]
    kind = adata.obs["cell_type"].cat.codes.to_numpy()
    return float((kind[near] == kind[:, None]).mean())


@pytest.fixture(scope="module")
def of_two_types():
    return ub.simulate(**TWO_TYPES, n_batches=3, n_cells=900)


def test_the_embedding_keeps_types_apart_that_are_many_in_other_batches(monkeypatch, of_two_types):
    together = of_two_types.copy()
    ub.tl.batch_effects(of_two_types, batch_key="batch")
    assert same_type(of_two_types) > 0.98
    monkeypatch.setattr("unbatch.core.embedding.SHOWN", -np.inf)
    ub.tl.batch_effects(together, batch_key="batch")
    assert same_type(together) < 0.9


def test_batches_that_are_displaced_are_drawn_without_those_that_are_not(monkeypatch):
    """The second displaces each type in its own way; the third is said not to be displaced."""
    rng = np.random.default_rng(5)
    batch, kind = np.repeat(np.arange(3, dtype=np.int32), 300), np.tile(np.arange(3), 300)
    where = rng.normal(size=(900, 10)) + 8 * np.eye(3, 10)[kind] + np.eye(10)[5 + kind] * (2 * (batch == 1))[:, None]
    level, group = np.zeros(900, dtype=np.int32), np.zeros(3, dtype=np.int64)
    find = partial(find_rounds, where, batch=batch, level=level, keys=keys_by_place(900), seed=0)
    options = {"batch": batch, "level": level, "group": group, "known": False}
    monkeypatch.setattr(embedding, "_displaced", lambda *_, **__: np.array([True, True, True]))
    whole, moved = embedding._drawn(find, where, **options)
    assert all((one.shift != 0).any(axis=(0, 2)).tolist() == [True] * 3 for one in whole)
    monkeypatch.setattr(embedding, "_displaced", lambda *_, **__: np.array([True, True, False]))
    rounds, alone = embedding._drawn(find, where, **options)
    np.testing.assert_array_equal(alone[batch == 2], where[batch == 2])
    assert rounds[0].shift[:, :2].any(axis=(0, 2)).all()

    def between(place):
        return sum(
            np.linalg.norm(np.subtract(*(place[(batch == k) & (kind == t)].mean(axis=0) for k in (0, 1))))
            for t in range(3)
        )

    assert between(alone) < 0.3 * between(where)
    assert between(moved) < 0.3 * between(where)


def test_a_model_that_draws_no_cells_is_read_and_maps_new_ones(tmp_path, of_two_types):
    source = open_counts(of_two_types)
    model = ub.BatchModel().fit_source(source, read_batches(source, "batch"))
    assert model.result.embedder.rounds == ()
    model.save(tmp_path / "model.h5ad")
    read = ub.BatchModel.load(tmp_path / "model.h5ad")
    assert read.result.embedder.rounds == ()
    place, kind = model.result.embedding, of_two_types.obs["cell_type"].to_numpy()
    np.testing.assert_array_equal(read.map(of_two_types).result.embedding, place)
    new = of_two_types[of_two_types.obs["batch"] == "batch_2"].copy()
    new.obs["batch"] = "new"
    found = read.map(new).result.embedding
    nearest = np.square(found[:, None] - place[None]).sum(axis=2).argmin(axis=1)
    assert (kind[nearest] == new.obs["cell_type"].to_numpy()).mean() > 0.98
