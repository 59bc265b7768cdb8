"""Look through the structure of a sparse matrix, in one walk."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _structure(data: FloatArray, indices: IntArray, indptr: IntArray, n_columns: int) -> tuple[bool, bool, bool]:
    # Row pointers must be ascending and within the data. Gives whether all indices lie within the columns, whether
    # they ascend strictly in every row, and whether no value is 0.
    inside, ascending, full = True, True, True
    for row in range(indptr.size - 1):
        start, stop = indptr[row], indptr[row + 1]
        if start == stop:
            continue
        falls = 0
        for at in range(start + 1, stop):
            falls |= indices[at] <= indices[at - 1]
        zeros = 0
        for at in range(start, stop):
            zeros |= data[at] == 0
        full &= zeros == 0
        if not falls:
            inside &= indices[start] >= 0 and indices[stop - 1] < n_columns
        else:
            ascending = False
            for at in range(start, stop):
                inside &= indices[at] >= 0 and indices[at] < n_columns
    return inside, ascending, full


structure = compiled(_structure)
"""Tell whether a CSR matrix is sound, sorted without duplicates, and without stored zeros."""
