"""One form for counts, whatever they came in: CSR, cells x genes, exact, sorted, without duplicates or stored zeros."""

from typing import Any

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import Counts

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
        return sparse.csr_array(np.asarray(matrix, dtype=dtype))
    counts = sparse.csr_array(matrix)
    counts.check_format(full_check=True)
    # csr_array() shares its arrays with what it was given, so that everything that writes in place works on a copy
    if counts.data.dtype != dtype:
        counts = counts.astype(dtype)
    if counts.indices.dtype != np.int32 and max(counts.nnz, *counts.shape) <= _LARGEST_INT32:
        narrow = (counts.data, counts.indices.astype(np.int32), counts.indptr.astype(np.int32))
        counts = sparse.csr_array(narrow, shape=counts.shape)
    if not counts.has_canonical_format:
        counts = counts.copy()
        counts.sum_duplicates()
    if not counts.data.all():
        counts = counts.copy()
        counts.eliminate_zeros()
    return counts
