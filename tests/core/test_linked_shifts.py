"""Shifts from linked pseudobulks: against sums written out, and where the shifts of states do not reach."""

import numpy as np
import pytest

from unbatch.core.linked_shifts import LinkedPseudobulks, find_linked_shifts
from unbatch.core.shift_rounds import find_rounds

FAR = np.array([[10.0, 0.0, 0.0], [0.0, 10.0, 0.0]])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def types(rng, *, apart, n_batches=2, n_cells=1200, own=None):
    """Two types of cells, each moved by each batch: (2, n_batches, 3) to where; pseudobulks by batch, type and luck."""
    batch = rng.integers(0, n_batches, n_cells).astype(np.int32)
    kind = rng.integers(0, 2, n_cells).astype(np.int32)
    luck = rng.integers(0, 3, n_cells)
    where = FAR[kind] + apart[kind, batch] + rng.normal(0, 0.3, (n_cells, 3))
    code = ((batch * 2 + kind) * 3 + luck).astype(np.int32)
    numbers = np.arange(n_batches * 6).reshape(n_batches, 2, 3)
    pairs = np.array(
        [
            (numbers[k, t, i], numbers[m, t, i])
            for k in range(n_batches)
            for m in range(k + 1, n_batches)
            for t in (range(2) if own is None else own)
            for i in range(3)
        ]
    )
    linked = LinkedPseudobulks(
        code, np.repeat(np.arange(n_batches), 6).astype(np.int32), np.zeros(6 * n_batches, dtype=np.int32), pairs
    )
    return where, batch, kind, linked


def shifted(where, batch, linked, *, group=None, level=None):
    level = np.zeros_like(batch) if level is None else level
    group = np.zeros(batch.max() + 1, dtype=np.int64) if group is None else group
    keys = np.arange(len(where), dtype=np.uint64)
    found = find_linked_shifts(where, linked, batch=batch, level=level, group=group, keys=keys, seed=0)
    return found.apply(where, batch, level)


def centre(where, *chosen):
    return where[np.logical_and.reduce(chosen)].mean(axis=0)


def test_each_type_of_a_batch_is_drawn_to_its_counterpart(rng):
    """Types are moved in their own ways, and meet half way with two batches."""
    apart = np.zeros((2, 2, 3))
    apart[0, 1], apart[1, 1] = (0, 0, 4), (0, 0, -4)
    where, batch, kind, linked = types(rng, apart=apart)
    moved = shifted(where, batch, linked)
    for t in range(2):
        here = [centre(moved, kind == t, batch == k) for k in range(2)]
        before = [centre(where, kind == t, batch == k) for k in range(2)]
        assert np.linalg.norm(before[0] - before[1]) > 3.9
        np.testing.assert_allclose(here[0], here[1], atol=0.1)
        np.testing.assert_allclose(here[0], (before[0] + before[1]) / 2, atol=0.1)


def test_it_goes_where_shifts_of_states_do_not_reach(rng):
    apart = np.zeros((2, 2, 3))
    apart[0, 1], apart[1, 1] = (0, 0, 8), (0, 0, -8)
    where, batch, kind, linked = types(rng, apart=apart)
    keys, group = np.arange(len(where), dtype=np.uint64), np.zeros(2, dtype=np.int64)
    alone = find_rounds(where, batch=batch, level=np.zeros_like(batch), group=group, keys=keys, seed=0)[1]
    moved = shifted(where, batch, linked)
    for t in range(2):
        left = [
            np.linalg.norm(np.subtract(*(centre(to, kind == t, batch == k) for k in range(2)))) for to in (alone, moved)
        ]
        assert left[0] > 6
        assert left[1] < 0.3


def test_three_batches_meet_in_their_middle(rng):
    apart = rng.normal(0, 2, (2, 3, 3))
    where, batch, kind, linked = types(rng, apart=apart, n_batches=3)
    moved = shifted(where, batch, linked)
    for t in range(2):
        middle = np.mean([centre(where, kind == t, batch == k) for k in range(3)], axis=0)
        for k in range(3):
            np.testing.assert_allclose(centre(moved, kind == t, batch == k), middle, atol=0.15)


def test_what_is_not_linked_goes_along_with_what_is_common(rng):
    apart = np.zeros((2, 2, 3))
    apart[:, 1] = (0, 0, 4)
    where, batch, kind, linked = types(rng, apart=apart, own=[0])
    moved = shifted(where, batch, linked)
    here = [centre(moved, kind == 1, batch == k) for k in range(2)]
    np.testing.assert_allclose(here[0], here[1], atol=0.1)


def test_cells_that_do_not_differ_are_drawn_all_the_same(rng):
    apart = np.zeros((2, 2, 3))
    apart[0, 1], apart[1, 1] = (0, 0, 4), (0, 0, -4)
    where, batch, kind, linked = types(rng, apart=apart)
    where = FAR[kind] + apart[kind, batch]
    moved = shifted(where, batch, linked)
    for t in range(2):
        here = [centre(moved, kind == t, batch == k) for k in range(2)]
        np.testing.assert_allclose(here[0], here[1], atol=1e-6)


def test_without_links_nothing_moves(rng):
    where, batch, _, linked = types(rng, apart=rng.normal(0, 2, (2, 2, 3)))
    nothing = LinkedPseudobulks(linked.code, linked.batch, linked.level, linked.pairs[:0])
    np.testing.assert_array_equal(shifted(where, batch, nothing), where)


def test_batches_of_other_groups_and_of_none_are_left_alone(rng):
    where, batch, kind, linked = types(rng, apart=rng.normal(0, 2, (2, 4, 3)), n_batches=4)
    moved = shifted(where, batch, linked, group=np.array([0, 0, 1, -1]))
    np.testing.assert_array_equal(moved[batch >= 2], where[batch >= 2])
    for t in range(2):
        here = [centre(moved, kind == t, batch == k) for k in range(2)]
        np.testing.assert_allclose(here[0], here[1], atol=0.1)


def test_cells_follow_the_pseudobulks_of_their_own_level(rng):
    """Two levels whose cells lie in the same place, and are moved in opposite directions."""
    apart = np.zeros((2, 2, 3))
    apart[0, 1], apart[1, 1] = (0, 0, 4), (0, 0, -4)
    where, batch, kind, linked = types(rng, apart=apart)
    where -= FAR[kind]
    linked = LinkedPseudobulks(linked.code, linked.batch, (np.arange(12) // 3 % 2).astype(np.int32), linked.pairs)
    moved = shifted(where, batch, linked, level=kind)
    for t in range(2):
        here = [centre(moved, kind == t, batch == k) for k in range(2)]
        np.testing.assert_allclose(here[0], here[1], atol=0.1)
