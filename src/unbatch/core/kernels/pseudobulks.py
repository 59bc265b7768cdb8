"""Sum the counts of groups of cells in whole numbers."""

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _add_groups(
    data: FloatArray, indices: IntArray, indptr: IntArray, cells: IntArray, group: CodeArray, sums: IntArray
) -> None:
    # data and indices begin at position indptr[0]. cells: rows of the counts; group: one per row of the counts.
    # sums: (n_groups, n_genes), added to.
    first = indptr[0]
    for i in range(cells.size):
        row = cells[i]
        here = sums[group[row]]
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            here[indices[at]] += int(data[at])


add_groups = compiled(_add_groups)
"""Add up ``Y`` by group and gene."""
