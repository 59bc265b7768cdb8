"""Sums over cells that come out the same in any order: whole numbers only."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _add_exactly(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    per_size: FloatArray,
    sums: IntArray,
    squares: IntArray,
) -> None:
    # data and indices begin at position indptr[0]. cells: rows of the counts. per_size: one per row of the counts,
    # units over size factor. sums and squares: (n_genes,), added to.
    first = indptr[0]
    for i in range(cells.size):
        row = cells[i]
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            count = float(data[at])
            sums[indices[at]] += int(count)
            squares[indices[at]] += int(count * count * per_size[row] + 0.5)


add_exactly = compiled(_add_exactly)
"""Add up ``Y`` and ``Y^2 / l``, the latter rounded to whole units."""
