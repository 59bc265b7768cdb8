"""Check values and add them up, in one walk."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _totals(
    data: FloatArray, indices: IntArray, indptr: IntArray, largest: float, per_cell: IntArray, per_gene: IntArray
) -> tuple[int, int, float]:
    # data and indices start at position indptr[0]. per_gene is added to; per_cell is overwritten.
    # Gives the number of values that are not 0, of those that are no counts, which are in no sum, and the sum of all
    # counts, which is right even where it is more than an integer can hold.
    first, n_nonzero, n_bad, whole = indptr[0], 0, 0, 0.0
    for row in range(indptr.size - 1):
        total, of_row = 0, 0.0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            value = data[at]
            if value >= 0 and value < largest:  # NaN is neither
                count = int(value)
                if count == value:
                    total += count
                    of_row += value
                    per_gene[indices[at]] += count
                    n_nonzero += count != 0
                    continue
            n_bad += 1
        per_cell[row] = total
        whole += of_row
    return n_nonzero, n_bad, whole


totals = compiled(_totals)
"""Sum the counts of each cell and each gene in int64."""
