import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.canonical import as_counts, count_dtype


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("bool", "float32"),
        ("uint8", "float32"),
        ("int16", "float32"),
        ("uint16", "float32"),
        ("int32", "float64"),
        ("uint64", "float64"),
        ("float16", "float32"),
        ("float32", "float32"),
        (">f4", "float32"),
        ("float64", "float64"),
    ],
)
def test_the_type_holds_every_stored_value(stored, read):
    assert count_dtype(stored, "X") == np.dtype(read)


@pytest.mark.parametrize("stored", ["complex128", "object", "U3", "S3", "datetime64[s]", [("a", "f4")]])
def test_what_is_no_number_is_refused(stored):
    with pytest.raises(InputError, match=r"layer 'counts' holds values of type .*, not numbers"):
        count_dtype(stored, "layer 'counts'")


def test_unsorted_duplicate_and_zero_entries_are_put_right_in_a_copy():
    data, indices = np.array([1, 2, 3, 0, 4], dtype=np.float32), np.array([2, 0, 2, 1, 1])
    messy = sparse.csr_matrix((data, indices, np.array([0, 4, 5])), shape=(2, 3))
    counts = as_counts(messy, np.dtype(np.float32))
    assert isinstance(counts, sparse.csr_array)
    assert counts.indices.tolist() == [0, 2, 1]
    assert counts.data.tolist() == [2, 4, 4]
    assert messy.indices.tolist() == indices.tolist()
    assert messy.data.tolist() == data.tolist()


def test_wide_indices_become_narrow():
    stored = (np.ones(2, dtype=np.float32), np.array([2, 0], dtype=np.int64), np.array([0, 1, 2], dtype=np.int64))
    wide = sparse.csr_array(stored, shape=(2, 3))
    assert wide.indices.dtype == np.int64
    counts = as_counts(wide, np.dtype(np.float32))
    assert counts.indices.dtype == counts.indptr.dtype == np.int32
    assert counts.toarray().tolist() == wide.toarray().tolist()


def test_small_integers_do_not_overflow_when_duplicates_are_added():
    stored = (np.array([200, 100], dtype=np.uint8), np.array([1, 1]), np.array([0, 2]))
    assert as_counts(sparse.csr_matrix(stored, shape=(1, 2)), np.dtype(np.float32)).data.tolist() == [300]


def test_nan_stays_for_the_door():
    dense = np.array([[0, np.nan], [1, 0]])
    for matrix in (dense, sparse.csc_matrix(dense)):
        assert np.isnan(as_counts(matrix, np.dtype(np.float64)).data).sum() == 1


@pytest.mark.parametrize(("indices", "indptr"), [([0, 9], [0, 1, 2]), ([0, -1], [0, 1, 2]), ([0, 1], [0, 2, 1])])
def test_impossible_structure_is_refused(indices, indptr):
    counts = sparse.csr_array((2, 3), dtype=np.float32)
    counts.data, counts.indices, counts.indptr = np.ones(2, dtype=np.float32), np.array(indices), np.array(indptr)
    with pytest.raises(ValueError, match="ind"):
        as_counts(counts, np.dtype(np.float32))
