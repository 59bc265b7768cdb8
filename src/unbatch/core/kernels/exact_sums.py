"""Sums over cells that come out the same in any order: whole numbers only."""

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

MOST = 2**63 - 1
"""What a sum of squares is that went beyond: it stays there."""
_LARGEST = 9.2e18


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
            square, before = count * count * per_size[row], moments[indices[at], 1]
            whole = int(square + 0.5) if square < _LARGEST else MOST
            moments[indices[at], 1] = before + whole if before < MOST - whole else MOST


add_exactly = compiled(_add_exactly)
"""Add up ``Y`` and ``Y^2 / l``, the latter rounded to whole units; beyond `MOST` it stays there, in any order."""


def _add_counts(data: FloatArray, indices: IntArray, indptr: IntArray, cells: IntArray, sums: IntArray) -> None:
    # As above. sums: (n_genes,), added to.
    first = indptr[0]
    for i in range(cells.size):
        row = cells[i]
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            sums[indices[at]] += int(data[at])


add_counts = compiled(_add_counts)
"""Add up ``Y``."""
