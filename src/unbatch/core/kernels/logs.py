"""Logs of adjusted and normalised counts: their moments, and some of them written out."""

import math

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _sum_logs(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    scaling: FloatArray,
    sums: FloatArray,
    squares: FloatArray,
) -> None:
    # cells: rows of the counts. factor: (n_batches, n_genes), what counts are multiplied by.
    # batch and scaling: one per row of the counts, scaling is scale over size factor. sums and squares: (n_genes,),
    # added to.
    for i in range(cells.size):
        row = cells[i]
        factors, times = factor[batch[row]], scaling[row]
        for at in range(indptr[row], indptr[row + 1]):
            gene = indices[at]
            value = math.log1p(data[at] * factors[gene] * times)
            sums[gene] += value
            squares[gene] += value * value


sum_logs = compiled(_sum_logs)
"""Add up ``x = log(1 + a Y / (delta l))`` and its square by gene."""


def _write_logs(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    place: CodeArray,
    scaling: FloatArray,
    out: FloatArray,
) -> None:
    # factor: (n_batches, n_genes). place: (n_genes,) column of out, or -1 for a gene that is left out.
    # out: (n_cells, n_columns), overwritten.
    # data and indices begin at position indptr[0].
    first = indptr[0]
    for row in range(out.shape[0]):
        here, factors, times = out[row], factor[batch[row]], scaling[row]
        here[:] = 0.0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            gene = indices[at]
            if place[gene] >= 0:
                here[place[gene]] = math.log1p(data[at] * factors[gene] * times)


write_logs = compiled(_write_logs)
"""Write the logs of some genes as a dense array."""
