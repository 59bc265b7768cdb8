"""The embedding: shifts of states against sums written out, and what must and must not move."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from unbatch.core import embedding_states
from unbatch.core.embedding import find_embedding, mean_effect
from unbatch.core.log_counts import LogCounts
from unbatch.core.shift_rounds import with_shifts

N_GENES, N_TYPES, PER_TYPE = 60, 4, 60
CENTRES = 2 + 2 * np.random.default_rng(1).random((N_TYPES, N_GENES))
RESPONSE = 0.06 * (CENTRES[1] - CENTRES[2])
"""A change along an axis of the embedding: what lies beside all axes is not seen in it."""


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def log_counts(values, batch):
    """Log counts that are these values: counts of size and scale 1."""
    counts, genes = sparse.csr_array(np.expm1(values)), np.ones(values.shape[1], dtype=bool)
    nothing = np.zeros((values.shape[1], int(batch.max()) + 1))
    return LogCounts(counts, batch, nothing, genes, np.ones(len(values)), 1.0)


def cells(rng, *, n_batches=2):
    """Cells of some types in each batch: (values, batch, type)."""
    kind = np.tile(np.repeat(np.arange(N_TYPES), PER_TYPE), n_batches)
    batch = np.repeat(np.arange(n_batches, dtype=np.int32), N_TYPES * PER_TYPE)
    return CENTRES[kind] + 0.2 * rng.standard_normal((len(kind), N_GENES)), batch, kind


def embed(values, batch, *, level=None, group=None, n_dims=6, seed=0, denoised=False):
    """Embed, without the last step unless it is asked for: the noise of these is not that of counts."""
    logs = log_counts(values, batch)
    level = np.zeros_like(batch) if level is None else level
    group = np.zeros(int(batch.max()) + 1, dtype=np.int64) if group is None else np.asarray(group)
    found = find_embedding(
        logs, centre=np.zeros(logs.n_genes), level=level, group=group, genes=logs.genes, n_dims=n_dims, seed=seed
    )
    found = found if denoised else replace(found, denoising=None)
    before = logs.project(found.basis)
    return found, before - found.origin, found.apply(before, batch, level, size=logs.size)


def distance(where, batch, kind, *, of, batches=(0, 1)):
    one, other = (where[(batch == k) & (kind == of)].mean(axis=0) for k in batches)
    return np.linalg.norm(one - other)


def test_what_a_batch_does_to_one_state_only_is_taken_out(rng):
    values, batch, kind = cells(rng)
    hit = (batch == 1) & (kind == 0)
    values[hit] += RESPONSE
    _, before, after = embed(values, batch)
    assert distance(before, batch, kind, of=0) > 0.3
    assert distance(after, batch, kind, of=0) < 0.3 * distance(before, batch, kind, of=0)
    assert max(distance(after, batch, kind, of=k) for k in range(1, N_TYPES)) < 0.2


def test_batches_that_differ_by_chance_only_hardly_move(rng):
    values, batch, _ = cells(rng)
    _, before, after = embed(values, batch)
    moved = np.linalg.norm(after - before, axis=1)
    spread = np.sqrt(np.square(before - before.mean(axis=0)).sum(axis=1).mean())
    assert np.sqrt(np.square(moved).mean()) < 0.02 * spread


def test_a_type_of_one_batch_stays_where_it_is(rng):
    values, batch, kind = cells(rng)
    here = (batch == 0) | (kind != 0)
    values[batch == 1] += RESPONSE  # so that there is something to do
    values, batch, kind = values[here], batch[here], kind[here]
    _, before, after = embed(values, batch)
    assert distance(after, batch, kind, of=1) < 0.3 * distance(before, batch, kind, of=1)
    alone = kind == 0
    assert np.linalg.norm((after - before)[alone], axis=1).max() < 0.2


def test_a_batch_beyond_the_caliper_is_not_drawn_near(rng):
    values, batch, kind = cells(rng)
    values, batch, kind = values[kind == 0], batch[kind == 0], kind[kind == 0]
    values[batch == 1] += 6.0 * (np.arange(N_GENES) < N_GENES // 2)
    _, before, after = embed(values, batch, n_dims=3)
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_levels_are_not_drawn_together(rng):
    values, batch, kind = cells(rng, n_batches=4)
    level = (batch >= 2).astype(np.int32)
    values[level == 1] += RESPONSE
    values[batch == 1] += 0.06 * (CENTRES[0] - CENTRES[3])
    _, before, after = embed(values, batch, level=level)
    assert distance(after, batch, kind, of=0, batches=(0, 1)) < 0.3 * distance(before, batch, kind, of=0)
    kept = [distance(where, batch, kind, of=0, batches=(0, 2)) for where in (before, after)]
    assert kept[1] > 0.7 * kept[0]


def test_batches_that_cannot_be_compared_stay(rng):
    values, batch, _ = cells(rng, n_batches=3)
    values[batch > 0] += RESPONSE
    _, before, after = embed(values, batch, group=[0, 0, -1])
    np.testing.assert_array_equal(after[batch == 2], before[batch == 2])
    assert np.linalg.norm((after - before)[batch == 1], axis=1).mean() > 0.1


def test_batches_of_different_groups_are_not_drawn_together(rng):
    values, batch, kind = cells(rng, n_batches=4)
    values += (batch / 3)[:, None] * RESPONSE
    _, before, after = embed(values, batch, group=[0, 0, 1, 1])
    assert distance(after, batch, kind, of=0, batches=(0, 2)) > 0.5 * distance(
        before, batch, kind, of=0, batches=(0, 2)
    )


def test_splits_of_the_cells_change_no_bit(rng):
    values, batch, _ = cells(rng)
    values[batch == 1] += RESPONSE
    found, _, after = embed(values, batch, denoised=True)
    before, level = log_counts(values, batch).project(found.basis), np.zeros_like(batch)
    cuts = [slice(at, at + 37) for at in range(0, 480, 37)]
    parts = [found.apply(before[cut], batch[cut], level[cut], size=np.ones(480)[cut]) for cut in cuts]
    np.testing.assert_array_equal(np.concatenate(parts), after)


def test_states_of_many_cells_are_found_on_some(rng, monkeypatch):
    values, batch, kind = cells(rng)
    values[batch == 1] += RESPONSE
    monkeypatch.setattr(embedding_states, "_MOST_CELLS", 100)
    _, before, after = embed(values, batch)
    assert distance(after, batch, kind, of=0) < 0.4 * distance(before, batch, kind, of=0)


@pytest.mark.filterwarnings("error")
def test_cells_that_are_all_alike_have_no_embedding():
    batch = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    found, _, after = embed(np.ones((6, 12)), batch)
    assert not found.rounds
    assert not after.any()


def test_the_noise_of_shallow_cells_is_taken_out_the_most(rng):
    rates, depth = np.expm1(CENTRES) / np.expm1(CENTRES).sum(axis=1, keepdims=True), rng.choice([500, 2500], 960)
    kind, batch = rng.integers(N_TYPES, size=960), rng.integers(2, size=960).astype(np.int32)
    counts = sparse.csr_array(rng.poisson(depth[:, None] * rates[kind]).astype(float))
    genes = np.ones(N_GENES, dtype=bool)
    logs = LogCounts.of(counts, np.zeros((N_GENES, 2)), batch=batch, genes=genes)
    level, group = np.zeros_like(batch), np.zeros(2, dtype=int)
    found = find_embedding(logs, centre=np.zeros(N_GENES), level=level, group=group, genes=genes, n_dims=6, seed=0)
    spread = []
    for one in (replace(found, denoising=None), found):
        where = one.apply(logs.project(found.basis), batch, level, size=logs.size)
        of = [[where[(kind == k) & (depth == some)] for k in range(N_TYPES)] for some in (500, 2500)]
        spread.append([np.mean([cells.std(axis=0) for cells in cells_of]) for cells_of in of])
    assert spread[1][0] < 0.7 * spread[0][0]
    assert spread[1][1] < 0.6 * spread[0][1]
    assert spread[0][0] - spread[1][0] > 2 * (spread[0][1] - spread[1][1])


def test_batches_get_their_place_among_all(rng):
    values, batch, _ = cells(rng)
    values[batch == 1] += RESPONSE
    found, _, after = embed(values, batch)
    along = log_counts(values, batch).project(found.basis)
    wide = found.among_batches(np.array([1, 3]), 5)
    assert wide.rounds[0].shift.shape[1] == 5
    placed = wide.apply(along, 2 * batch + 1, np.zeros_like(batch), size=np.ones(len(batch)))
    np.testing.assert_array_equal(placed, after)


def test_coordinates_are_deviations_from_their_mean(rng):
    values, batch, _ = cells(rng)
    values[batch == 1] += RESPONSE
    found, _, after = embed(values, batch, denoised=True)
    np.testing.assert_allclose(after.mean(axis=0), 0, atol=1e-12)
    assert np.abs(found.origin).max() > 1


def test_the_mean_effect_stays_when_a_batch_is_split():
    log_delta, known = np.array([[0.3, -0.6], [1.0, 5.0]]), np.array([[True, True], [True, False]])
    whole = mean_effect(log_delta, sizes=np.array([10, 30]), known=known)
    np.testing.assert_allclose(whole, [(3 - 18) / 40, 1.0])
    split = mean_effect(log_delta[:, [0, 1, 1]], sizes=np.array([10, 12, 18]), known=known[:, [0, 1, 1]])
    np.testing.assert_allclose(split, whole)
    assert mean_effect(log_delta, sizes=np.array([10, 30]), known=np.zeros((2, 2), bool)).tolist() == [0, 0]


def test_a_new_batch_is_drawn_to_the_others_which_stay(rng):
    values, batch, kind = cells(rng, n_batches=3)
    values[batch == 1] += RESPONSE
    values[(batch == 2) & (kind < 2)] -= 0.5 * RESPONSE
    old = batch < 2
    found, _, after = embed(values[old], batch[old])
    along, level = log_counts(values, batch).project(found.basis), np.zeros_like(batch)
    new = found.of_new_batch(along[~old], level[~old])
    shifts = [[one.shift[:, 0], one.shift[:, 1], own] for one, own in zip(found.rounds, new, strict=True)]
    wide = replace(found, rounds=with_shifts(found.rounds, shifts))
    placed = wide.apply(along, batch, level, size=np.ones(len(batch)))
    np.testing.assert_array_equal(placed[old], after)
    assert distance(along, batch, kind, of=0, batches=(1, 2)) > 0.3
    assert distance(placed, batch, kind, of=0, batches=(1, 2)) < 0.15


def test_a_new_batch_of_another_type_stays(rng):
    values, batch, kind = cells(rng, n_batches=3)
    old = (batch < 2) & (kind != 3)
    found, _, _ = embed(values[old], batch[old])
    along = log_counts(values, batch).project(found.basis)[(batch == 2) & (kind == 3)]
    moved = found.of_new_batch(along, np.zeros(len(along), dtype=np.int32))
    assert max(np.abs(shift).max() for shift in moved) < 0.3
