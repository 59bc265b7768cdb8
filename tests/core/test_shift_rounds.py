"""Rounds of shifts: each starts where the one before ended, and batches can be given other numbers."""

import numpy as np
import pytest

from unbatch.core.shift_rounds import among_batches, apply_rounds, find_rounds, with_shifts


@pytest.fixture
def moved():
    """Cells of four types in two batches, the second of which moves each type in its own way."""
    rng = np.random.default_rng(3)
    kind, batch = np.tile(np.arange(4), 150), np.repeat(np.arange(2, dtype=np.int32), 300)
    where = 12 * np.eye(4, 6)[kind] + rng.normal(size=(600, 6))
    where[batch == 1] += rng.normal(0, 0.8, size=(4, 6))[kind[batch == 1]]
    keys = rng.integers(0, 2**62, 600).astype(np.uint64)
    return where, batch, kind, keys


def found(moved):
    where, batch, _, keys = moved
    level, group = np.zeros_like(batch), np.zeros(2, dtype=np.int64)
    return find_rounds(where, batch=batch, level=level, group=group, keys=keys, seed=0)


def apart(where, batch, kind):
    """Mean distance between the batches' means of a type."""
    means = [[where[(kind == t) & (batch == k)].mean(axis=0) for k in (0, 1)] for t in range(4)]
    return np.mean([np.linalg.norm(first - second) for first, second in means])


def test_cells_come_together_round_after_round(moved):
    where, batch, kind, _ = moved
    rounds, after = found(moved)
    level = np.zeros_like(batch)
    np.testing.assert_array_equal(apply_rounds(rounds, where, batch, level), after)
    distances = [apart(apply_rounds(rounds[:n], where, batch, level), batch, kind) for n in (0, 1, len(rounds))]
    assert distances[0] > 1.5
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.8  # chance alone leaves 0.4


def test_no_rounds_move_nothing(moved):
    where, batch, *_ = moved
    assert apply_rounds((), where, batch, np.zeros_like(batch)) is where
    assert among_batches((), np.array([1]), 3) == ()


def test_batches_can_have_other_numbers(moved):
    where, batch, *_ = moved
    rounds, after = found(moved)
    level = np.zeros_like(batch)
    among = among_batches(rounds, np.array([3, 1]), 5)
    renamed = np.array([3, 1], dtype=np.int32)[batch]
    np.testing.assert_array_equal(apply_rounds(among, where, renamed, level), after)
    for other in (-1, 0, 5):
        np.testing.assert_array_equal(apply_rounds(among, where, np.full_like(batch, other), level), where)
    swapped = with_shifts(rounds, [[one.shift[:, 1], one.shift[:, 0]] for one in rounds])
    np.testing.assert_array_equal(apply_rounds(swapped, where, 1 - batch, level), after)
