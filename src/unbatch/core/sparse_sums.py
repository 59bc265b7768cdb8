"""Sums by gene, state and batch where batches are many: most are 0, and only the others are kept."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray, IntArray
from unbatch.core.kernels.grouping import sum_moments
from unbatch.core.kernels.sparse_sums import add_margins, put_sums, spread_out
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of

_BATCHES = 64
"""Batches of a state that are summed in one go of a thread."""
_GENES = 256


@dataclass(frozen=True, eq=False)
class SparseSums:
    """Sums by gene, state and batch, of which a block of genes at a time is written out.

    It stands in the place of an array (n_genes, n_states, n_batches): `sums[genes]` is one.

    Attributes
    ----------
    indptr
        (n_genes + 1,) where the sums of each gene begin.
    place
        State times the number of batches, plus batch, of each sum, ascending for each gene.
    values
        The sums, in single precision: whole numbers up to 2^24 are exact, others to 6e-8 of themselves.
    shape
        Numbers of genes, states and batches.
    """

    indptr: IntArray
    place: CodeArray
    values: Float32Array
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, genes: slice | IntArray | int) -> FloatArray:
        chosen = np.arange(self.shape[0])[genes]
        out = np.zeros((chosen.size, self.shape[1] * self.shape[2]))
        if isinstance(genes, slice) and genes.step is None and chosen.size:
            spread_out(self.indptr[chosen[0] : chosen[-1] + 2], self.place, self.values, out)
            return out.reshape(*chosen.shape, *self.shape[1:])
        for row, gene in enumerate(np.atleast_1d(chosen)):
            spread_out(self.indptr[gene : gene + 2], self.place, self.values, out[row : row + 1])
        return out.reshape(*chosen.shape, *self.shape[1:])

    def margins(self) -> tuple[FloatArray, FloatArray]:
        """Add up over batches, (n_genes, n_states), and over states, (n_genes, n_batches)."""
        n_genes, n_states, n_batches = self.shape
        by_state, by_batch = np.zeros((n_genes, n_states)), np.zeros((n_genes, n_batches))

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            add_margins(self.indptr[first : stop + 1], self.place, self.values, by_state[genes], by_batch[genes])

        in_ranges(some, n_genes, step=_GENES)
        return by_state, by_batch

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the batches, (n_batches,)."""
        n_genes, n_states, n_batches = self.shape
        state, batch = np.divmod(self.place, n_batches)
        kept, n_kept = chosen[batch], int(chosen.sum())
        number = np.cumsum(chosen) - 1
        before = np.concatenate([[0], np.cumsum(kept)])
        return type(self)(
            indptr=before[self.indptr],
            place=(state[kept] * n_kept + number[batch[kept]]).astype(np.int32),
            values=self.values[kept],
            shape=(n_genes, n_states, n_kept),
        )


def sum_sparsely(
    counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int]
) -> tuple[SparseSums, SparseSums]:
    """Sum counts Y, and Y^2 / l, by state and batch: see `StateTable.of`, whose parameters these are.

    Every group of batches is summed twice: first to see how many sums of each gene there are, then to keep them.
    """
    (n_states, n_batches), n_genes = shape, counts.shape[1]
    used = np.flatnonzero(state >= 0)
    group = state[used].astype(np.int64) * n_batches + batch[used]
    order = np.argsort(group, kind="stable")
    used, group = used[order], group[order]
    parts = [
        (s * n_batches + first, s * n_batches + min(first + _BATCHES, n_batches))
        for s in range(n_states)
        for first in range(0, n_batches, _BATCHES)
    ]
    ends = np.searchsorted(group, parts)
    rows = rows_of(counts, 0, len(state))

    def summed(at: int) -> tuple[FloatArray, FloatArray]:
        cells, (first, stop) = used[ends[at, 0] : ends[at, 1]], parts[at]
        sums, squares = np.zeros((stop - first, n_genes)), np.zeros((stop - first, n_genes))
        sum_moments(*rows, cells, batch - np.int32(first % n_batches), size, sums, squares)
        return sums, squares

    numbers = np.zeros((len(parts) + 1, n_genes), dtype=np.int64)

    def count(at: int, _: int) -> None:
        np.sum(summed(at)[0] > 0, axis=0, out=numbers[at + 1])

    in_ranges(count, len(parts), step=1)
    np.cumsum(numbers, axis=0, out=numbers)
    indptr = np.concatenate([[0], np.cumsum(numbers[-1])])
    place = np.empty(indptr[-1], dtype=np.int32)
    kept, scaled = np.empty(len(place), dtype=np.float32), np.empty(len(place), dtype=np.float32)

    def put(at: int, _: int) -> None:
        sums, squares = (np.ascontiguousarray(values.T) for values in summed(at))
        put_sums(sums, squares, parts[at][0], indptr[:-1] + numbers[at], place, kept, scaled)

    in_ranges(put, len(parts), step=1)
    whole = (n_genes, *shape)
    return SparseSums(indptr, place, kept, whole), SparseSums(indptr, place, scaled, whole)
