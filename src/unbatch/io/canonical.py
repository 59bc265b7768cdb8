"""One form for counts, whatever they came in: CSR, cells x genes, exact, sorted, without duplicates or stored zeros."""

from typing import Any

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import Counts
from unbatch.core.kernels.sparsify import count_filled, sparsify
from unbatch.core.kernels.structure import structure

_EXACT_IN_FLOAT32 = 2  # bytes: integers of 16 bits or fewer fit the 24-bit significand of a float32

_LARGEST_INT32 = np.iinfo(np.int32).max


def count_dtype(dtype: Any, where: str) -> np.dtype[Any]:  # noqa: ANN401
    """Give the floating-point type that holds every value of a stored type exactly.

    float32, float16, bool and integers of up to 16 bits become float32; float64 and wider integers become float64,
    which is exact to 2^53. The choice depends on the stored type alone, so it is the same for every block.

    Parameters
    ----------
    dtype
        Type of the stored values.
    where
        Which matrix it is, for the message.

    Raises
    ------
    InputError
        If the values are not real numbers (text, objects, complex numbers, dates).
    """
    kind = np.dtype(dtype)
    if kind.kind == "b" or (kind.kind in "iu" and kind.itemsize <= _EXACT_IN_FLOAT32):
        return np.dtype(np.float32)
    if kind.kind in "iu":
        return np.dtype(np.float64)
    if kind.kind == "f" and kind.itemsize <= np.dtype(np.float64).itemsize:
        return np.dtype(np.float32 if kind.itemsize <= np.dtype(np.float32).itemsize else np.float64)
    raise InputError(
        f"{where} holds values of type {kind}, not numbers: store the counts as float32, float64 or integers",
    )


def as_counts(matrix: Any, dtype: np.dtype[Any]) -> Counts:  # noqa: ANN401
    """Bring some rows of a matrix into the one form that the rest of the package reads.

    Parameters
    ----------
    matrix : array or sparse matrix, (n_cells, n_genes)
        Dense, CSR or CSC; it is not changed.
    dtype
        What `count_dtype` gave for the whole matrix.

    Returns
    -------
    csr_array, (n_cells, n_genes)
        Indices sorted within a row and int32 (int64 only where a block holds 2^31 values), duplicates added up, stored
        zeros dropped. NaN stays, for the check at the door.

    Raises
    ------
    ValueError
        If the sparse structure is damaged (an index past the last gene, row pointers that fall).
    """
    if not sparse.issparse(matrix):
        return _from_dense(np.asarray(matrix), dtype)
    if matrix.format == "csc":
        _check_columns(matrix)
    counts = sparse.csr_array(matrix)
    return assemble(counts.data, counts.indices, counts.indptr, dtype=dtype, n_genes=int(counts.shape[1]))


def assemble(data: Any, indices: Any, indptr: Any, *, dtype: np.dtype[Any], n_genes: int) -> Counts:  # noqa: ANN401
    """Make counts, as `as_counts` gives them, of the three arrays of a CSR matrix.

    Arrays that are as they should be are not copied; those that are not are copied and stay as they are.

    Parameters
    ----------
    data, indices : (n_values,)
        Values and their columns.
    indptr : (n_cells + 1,)
        Where in them each row begins and the last one ends.
    dtype
        What `count_dtype` gave for the whole matrix.
    n_genes
        Number of columns.

    Raises
    ------
    ValueError
        If the sparse structure is damaged.
    """
    data, indices, indptr = np.asarray(data), np.asarray(indices), np.asarray(indptr)
    if indptr[0] != 0 or indptr[-1] > min(data.size, indices.size) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr, the row pointers, fall or reach past the last value")
    n_values = int(indptr[-1])
    data, indices = data[:n_values].astype(dtype, copy=False), indices[:n_values]
    inside, ascending, full = structure(data, indices, indptr, n_genes)
    if not inside:
        raise ValueError(f"indices reach out of the {n_genes} genes")
    index_type = _index_type(n_values, n_genes)
    arrays = (data, indices.astype(index_type, copy=False), indptr.astype(index_type, copy=False))
    counts = sparse.csr_array(arrays, shape=(indptr.size - 1, n_genes))
    if not ascending:
        counts = counts.copy()
        # sums up duplicates, which may make zeros
        counts.sum_duplicates()
        full = bool(counts.data.all())
    if not full:
        counts = counts.copy()
        counts.eliminate_zeros()
    # looked through already, so that nobody does it again
    counts.has_sorted_indices = counts.has_canonical_format = True
    return counts


def _check_columns(matrix: Any) -> None:  # noqa: ANN401
    """Check the structure of a CSC matrix before scipy turns it, which writes wherever a wrong index points."""
    indices, indptr = matrix.indices, matrix.indptr
    if indptr[0] != 0 or indptr[-1] > min(matrix.data.size, indices.size) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("indptr, the column pointers, fall or reach past the last value")
    used = indices[: int(indptr[-1])]
    if used.size and (used.min() < 0 or used.max() >= matrix.shape[0]):
        raise ValueError(f"indices reach out of the {matrix.shape[0]} cells")


def _from_dense(dense: Any, dtype: np.dtype[Any]) -> Counts:  # noqa: ANN401
    if dense.dtype == np.float16 or not dense.dtype.isnative:  # compiled code knows neither
        dense = dense.astype(dtype)
    indptr = np.zeros(dense.shape[0] + 1, dtype=np.int64)
    count_filled(dense, indptr[1:])
    np.cumsum(indptr, out=indptr)
    index_type = _index_type(int(indptr[-1]), dense.shape[1])
    data, indices = np.empty(indptr[-1], dtype=dtype), np.empty(indptr[-1], dtype=index_type)
    sparsify(dense, data, indices)
    counts = sparse.csr_array((data, indices, indptr.astype(index_type)), shape=dense.shape)
    counts.has_sorted_indices = counts.has_canonical_format = True
    return counts


def _index_type(*sizes: int) -> Any:  # noqa: ANN401
    return np.int32 if max(sizes) <= _LARGEST_INT32 else np.int64
