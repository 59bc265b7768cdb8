"""Cells shared out to states by their counts, and sums over cells by their shares."""

import math

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

_NEVER = -1e300


def _share_out(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    batch: CodeArray,
    level: CodeArray,
    place: CodeArray,
    log_part: FloatArray,
    log_weight: FloatArray,
    of_level: CodeArray,
    share: FloatArray,
    likelihood: FloatArray,
) -> None:
    # cells: rows of the counts; batch and level: one per row. place: where a gene is among those that are looked at,
    # negative for others. log_part: (n_batches, n_looked_at, n_states), log of the part of a cell's counts.
    # log_weight: (n_batches, n_states). of_level: (n_states,), whose cells alone are shared out to a state; each has
    # one. Written: share, (cells, n_states), and likelihood, (cells,), its log.
    for i in range(cells.size):
        row, here = cells[i], share[i]
        for s in range(here.size):
            here[s] = log_weight[batch[row], s]
        for at in range(indptr[row] - indptr[0], indptr[row + 1] - indptr[0]):
            gene = place[indices[at]]
            if gene >= 0:
                count, part = float(data[at]), log_part[batch[row], gene]
                for s in range(here.size):
                    here[s] += count * part[s]
        most, whole = _NEVER, 0.0
        for s in range(here.size):
            if of_level[s] == level[row]:
                most = max(most, here[s])
        for s in range(here.size):
            here[s] = math.exp(here[s] - most) if of_level[s] == level[row] else 0.0
            whole += here[s]
        for s in range(here.size):
            here[s] /= whole
        likelihood[i] = most + math.log(whole)


share_out = compiled(_share_out)
"""Find the posterior probability of each state for each cell, by multinomial counts."""


def _sum_shared(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    place: CodeArray,
    share: FloatArray,
    power: int,
    sums: FloatArray,
) -> None:
    # cells and place: as above; share: (cells, n_states). power: of counts. sums: (n_looked_at, n_states), added to.
    for i in range(cells.size):
        row, here = cells[i], share[i]
        for at in range(indptr[row] - indptr[0], indptr[row + 1] - indptr[0]):
            gene = place[indices[at]]
            if gene >= 0:
                count, of_gene = float(data[at]) ** power, sums[gene]
                for s in range(here.size):
                    of_gene[s] += count * here[s]


sum_shared = compiled(_sum_shared)
"""Add up a power of the counts by gene and state, each times what the state has of its cell."""
