import numpy as np
import pytest

from unbatch.core.kernels.totals import totals

from .offsets import FORMS, parts, small_counts

LARGEST = 2.0**53


def run(data, indices, indptr, n_genes, *, leaf=totals):
    per_cell, per_gene = np.full(len(indptr) - 1, -7), np.ones(n_genes, dtype=np.int64)
    return leaf(data, indices, indptr, LARGEST, per_cell, per_gene), per_cell, per_gene - 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", [totals, totals.py_func])
def test_sums_equal_those_of_the_dense_matrix(form, leaf):
    dense = small_counts()
    found, per_cell, per_gene = run(*parts(dense, form), 30, leaf=leaf)
    assert found == (np.count_nonzero(dense), 0, dense.sum())
    np.testing.assert_array_equal(per_cell, dense.sum(axis=1))
    np.testing.assert_array_equal(per_gene, dense.sum(axis=0))


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan, np.inf, -np.inf, 2.0**53, 1e300])
@pytest.mark.parametrize("leaf", [totals, totals.py_func])
def test_what_is_no_count_is_counted_and_in_no_sum(value, leaf):
    data = np.array([1.0, value, 3.0])
    found, per_cell, per_gene = run(data, np.array([0, 1, 1]), np.array([0, 2, 3]), 2, leaf=leaf)
    assert found == (2, 1, 4)
    assert per_cell.tolist() == [1, 3]
    assert per_gene.tolist() == [1, 3]


def test_sums_are_exact_where_float32_and_float64_are_not():
    data = np.array([2.0**52 + 1, 2.0**52 + 2, 1.0, 2.0**52])
    (_, _, whole), per_cell, per_gene = run(data, np.zeros(4, dtype=np.int32), np.arange(5, dtype=np.int32), 1)
    assert whole == pytest.approx(3 * 2.0**52, rel=1e-15)
    assert per_gene.tolist() == [3 * 2**52 + 4]
    assert per_cell.tolist() == [2**52 + 1, 2**52 + 2, 1, 2**52]


def test_stored_zeros_are_no_non_zeros():
    assert run(np.array([0.0, 2.0]), np.array([0, 1]), np.array([0, 2]), 2)[0] == (1, 0, 2)


def test_a_sum_past_what_an_integer_can_hold_is_told():
    largest = 2.0**53 - 1
    (_, n_bad, whole), _, _ = run(np.full(2048, largest), np.zeros(2048, dtype=np.int32), np.array([0, 2048]), 1)
    assert n_bad == 0
    assert whole == pytest.approx(2048 * largest, rel=1e-12)
