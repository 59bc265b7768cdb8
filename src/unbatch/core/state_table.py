"""The sums that the fit needs: counts and size factors by state and batch."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.kernels.grouping import sum_moments, sum_placed
from unbatch.core.narrow_sums import NarrowSums
from unbatch.core.parallel import in_ranges
from unbatch.core.plain import plain
from unbatch.core.rows import rows_of
from unbatch.core.sparse_sums import SparseSums, sum_sparsely

Sums: TypeAlias = FloatArray | NarrowSums | SparseSums
"""Sums by gene, state and batch; of any kind `sums[genes]` is an array."""

_Float = TypeVar("_Float", np.float32, np.float64)

_GROUPS = 16
"""Groups summed in one go of a thread."""
MOST_WIDE = 4_000_000
"""Sums beyond which they are kept in single precision."""
MOST_DENSE = 40_000_000
"""Sums beyond which only those above 0 are kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StateCounts:
    """Counts and size factors summed over the cells of each state and batch.

    Attributes
    ----------
    counts
        (n_genes, n_states, n_batches) summed counts Y. Beyond four million sums they are kept in single precision, in
        which whole numbers up to 2^24 are exact; beyond 40 million only those above 0 are kept.
    exposure
        (n_states, n_batches) summed size factors l of the cells.
    cells
        (n_states, n_batches) number of cells.
    """

    counts: Sums
    exposure: FloatArray
    cells: FloatArray

    @cached_property
    def margins(self) -> tuple[FloatArray, FloatArray]:
        """Counts summed over batches, (n_genes, n_states), and over states, (n_genes, n_batches)."""
        if isinstance(self.counts, np.ndarray):
            return plain(self.counts.sum(axis=2)), plain(self.counts.sum(axis=1))
        return self.counts.margins()

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the batches, (n_batches,)."""
        if chosen.all():
            return self
        return replace(
            self,
            counts=_of_batches(self.counts, chosen),
            exposure=self.exposure[:, chosen],
            cells=self.cells[:, chosen],
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class StateTable(StateCounts):
    """The same, with what tells how far the cells of a state scatter.

    Attributes
    ----------
    squares
        (n_genes, n_states, n_batches) sum over cells of ``Y_gj^2 / l_j``, from which the dispersion follows.
    """

    squares: Sums

    @classmethod
    def of(
        cls, counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int]
    ) -> Self:
        """Sum cells by state and batch.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        state, batch
            State and batch of each cell, (n_cells,). Cells of a negative state are left out.
        size
            Size factor of each cell, (n_cells,), positive.
        shape
            Number of states and of batches.

        Returns
        -------
        StateTable
        """
        n_groups = shape[0] * shape[1]
        found, squares = _sums(counts, state=state, batch=batch, size=size, shape=shape)
        used = np.flatnonzero(state >= 0)
        group = state[used].astype(np.int64) * shape[1] + batch[used]
        return cls(
            counts=found,
            squares=squares,
            exposure=np.bincount(group, size[used], n_groups).reshape(shape).astype(np.float64),
            cells=np.bincount(group, minlength=n_groups).reshape(shape).astype(np.float64),
        )

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the batches, (n_batches,)."""
        if chosen.all():
            return self
        return replace(super().of_batches(chosen), squares=_of_batches(self.squares, chosen))


def _of_batches(sums: Sums, chosen: BoolArray) -> Sums:
    return np.compress(chosen, sums, axis=2) if isinstance(sums, np.ndarray) else sums.of_batches(chosen)


def _sums(
    counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int]
) -> tuple[Sums, Sums]:
    n_sums = counts.shape[1] * shape[0] * shape[1]
    if n_sums > MOST_DENSE:
        return sum_sparsely(counts, state=state, batch=batch, size=size, shape=shape)
    if n_sums <= MOST_WIDE:
        return _sum_all(counts, state=state, batch=batch, size=size, shape=shape, kept=np.float64)
    sums, squares = _sum_all(counts, state=state, batch=batch, size=size, shape=shape, kept=np.float32)
    return NarrowSums(sums), NarrowSums(squares)


def _sum_all(
    counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int], kept: type[_Float]
) -> tuple[NDArray[_Float], NDArray[_Float]]:
    """Sum counts Y, and Y^2 / l, by state and batch, (n_genes, n_states, n_batches); in float64, however kept."""
    (n_states, n_batches), n_genes = shape, counts.shape[1]
    sums, squares = np.zeros((n_genes, *shape), dtype=kept), np.zeros((n_genes, *shape), dtype=kept)
    used = np.flatnonzero(state >= 0)
    group = state[used].astype(np.int64) * n_batches + batch[used]
    order = used[np.argsort(group, kind="stable")]
    ends = np.cumsum(np.bincount(state[used], minlength=n_states))

    def one(s: int, _: int) -> None:
        cells = order[ends[s - 1] if s else 0 : ends[s]]
        here, square = np.zeros((n_batches, n_genes)), np.zeros((n_batches, n_genes))
        sum_moments(*rows_of(counts, 0, len(state)), cells, batch, size, here, square)
        sums[:, s], squares[:, s] = np.array(here.T, kept, order="C"), np.array(square.T, kept, order="C")  # 2 x faster

    in_ranges(one, n_states, step=1)
    return sums, squares


def group_sums(counts: Counts, group: CodeArray, *, n_groups: int, genes: IntArray) -> FloatArray:
    """Sum the counts of some genes over groups of cells.

    Parameters
    ----------
    counts
        Counts, (n_cells, n_genes).
    group
        Group of each cell, (n_cells,).
    n_groups
        Number of groups.
    genes
        Genes to sum, (n_chosen,).

    Returns
    -------
    (n_groups, n_chosen)
    """
    place = np.full(counts.shape[1], -1, dtype=np.int32)
    place[genes] = np.arange(len(genes), dtype=np.int32)
    order = np.argsort(group, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=n_groups))])
    sums = np.zeros((n_groups, len(genes)))

    def some(first: int, stop: int) -> None:
        sum_placed(*rows_of(counts, 0, len(group)), order[ends[first] : ends[stop]], group, place, sums)

    in_ranges(some, n_groups, step=_GROUPS)
    return sums
