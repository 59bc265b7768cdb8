from dataclasses import dataclass

import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.core.kernels.nearest import REFERENCES_PER_TILE, nearest
from unbatch.core.matching import (
    WEIGHT_SCALE,
    ExactSearch,
    Neighbors,
    match_cells,
    match_weights,
    unit_rows,
)


def nearest_oracle(queries, references, k):
    squared = ((queries[:, None, :] - references[None, :, :]) ** 2).sum(axis=2)
    indices = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return indices, np.sqrt(np.take_along_axis(squared, indices, axis=1))


def search(queries, references, k):
    return ExactSearch().build(references).query(queries, n_neighbors=k)


@pytest.mark.parametrize(("n_references", "n_dims", "k"), [(1, 2, 1), (40, 3, 5), (1500, 5, 3), (1100, 50, 16)])
def test_search_equals_sorting_all_distances(n_references, n_dims, k):
    rng = np.random.default_rng(n_references)
    queries, references = rng.normal(size=(30, n_dims)), rng.normal(size=(n_references, n_dims))
    found = search(queries, references, k)
    indices, distances = nearest_oracle(queries, references, k)
    assert np.array_equal(found.indices, indices)
    assert found.distances == pytest.approx(distances, abs=1e-12)


def test_the_kernel_without_its_compiler_finds_the_same():
    rng = np.random.default_rng(1)
    queries, references = rng.normal(size=(4, 3)), rng.normal(size=(700, 3))
    indices, squared = np.full((4, 5), -1), np.full((4, 5), np.inf)
    scratch = np.empty(REFERENCES_PER_TILE)
    nearest.py_func(queries, np.ascontiguousarray(references.T), scratch, indices, squared)
    found = search(queries, references, 5)
    assert np.array_equal(found.indices, indices)
    assert np.array_equal(found.distances, np.sqrt(squared))


def test_equal_distances_go_to_the_lower_index():
    references = np.tile(np.random.default_rng(2).normal(size=(4, 3)), (400, 1))  # each point 400 times, over 4 tiles
    found = search(references[:4], references, 6)
    assert np.array_equal(found.indices, np.arange(4)[:, None] + 4 * np.arange(6))
    assert np.all(found.distances == 0)


@pytest.mark.parametrize("block", [1, 100, 1024])
def test_search_has_the_same_bits_in_blocks(block):
    rng = np.random.default_rng(3)
    queries, references = rng.normal(size=(2100, 4)), rng.normal(size=(600, 4))
    whole = search(queries, references, 4)
    parts = [search(queries[start : start + block], references, 4) for start in range(0, 2100, block)]
    assert np.array_equal(np.vstack([part.indices for part in parts]), whole.indices)
    assert np.array_equal(np.vstack([part.distances for part in parts]), whole.distances)


def test_fewer_references_than_asked_are_all_returned():
    assert search(np.zeros((3, 2)), np.ones((2, 2)), 5).indices.shape == (3, 2)
    assert search(np.zeros((3, 2)), np.ones((0, 2)), 5).indices.shape == (3, 0)
    assert search(np.zeros((0, 2)), np.ones((4, 2)), 3).indices.shape == (0, 3)


def test_unit_rows_keep_direction_at_any_scale():
    rows, pointing = unit_rows(np.array([[3.0, 4.0], [3e-200, 4e-200], [3e200, 4e200], [0.0, 0.0]]))
    assert rows[:3] == pytest.approx(np.tile([0.6, 0.8], (3, 1)), rel=1e-15)
    assert np.array_equal(rows[3], [0, 0])
    assert pointing.tolist() == [True, True, True, False]


def test_weights_equal_the_formula():
    squared = np.random.default_rng(4).uniform(0, 4, (20, 6))
    for row, weights in zip(squared, match_weights(squared), strict=True):
        raw = [np.exp(-(d - row.min())) for d in row]
        assert weights == pytest.approx(np.array(raw) / sum(raw), abs=6 / WEIGHT_SCALE)


def test_weights_lie_on_the_grid_and_sum_to_exactly_one():
    weights = match_weights(np.random.default_rng(5).uniform(0, 4, (500, 117)))
    assert np.all(weights.sum(axis=1) == 1)
    assert np.all(weights >= 0)
    assert np.array_equal(weights * WEIGHT_SCALE, np.rint(weights * WEIGHT_SCALE))


def test_weights_where_there_is_no_match_are_zero():
    weights = match_weights(np.array([[np.inf, 0.5, np.inf], [np.inf, np.inf, np.inf]]))
    assert weights.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert match_weights(np.empty((2, 0))).shape == (2, 0)


