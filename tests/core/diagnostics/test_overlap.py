import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.core.diagnostics import overlap


def angles(degrees):
    return np.column_stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def overlap_oracle(features, batch, n_neighbors, caliper):
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    share = []
    for j in range(len(batch)):
        distance = np.sqrt(((units - units[j]) ** 2).sum(axis=1))
        own = np.sort(distance[(batch == batch[j]) & (np.arange(len(batch)) != j)])[n_neighbors - 1]
        others = sorted(set(batch.tolist()) - {batch[j]})
        share.append(np.mean([distance[batch == k].min() <= caliper * own for k in others]))
    return np.array(share)


def test_overlap_equals_its_definition():
    rng = np.random.default_rng(3)
    batch = np.repeat(np.array([0, 1, 2], dtype=np.int32), 30)
    features = rng.normal(size=(90, 3)) + 1.5 * batch[:, None]
    result = overlap(features, batch, n_neighbors=4, caliper=0.8)
    assert np.array_equal(result.cell, overlap_oracle(features, batch, 4, 0.8))
    assert 0 < result.cell.mean() < 1


def test_planted_private_states_have_no_overlap():
    # batches 0 and 1 share the state near 0 degrees; 1 alone has 120 degrees, 2 alone has 240 degrees
    rng = np.random.default_rng(4)
    state = np.concatenate([np.zeros(80), np.zeros(40), np.full(40, 120), np.full(60, 240)])
    batch = np.repeat(np.array([0, 1, 2], dtype=np.int32), [80, 80, 60])
    result = overlap(angles(state + rng.normal(0, 3, 220)), batch, n_neighbors=10, caliper=1.5)
    assert result.support == pytest.approx(np.array([[1, 1, 0], [0.5, 1, 0], [0, 0, 1]]))
    assert result.cell == pytest.approx(np.repeat([0.5, 0.5, 0, 0], [80, 40, 40, 60]))


def test_overlap_grows_with_the_caliper():
    rng = np.random.default_rng(5)
    batch = np.repeat(np.array([0, 1], dtype=np.int32), 50)
    features = angles(rng.normal(0, 10, 100) + 25 * batch)
    shares = [overlap(features, batch, caliper=c).cell.mean() for c in (0.1, 1.0, 10.0, 1000.0)]
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert shares[-1] == 1


def test_cells_that_take_no_part_have_overlap_zero_and_change_nothing():
    rng = np.random.default_rng(6)
    features, batch = rng.normal(size=(60, 3)), np.tile(np.array([0, 1], dtype=np.int32), 30)
    more = np.vstack([features, np.zeros((1, 3)), features[:1]])
    codes = np.concatenate([batch, np.array([0, -1], dtype=np.int32)])
    result, alone = overlap(more, codes), overlap(features, batch)
    assert np.array_equal(result.cell, [*alone.cell, 0, 0])
    assert np.array_equal(result.support, alone.support)


def test_a_cell_alone_in_its_batch_and_a_batch_without_cells():
    features = np.vstack([angles(np.linspace(0, 10, 20)), angles(np.array([5.0]))])
    batch = np.array([0] * 20 + [2], dtype=np.int32)  # no cell of batch 1
    result = overlap(features, batch)
    assert np.all(np.isfinite(result.cell))
    assert result.cell[-1] == 0
    assert np.array_equal(result.support[1], [0, 0, 0])
    assert np.array_equal(result.support[2], [0, 0, 1])
    assert result.support[0, 0] == 1
    assert 0 < result.support[0, 2] <= 1
    assert result.cell[:20].max() == 1


def test_one_batch_overlaps_with_nothing():
    assert not overlap(np.eye(4), np.zeros(4, dtype=np.int32)).cell.any()


def test_one_neighbour_is_enough_and_reaches_as_far_as_the_nearest_own_one():
    features = angles(np.array([0.0, 1.0, 0.9, 2.5]))
    batch = np.array([0, 0, 1, 1], dtype=np.int32)
    assert overlap(features, batch, n_neighbors=1, caliper=1.0).cell.tolist() == [1, 1, 1, 1]
    assert overlap(features, batch, n_neighbors=1, caliper=0.5).cell.tolist() == [0, 1, 1, 0]


def test_bad_arguments_are_refused():
    batch = np.zeros(3, dtype=np.int32)
    with pytest.raises(InputError, match="positive caliper"):
        overlap(np.eye(3), batch, caliper=0)
    with pytest.raises(InputError, match="at least 1 neighbour"):
        overlap(np.eye(3), batch, n_neighbors=0)
