import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.core.diagnostics import expected_same_batch_share, same_batch_share


def test_share_equals_counting_neighbours():
    rng = np.random.default_rng(0)
    points, batch = rng.normal(size=(50, 3)), rng.integers(0, 3, 50).astype(np.int32)
    shares = []
    for j in range(50):
        order = np.argsort(((points - points[j]) ** 2).sum(axis=1))
        shares.append(np.mean(batch[order[1:6]] == batch[j]))
    assert same_batch_share(points, batch, n_neighbors=5) == pytest.approx(np.mean(shares))


def test_share_is_one_for_batches_apart_and_as_expected_for_batches_mixed():
    rng = np.random.default_rng(1)
    points, batch = rng.normal(size=(1500, 4)), rng.choice(3, 1500, p=[0.6, 0.3, 0.1]).astype(np.int32)
    expected = expected_same_batch_share(batch)
    assert expected == pytest.approx(0.46, abs=0.03)
    assert same_batch_share(points, batch) == pytest.approx(expected, abs=0.02)
    assert same_batch_share(points + 100 * batch[:, None], batch) == 1


def test_a_cell_is_not_its_own_neighbour_even_among_copies():
    points, batch = np.zeros((30, 2)), np.repeat(np.array([0, 1], dtype=np.int32), 15)
    share = same_batch_share(points, batch, n_neighbors=29)
    assert share == pytest.approx(expected_same_batch_share(batch))
    assert same_batch_share(points, np.arange(30, dtype=np.int32), n_neighbors=3) == 0


def test_expected_share_is_the_chance_of_a_pair():
    batch = np.array([0, 0, 0, 1, 1, -1], dtype=np.int32)
    pairs = [batch[i] == batch[j] for i in range(5) for j in range(5) if i != j]
    assert expected_same_batch_share(batch) == pytest.approx(np.mean(pairs))


def test_cells_without_batch_are_left_out_of_the_share():
    rng = np.random.default_rng(2)
    points, batch = rng.normal(size=(40, 2)), rng.integers(0, 2, 40).astype(np.int32)
    with_more = np.vstack([points, points[:10]])
    codes = np.concatenate([batch, np.full(10, -1, dtype=np.int32)])
    assert same_batch_share(with_more, codes) == same_batch_share(points, batch)


def test_fewer_cells_than_neighbours_use_all_others():
    assert same_batch_share(np.eye(3), np.array([0, 0, 1], dtype=np.int32)) == pytest.approx(1 / 3)


def test_too_few_cells_are_refused():
    batch = np.zeros(3, dtype=np.int32)
    with pytest.raises(InputError, match="1 cells and n_neighbors=15"):
        same_batch_share(np.eye(1), batch[:1])
    with pytest.raises(InputError, match="1 cells have a batch"):
        expected_same_batch_share(np.array([0, -1], dtype=np.int32))
