"""Sum the counts of groups of cells."""

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _sum_moments(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    group: CodeArray,
    size: FloatArray,
    sums: FloatArray,
    squares: FloatArray,
) -> None:
    # cells: rows of the counts; group and size: one per row of the counts. sums and squares: (n_groups, n_genes),
    # added to. Fast where cells of a group follow one another.
    for i in range(cells.size):
        row = cells[i]
        sum_here, square_here, per_size = sums[group[row]], squares[group[row]], 1.0 / size[row]
        for at in range(indptr[row], indptr[row + 1]):
            count = float(data[at])
            sum_here[indices[at]] += count
            square_here[indices[at]] += count * count * per_size


sum_moments = compiled(_sum_moments)
"""Add up ``Y`` and ``Y^2 / l`` by group and gene."""


def _sum_placed(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    group: CodeArray,
    place: CodeArray,
    sums: FloatArray,
) -> None:
    # As above; place: (n_genes,) column of sums, or -1 for a gene that is left out.
    for i in range(cells.size):
        row = cells[i]
        here = sums[group[row]]
        for at in range(indptr[row], indptr[row + 1]):
            column = place[indices[at]]
            if column >= 0:
                here[column] += data[at]


sum_placed = compiled(_sum_placed)
"""Add up ``Y`` by group, for some of the genes."""