def test_matches_equal_the_published_steps():
    rng = np.random.default_rng(6)
    features, batch = rng.normal(size=(60, 4)), rng.integers(0, 3, 60).astype(np.int32)
    matches = match_cells(features, batch, n_neighbors=3)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    for j in range(60):
        found = {}
        for other in sorted(set(range(3)) - {int(batch[j])}):
            cells = np.flatnonzero(batch == other)
            squared = 2 - 2 * units[cells] @ units[j]
            found.update({int(cells[i]): squared[i] for i in np.argsort(squared)[:3]})
        raw = {i: np.exp(-(d - min(found.values()))) for i, d in found.items()}
        expected = np.zeros(60)
        expected[list(raw)] = np.array(list(raw.values())) / sum(raw.values())
        assert matches.weights[[j]].toarray()[0] == pytest.approx(expected, abs=1e-11)


def test_planted_twins_are_matched_whatever_their_length():
    rng = np.random.default_rng(7)
    states, length = rng.normal(size=(40, 6)), rng.uniform(0.1, 10, (40, 1))
    features, batch = np.vstack([states, states * length]), np.repeat(np.array([0, 1], dtype=np.int32), 40)
    matches = match_cells(features, batch, n_neighbors=1)
    assert np.array_equal(matches.weights.indices, np.roll(np.arange(80), 40))
    assert matches.neighbors[1].distances[:40].max() < 1e-7


def test_neighbors_of_a_batch_number_cells_and_skip_its_own():
    rng = np.random.default_rng(8)
    batch = np.array([0, 1, 0, 1, 2, 0], dtype=np.int32)
    matches = match_cells(rng.normal(size=(6, 3)), batch, n_neighbors=2)
    assert [found.indices.shape for found in matches.neighbors] == [(6, 2), (6, 2), (6, 1)]
    for code, found in enumerate(matches.neighbors):
        assert np.all(found.indices[batch == code] == -1)
        assert np.all(np.isinf(found.distances[batch == code]))
        assert np.all(batch[found.indices[batch != code]] == code)


def test_a_batch_smaller_than_asked_gives_all_its_cells():
    batch = np.array([0] * 10 + [1] * 2, dtype=np.int32)
    weights = match_cells(np.random.default_rng(9).normal(size=(12, 3)), batch, n_neighbors=5).weights
    assert np.diff(weights.indptr).tolist() == [2] * 10 + [5] * 2
    assert np.all(weights.sum(axis=1) == 1)


def test_cells_without_direction_or_batch_neither_match_nor_are_matched():
    features, batch = np.random.default_rng(10).normal(size=(30, 3)), np.tile(np.array([0, 1], dtype=np.int32), 15)
    features[4], batch[7] = 0, -1
    matches = match_cells(features, batch, n_neighbors=3)
    dense = matches.weights.toarray()
    assert np.all(np.isfinite(dense))
    for out in (4, 7):
        assert not dense[out].any()
        assert not dense[:, out].any()
    assert np.flatnonzero(~matches.matched).tolist() == [4, 7]
    kept = np.delete(np.arange(30), [4, 7])
    alone = match_cells(features[kept], batch[kept], n_neighbors=3)
    assert np.array_equal(dense[np.ix_(kept, kept)], alone.weights.toarray())


@pytest.mark.parametrize("codes", [[0, 0, 0], [-1, -1, -1], [2, 2, -1]])
def test_without_another_batch_nothing_is_matched(codes):
    matches = match_cells(np.eye(3), np.array(codes, dtype=np.int32))
    assert matches.weights.nnz == 0
    assert matches.weights.shape == (3, 3)
    assert not matches.matched.any()


def test_no_cells_at_all():
    matches = match_cells(np.empty((0, 3)), np.empty(0, dtype=np.int32))
    assert matches.weights.shape == (0, 0)
    assert matches.neighbors == ()  # one per batch


@dataclass(frozen=True)
class FarthestSearch:
    references: np.ndarray | None = None

    def build(self, references):
        return FarthestSearch(references)

    def query(self, queries, *, n_neighbors):
        squared = ((queries[:, None] - self.references[None]) ** 2).sum(axis=2)
        indices = np.argsort(-squared, axis=1)[:, :n_neighbors]
        return Neighbors(indices, np.sqrt(np.take_along_axis(squared, indices, axis=1)))


def test_another_search_can_be_plugged_in():
    features = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
    batch = np.array([0, 1, 1], dtype=np.int32)
    assert match_cells(features, batch, n_neighbors=1).weights[[0]].indices.tolist() == [1]
    assert match_cells(features, batch, n_neighbors=1, search=FarthestSearch()).weights[[0]].indices.tolist() == [2]


def test_bad_arguments_are_refused():
    batch = np.array([0, 1], dtype=np.int32)
    with pytest.raises(InputError, match="n_neighbors=0"):
        match_cells(np.eye(2), batch, n_neighbors=0)
    with pytest.raises(InputError, match="features of 1 cells are not finite"):
        match_cells(np.array([[1.0, np.nan], [1.0, 0.0]]), batch)
