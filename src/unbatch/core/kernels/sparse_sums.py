"""Sums by gene and group of cells of which most are 0: made from those of some groups, added up, and written out."""

from unbatch._types import CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _put_sums(
    sums: FloatArray,
    squares: FloatArray,
    first: int,
    at: IntArray,
    place: CodeArray,
    counts: Float32Array,
    scaled: Float32Array,
) -> None:
    # sums and squares: (n_genes, n_groups), of groups that follow one another from the place `first`. at: (n_genes,)
    # where the sums of a gene go, moved on. Written: place, counts and scaled, what is above 0.
    n_genes, n_groups = sums.shape
    for g in range(n_genes):
        for k in range(n_groups):
            if sums[g, k] > 0:
                place[at[g]], counts[at[g]], scaled[at[g]] = first + k, sums[g, k], squares[g, k]
                at[g] += 1


put_sums = compiled(_put_sums)
"""Append the sums of some groups to those of each gene."""


def _spread_out(indptr: IntArray, place: CodeArray, values: Float32Array, out: FloatArray) -> None:
    # indptr: (n_genes + 1,). out: (n_genes, n_places), zeros.
    for g in range(out.shape[0]):
        here = out[g]
        for at in range(indptr[g], indptr[g + 1]):
            here[place[at]] = values[at]


spread_out = compiled(_spread_out)
"""Write sums out, with the zeros between them."""


def _add_margins(
    indptr: IntArray,
    place: CodeArray,
    values: Float32Array,
    by_state: FloatArray,
    by_batch: FloatArray,
) -> None:
    # place: state times the number of batches, plus batch. by_state: (n_genes, n_states) and by_batch:
    # (n_genes, n_batches), added to.
    n_batches = by_batch.shape[1]
    for g in range(by_state.shape[0]):
        of_state, of_batch = by_state[g], by_batch[g]
        for at in range(indptr[g], indptr[g + 1]):
            state = place[at] // n_batches
            of_state[state] += values[at]
            of_batch[place[at] - state * n_batches] += values[at]


add_margins = compiled(_add_margins)
"""Add up the sums of each gene over batches, and over states."""
