"""Sums over cells that come out the same in any order: whole numbers only."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _add_exactly(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    per_size: FloatArray,
    moments: IntArray,
) -> None:
    # data and indices begin at position indptr[0]. cells: rows of the counts. per_size: one per row of the counts,
    # units over size factor. moments: (n_genes, 2), sums and squares beside each other, added to.
    first = indptr[0]
    for i in range(cells.size):
        row = cells[i]
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            count = float(data[at])
            moments[indices[at], 0] += int(count)
            moments[indices[at], 1] += int(count * count * per_size[row] + 0.5)


add_exactly = compiled(_add_exactly)
"""Add up ``Y`` and ``Y^2 / l``, the latter rounded to whole units."""
