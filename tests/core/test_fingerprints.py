"""Fingerprints tell cells apart, and equal ones are found as a slow search finds them."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.core.fingerprints import find_copies, fingerprints, has_few_genes, marks_of
from unbatch.core.kernels.fingerprints import fingerprints_into

RNG = np.random.default_rng(0)
DENSE = RNG.poisson(0.7, size=(300, 200))
COUNTS = sparse.csr_array(DENSE)
WEIGHT = RNG.integers(2**64, size=200, dtype=np.uint64)


def test_equal_cells_have_equal_marks_and_others_other_ones():
    marks = marks_of(sparse.csr_array(DENSE[[0, 1, 0, 2, 1]]))
    assert marks[0] == marks[2]
    assert marks[1] == marks[4]
    assert len(np.unique(marks)) == 3
    assert len(np.unique(marks_of(COUNTS))) == 300


@pytest.mark.parametrize("place", [0, 40, -1])
def test_one_count_more_makes_another_cell(place):
    """Wherever it is: the counts in the middle are seen by their total."""
    changed = COUNTS[[0]]
    changed.data[place] += 1
    assert marks_of(changed) != marks_of(COUNTS[[0]])


def test_the_same_counts_of_other_genes_make_another_cell():
    turned = sparse.csr_array(DENSE[:1, ::-1])
    assert marks_of(turned) != marks_of(COUNTS[[0]])


def test_marks_tell_which_cells_have_few_genes_or_none():
    few = np.zeros((3, 60), dtype=int)
    few[0, :49], few[1, :50] = 1, 1
    marks = marks_of(sparse.csr_array(few))
    assert has_few_genes(marks).tolist() == [True, False, False]
    assert (marks != 0).tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint16])
def test_types_of_counts_change_no_mark(dtype):
    np.testing.assert_array_equal(marks_of(COUNTS.astype(dtype)), marks_of(COUNTS))


@pytest.mark.parametrize("rows", [1, 37, 300])
def test_marks_do_not_depend_on_the_rows_beside(rows):
    pieces = [fingerprints(COUNTS[start : start + rows]) for start in range(0, 300, rows)]
    np.testing.assert_array_equal(np.concatenate(pieces), fingerprints(COUNTS))


@pytest.mark.filterwarnings("ignore:overflow")  # of numpy's scalars, which compiled code does not have
@pytest.mark.parametrize("most", [3, 32, 1000])
@pytest.mark.parametrize("offset", [0, 2**33])
@pytest.mark.parametrize("leaf", [fingerprints_into, fingerprints_into.py_func])
def test_the_leaf_sums_what_lies_at_both_ends(leaf, offset, most):
    marks, some = np.empty(20, dtype=np.uint64), COUNTS[:20]
    leaf(some.data, some.indices, some.indptr.astype(np.int64) + offset, WEIGHT, 50, most, marks)
    for row, mark in enumerate(marks):
        genes = np.flatnonzero(DENSE[row])
        ends = genes if len(genes) <= 2 * most else np.append(genes[:most], genes[-most:])
        total = sum(int(WEIGHT[gene]) * int(DENSE[row, gene]) for gene in ends) + len(genes)
        assert int(mark) == (total % 2**64) // 2 * 2 + (len(genes) >= 50)


def odd(numbers):
    """Marks of cells with many genes."""
    return np.array(numbers, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def test_copies_are_those_that_a_slow_search_finds():
    marks = odd(RNG.integers(30, size=120)) * (RNG.random(120) < 0.95)
    labels = RNG.integers(-1, 3, size=120).astype(np.int32), RNG.integers(2, size=120).astype(np.int32)
    cells = [cell for cell in range(120) if marks[cell] and labels[0][cell] >= 0]
    again, contested = [], set()
    for cell in cells:
        alike = [other for other in cells if marks[other] == marks[cell]]
        same = [other for other in alike if all(label[other] == label[cell] for label in labels)]
        if cell != same[0]:
            again.append((cell, same[0]))
        if len(same) < len(alike):
            contested.add(cell)
    copies = find_copies(marks, *labels)
    assert again
    assert 0 < len(contested) < len(cells)
    assert list(zip(copies.cells.tolist(), copies.like.tolist(), strict=True)) == again
    assert copies.contested.tolist() == sorted(contested)
    np.testing.assert_array_equal(marks[copies.contested], marks[copies.unlike])
    differ = [label[copies.contested] != label[copies.unlike] for label in labels]
    assert np.logical_or(*differ).all()
    assert set(copies.unlike.tolist()) <= contested
    for number in copies.alike:
        assert len(np.unique(marks[copies.contested[copies.alike == number]])) == 1
    assert len(np.unique(copies.alike)) == len(np.unique(marks[copies.contested]))


def test_where_nothing_is_repeated_there_is_no_copy():
    copies = find_copies(odd(np.arange(10)), np.zeros(10, dtype=np.int32))
    assert not copies.cells.size
    assert not copies.contested.size


def test_some_copies_and_copies_among_more_cells():
    copies = find_copies(odd([7, 7, 9, 9, 9]), np.array([0, 0, 0, 1, 1], dtype=np.int32))
    assert (copies.cells.tolist(), copies.like.tolist()) == ([1, 4], [0, 3])
    assert (copies.contested.tolist(), copies.unlike.tolist()) == ([2, 3, 4], [3, 2, 2])
    some = copies.only(np.array([True, True, True, True, False]))
    assert (some.cells.tolist(), some.contested.tolist()) == ([1], [2, 3])
    wider = copies.among(np.array([10, 20, 30, 40, 50]))
    assert (wider.cells.tolist(), wider.like.tolist()) == ([20, 50], [10, 40])
    assert (wider.contested.tolist(), wider.unlike.tolist()) == ([30, 40, 50], [40, 30, 30])
    np.testing.assert_array_equal(wider.alike, copies.alike)


def contested(marks, codes):
    return find_copies(odd(marks), np.array(codes, dtype=np.int32))


def test_contested_cells_are_left_out_of_batches_that_have_others():
    """Two of the three cells of batch 2 are in batch 1, which has others; a cell of batch 0 is in batch 1."""
    codes = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2], dtype=np.int32)
    copies = contested([1, 2, 3, 1, 4, 5, 6, 7, 8, 10, 6, 7, 9], codes)
    assert copies.contested.tolist() == [0, 3, 6, 7, 10, 11]
    left_out = copies.without_a_batch(codes)
    assert left_out.tolist() == [0, 3, 6, 7]
    assert not copies.in_two(left_out)
    assert copies.in_two(left_out[:2])


def test_of_a_batch_that_was_given_twice_all_cells_stay_in_both():
    """One of them is there three times, in the same batch twice."""
    codes = np.array([0, 0, 0, 1, 1, 1, 1, 2], dtype=np.int32)
    copies = contested([1, 2, 3, 1, 2, 3, 3, 4], codes)
    assert copies.cells.tolist() == [6]
    assert not copies.without_a_batch(codes).size
    assert copies.in_two(np.zeros(0, dtype=np.int64))
    assert not copies.in_two(np.array([3, 4, 5]))


def test_cells_of_a_batch_that_takes_no_part_are_not_contested():
    codes = np.array([0, -1, -1], dtype=np.int32)
    copies = contested([1, 1, 2], codes)
    assert not copies.contested.size
    assert not copies.without_a_batch(codes).size
    assert not copies.in_two(np.zeros(0, dtype=np.int64))


def even(numbers):
    """Marks of cells with few genes."""
    return odd(numbers) - np.uint64(1)


@pytest.mark.parametrize("n_levels", [1, 2])
def test_of_a_batch_whose_cells_with_few_genes_are_all_there_several_times_the_share_is_left(n_levels):
    """Some were alike before."""
    kinds = np.append(np.arange(1, 30), [3, 5, 5])
    marks = np.concatenate([even(np.tile(kinds, 3)), even(np.arange(1, 30)), odd([7, 8, 8])])
    codes = np.repeat([1, 0, 1], [96, 29, 3]).astype(np.int32)
    levels = np.zeros(128, dtype=np.int32)
    levels[np.isin(marks, even([9, 11]))] = n_levels - 1
    order = np.random.default_rng(0).permutation(128)
    copies = find_copies(marks[order], codes[order], levels[order])
    assert not copies.contested.size
    np.testing.assert_array_equal(marks[order][copies.cells], marks[order][copies.like])
    assert (np.diff(copies.cells) > 0).all()
    left = np.delete(order, copies.cells)
    expected = np.concatenate([even(kinds), even(np.arange(1, 30)), odd([7, 8])])
    np.testing.assert_array_equal(np.sort(marks[left]), np.sort(expected))
    firsts = {mark: place for place, mark in reversed(list(enumerate(zip(marks[order], codes[order], strict=True))))}
    assert copies.like.tolist() == [firsts[marks[order][cell], codes[order][cell]] for cell in copies.cells]


@pytest.mark.parametrize(("times", "n_different"), [([2, 3], 30), ([2, 2], 19)])
def test_cells_with_few_genes_that_are_alike_by_chance_stay(times, n_different):
    kinds = np.arange(1, n_different + 1)
    marks = even(np.repeat(kinds, np.resize(times, n_different)))
    assert not find_copies(marks, np.zeros(len(marks), dtype=np.int32)).cells.size


def test_a_few_cells_with_few_genes_are_there_twice_if_all_others_of_their_batch_are():
    kinds = np.append(even(np.arange(1, 4)), odd(np.arange(1, 30)))
    codes = np.zeros(64, dtype=np.int32)
    assert len(find_copies(np.tile(kinds, 2), codes).cells) == 32
    once_more = np.append(np.tile(kinds, 2), odd([99]))
    assert find_copies(once_more, np.append(codes, 0).astype(np.int32)).cells.size == 29
