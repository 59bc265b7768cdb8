"""One round of shifts: who moves, by how much, and what stays."""

import numpy as np
import pytest

from unbatch.core.keyed import keys_by_place
from unbatch.core.shifts import Shifts, find_shifts

N_DIMS = 5


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def clouds(rng, *sizes, at):
    """Cells around points: (positions, number of the point)."""
    kind = np.repeat(np.arange(len(sizes)), sizes)
    return np.asarray(at, dtype=float)[kind] + rng.standard_normal((len(kind), N_DIMS)), kind


def shifted(where, batch, **options):
    level = np.zeros_like(batch)
    group, keys = np.zeros(int(batch.max()) + 1, int), keys_by_place(len(where))
    found = find_shifts(where, batch=batch, level=level, group=group, keys=keys, seed=0, **options)
    return found, found.apply(where, batch, level) - where


def points(*along):
    return np.column_stack([np.asarray(along, dtype=float), np.zeros((len(along), N_DIMS - 1))])


def test_weights_are_those_of_the_formula(rng):
    centres, where = rng.normal(size=(5, 3)), rng.normal(size=(40, 3))
    level, of_centre = rng.integers(0, 2, 40).astype(np.int32), np.array([0, 1, 0, 1, 0], dtype=np.int32)
    shifts = Shifts(centres, of_centre, 0.7, 1.0, centres, np.ones(5), np.zeros((5, 2, 3)))
    squared = np.square(where[:, None] - centres).sum(axis=2)
    expected = np.where(level[:, None] == of_centre, np.exp(-squared / 0.7), 0.0)
    np.testing.assert_allclose(shifts.weights(where, level), expected / expected.sum(axis=1, keepdims=True), rtol=1e-10)


def test_cells_on_a_centre_belong_to_it_however_far_the_others_are(rng):
    centres, nothing = 1e4 * rng.normal(size=(5, 3)), np.zeros(5, dtype=np.int32)
    shifts = Shifts(centres, nothing, 1e-3, 1.0, centres, np.ones(5), np.zeros((5, 2, 3)))
    np.testing.assert_array_equal(shifts.weights(centres, nothing), np.eye(5))


def test_cells_move_by_the_weighted_shifts_of_their_batch(rng):
    centres, where, shift = rng.normal(size=(5, 3)), rng.normal(size=(40, 3)), rng.normal(size=(5, 2, 3))
    nothing, batch = np.zeros(40, dtype=np.int32), rng.integers(-1, 3, 40).astype(np.int32)
    shifts = Shifts(centres, np.zeros(5, dtype=np.int32), 0.7, 1.0, centres, np.ones(5), shift)
    expected = where.copy()
    for j, weights in enumerate(shifts.weights(where, nothing)):
        if batch[j] in (0, 1):
            expected[j] += weights @ shift[:, batch[j]]
    moved = shifts.apply(where, batch, nothing)
    np.testing.assert_allclose(moved, expected, rtol=1e-10)
    np.testing.assert_array_equal(moved[(batch < 0) | (batch > 1)], where[(batch < 0) | (batch > 1)])


def test_cells_of_a_level_without_states_stay(rng):
    nowhere, nothing = np.zeros((1, 2)), np.zeros(1, dtype=np.int32)
    shifts = Shifts(nowhere, nothing, 1.0, 1.0, nowhere, np.ones(1), np.ones((1, 1, 2)))
    where, nothing = rng.normal(size=(4, 2)), np.zeros(4, dtype=np.int32)
    np.testing.assert_array_equal(shifts.apply(where, nothing, np.full(4, 7, dtype=np.int32)), where)


def test_a_batch_that_lies_apart_in_all_states_is_drawn_near(rng):
    here, _ = clouds(rng, 200, 200, at=points(0, 40))
    batch = np.repeat(np.arange(2, dtype=np.int32), len(here))
    where = np.concatenate([here, here + np.eye(N_DIMS)[1] * 1.2])
    for _ in range(5):
        where += shifted(where, batch)[1]
    apart = where[batch == 1].mean(axis=0) - where[batch == 0].mean(axis=0)
    assert np.linalg.norm(apart) < 0.6  # of 1.2


def test_a_type_near_another_stays_if_what_is_near_is_taken_by_its_own_kind(rng):
    """Types 0 and 1 are near one another; batch 1 lacks type 0, whose cells must not be drawn to type 1."""
    first, kind = clouds(rng, 300, 300, at=points(0, 5))
    second, other = clouds(rng, 0, 300, at=points(0, 5))
    where, kind = np.concatenate([first, second]), np.concatenate([kind, other])
    batch = np.repeat(np.arange(2, dtype=np.int32), [len(first), len(second)])
    _, moved = shifted(where, batch)
    assert np.linalg.norm(moved[(kind == 0)].mean(axis=0)) < 0.25


def test_cells_of_no_batch_stay_and_count_in_none(rng):
    where, _ = clouds(rng, 200, 200, at=points(0, 30))
    batch = np.tile(np.array([0, 1, -1, 1], dtype=np.int32), 100)
    where[batch == 1] += np.eye(N_DIMS)[1]
    found, moved = shifted(where, batch)
    assert not moved[batch == -1].any()
    assert np.linalg.norm(moved[batch == 1].mean(axis=0)) > 0.1
    assert found.share.sum() == pytest.approx(1.0)


def test_cells_in_other_proportions_are_not_moved_between_types(rng):
    first, kind = clouds(rng, 400, 100, at=points(0, 6))
    second, other = clouds(rng, 100, 400, at=points(0, 6))
    where, kind = np.concatenate([first, second]), np.concatenate([kind, other])
    batch = np.repeat(np.arange(2, dtype=np.int32), [len(first), len(second)])
    _, moved = shifted(where, batch)
    for one in (0, 1):
        for own in (0, 1):
            assert np.linalg.norm(moved[(kind == one) & (batch == own)].mean(axis=0)) < 0.5


def test_shares_of_states_are_those_of_a_batch_and_of_its_level(rng):
    where, _ = clouds(rng, 200, 200, at=points(0, 30))
    batch = np.tile(np.arange(2, dtype=np.int32), 200)
    found, _ = shifted(where, batch)
    assert found.share.sum() == pytest.approx(1.0)
    left = found.centres[:, 0] < 15
    assert found.share[left].sum() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(found.share[left] @ found.target[left] / 0.5, where[:200].mean(axis=0), atol=0.2)


def test_a_type_without_counterparts_goes_along_with_its_batch(rng):
    """Not to what is near, and not left behind: it moves as the other types of its batch do."""
    first, _ = clouds(rng, 150, 150, 150, at=points(0, 40, 80))
    second, kind = clouds(rng, 150, 150, 150, 150, at=points(0, 40, 80, 120))
    batch = np.repeat(np.arange(2, dtype=np.int32), [len(first), len(second)])
    _, moved = shifted(np.concatenate([first, second + 1.2 * np.eye(N_DIMS)[1]]), batch)
    own = moved[batch == 1]
    along = own[kind < 3].mean(axis=0)
    assert along[1] < -0.2
    np.testing.assert_allclose(own[kind == 3].mean(axis=0), along, atol=0.1)
