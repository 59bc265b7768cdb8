"""Pseudobulks: the sums of their cells, whatever the blocks, their order and who adds them."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.io.source import Block
from unbatch.programmes.pseudobulks import PseudobulkSums, cell_sizes, group_cells, measured_counts


@pytest.fixture(scope="module")
def cells():
    """90 cells x 20 genes of three batches, five groups, a few cells in none; batch 2 lacks genes 0 to 4."""
    rng = np.random.default_rng(1)
    batch, group = rng.integers(0, 3, 90).astype(np.int32), rng.integers(-1, 5, 90).astype(np.int32)
    delta = np.exp(rng.normal(0, 1, (20, 3)))
    delta[:5, 2] = 0
    counts = rng.poisson(2.0, (90, 20)) * (delta.T[batch] > 0)
    return sparse.csr_array(counts.astype(np.float32)), group, batch, delta


def summed(cells, splits):
    counts, group, batch, delta = cells
    sums = []
    for start, stop in splits:
        one = PseudobulkSums(group, batch, delta=delta, n_groups=5)
        one.add(Block(start, counts[start:stop]))
        sums.append(one)
    for other in sums[1:]:
        sums[0].merge(other)
    return sums[0].result()


def test_sums_are_those_of_their_cells(cells):
    counts, group, batch, delta = cells
    found = summed(cells, [(0, 90)])
    dense = counts.toarray()
    member = group == np.arange(5)[:, None]
    np.testing.assert_array_equal(found.counts, member @ dense)
    size = (dense[:, 5:] / delta.T[batch][:, 5:]).sum(axis=1)
    expected = member @ (size[:, None] * (batch[:, None] == np.arange(3)))
    np.testing.assert_allclose(found.size, expected, atol=1e-3)


def test_neither_blocks_nor_their_order_nor_merging_change_a_bit(cells):
    whole = summed(cells, [(0, 90)])
    for splits in ([(0, 13), (13, 60), (60, 90)], [(60, 90), (0, 1), (1, 60)]):
        parts = summed(cells, splits)
        np.testing.assert_array_equal(parts.counts, whole.counts)
        np.testing.assert_array_equal(parts.size, whole.size)


def test_merging_leaves_the_other_as_it_is(cells):
    counts, group, batch, delta = cells
    one, other = (PseudobulkSums(group, batch, delta=delta, n_groups=5) for _ in range(2))
    other.add(Block(0, counts[:50]))
    before = other.result()
    one.merge(other)
    one.add(Block(50, counts[50:]))
    np.testing.assert_array_equal(other.result().counts, before.counts)
    np.testing.assert_array_equal(other.result().size, before.size)


def test_counts_of_unmeasured_genes_are_left_out(cells):
    counts, _, batch, delta = cells
    stray = counts.toarray()
    stray[batch == 2, :5] = 7
    kept = measured_counts(sparse.csr_array(stray), delta > 0, batch)
    np.testing.assert_array_equal(kept.toarray(), counts.toarray())
    assert measured_counts(counts, np.ones_like(delta, dtype=bool), batch) is counts


def test_sizes_are_of_common_genes_or_of_all_if_there_is_none():
    counts = sparse.csr_array(np.array([[2.0, 0.0, 4.0], [0.0, 6.0, 1.0]]))
    batch = np.array([0, 1], dtype=np.int32)
    np.testing.assert_allclose(cell_sizes(counts, np.array([[2.0, 0], [0, 3], [1, 0.5]]), batch), [4.0, 2.0])
    np.testing.assert_allclose(cell_sizes(counts, np.array([[2.0, 0], [0, 3], [1, 0]]), batch), [5.0, 3.0])


def test_groups_are_neighbours_and_levels_stay_apart():
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 30, (6, 4))
    which = rng.integers(0, 6, 300)
    where = (centres[which] + rng.normal(0, 1, (300, 4))).astype(np.float32)
    group = group_cells(where, np.zeros(300, dtype=np.int32), n_groups=6, seed=0)
    for one in np.unique(group):
        assert len(set(which[group == one].tolist())) == 1
    level = rng.integers(-1, 2, 300).astype(np.int32)
    apart = group_cells(where, level, n_groups=12, seed=0)
    np.testing.assert_array_equal(apart < 0, level < 0)
    for one in np.unique(apart[apart >= 0]):
        assert len(set(level[apart == one].tolist())) == 1
    assert 12 <= apart.max() + 1 <= 13


def test_of_many_cells_some_are_looked_at_and_all_are_placed(monkeypatch):
    rng = np.random.default_rng(0)
    where = rng.normal(0, 1, (400, 3)).astype(np.float32)
    level = np.zeros(400, dtype=np.int32)
    level[-1] = 1
    monkeypatch.setattr("unbatch.programmes.pseudobulks._SAMPLE", 50)
    group = group_cells(where, level, n_groups=10, seed=0)
    assert (group >= 0).all()
    assert (group == group[-1]).sum() == 1
    np.testing.assert_array_equal(group, group_cells(where, level, n_groups=10, seed=0))
