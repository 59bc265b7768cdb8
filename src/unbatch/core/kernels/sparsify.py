"""Turn a dense matrix into CSR without anything of its size in between."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _count_filled(dense: FloatArray, per_row: IntArray) -> None:
    for row in range(dense.shape[0]):
        filled = 0
        for column in range(dense.shape[1]):
            filled += dense[row, column] != 0  # NaN is not 0
        per_row[row] = filled


def _sparsify(dense: FloatArray, data: FloatArray, indices: IntArray) -> None:
    at = 0
    for row in range(dense.shape[0]):
        for column in range(dense.shape[1]):
            value = dense[row, column]
            if value != 0:
                data[at] = value
                indices[at] = column
                at += 1


count_filled = compiled(_count_filled)
"""Count the values of each row that are not 0."""
sparsify = compiled(_sparsify)
"""Write the values that are not 0 and their columns, row after row."""
