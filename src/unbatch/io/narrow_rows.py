"""Rows of counts in as few bytes as their values need: most counts fit one byte, most numbers of genes two."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from unbatch._types import BoolArray, Counts, IntArray

_KINDS = (np.uint8, np.uint16)


@dataclass(frozen=True, eq=False)
class NarrowRows:
    """Rows of a CSR matrix. scipy has no such indices: they are put into a matrix of its kind one by one.

    Attributes
    ----------
    data, indices
        (nnz,) values and columns, in narrow types where all of them fit.
    indptr
        (n_rows + 1,) where rows begin.
    n_columns
        Columns of the matrix.
    dtype
        Type of the values that were given.
    """

    data: np.ndarray[tuple[int], np.dtype[Any]]
    indices: np.ndarray[tuple[int], np.dtype[Any]]
    indptr: IntArray
    n_columns: int
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, counts: Counts) -> Self:
        """Narrow a matrix, (n_rows, n_columns)."""
        return cls(
            _narrow(counts.data, most=counts.data.max(initial=0)),
            _narrow(counts.indices, most=counts.shape[1]),
            counts.indptr.astype(np.int64),
            int(counts.shape[1]),
            counts.dtype,
        )

    @property
    def nnz(self) -> int:
        """Values that are stored."""
        return len(self.data)

    def only(self, rows: BoolArray) -> Self:
        """Keep some of the rows, (n_rows,)."""
        lengths = np.diff(self.indptr)
        values = np.repeat(rows, lengths)
        indptr = np.concatenate([[0], np.cumsum(lengths[rows])])
        return type(self)(self.data[values], self.indices[values], indptr, self.n_columns, self.dtype)


def _narrow(values: np.ndarray[tuple[int], np.dtype[Any]], *, most: float) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """Give values of a type that holds them to the last bit; what no narrow type holds stays."""
    if values.min(initial=0) < 0:
        return values
    for kind in _KINDS:
        if most <= np.iinfo(kind).max:
            narrow = values.astype(kind)
            return narrow if np.array_equal(narrow, values) else values
    return values
