"""Sums by state and batch over any number of cells, in any order, to the bit."""

import math
from collections.abc import Callable
from typing import Self

import numpy as np

from unbatch._check import InputError
from unbatch._memory import release
from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.kernels.exact_sums import MOST, add_counts, add_exactly
from unbatch.core.narrow_sums import NarrowSums
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.core.state_table import MOST_WIDE, StateCounts, StateTable

_SQUARE_UNITS, SIZE_UNITS = 2.0**24, 2.0**16
"""Units in 1: fine enough for one count in a deep cell, coarse enough that sums over 10^8 cells of molecules stay below
2^63. Beyond are reads by the million in cells that have few counts of the genes that all batches measured."""


class ExactCounts:
    """What `StateCounts` holds, added up block by block in whole numbers.

    Parameters
    ----------
    n_genes
        Number of genes.
    shape
        Number of states and of batches.
    """

    _sums_of_a_gene: tuple[int, ...] = ()

    def __init__(self, n_genes: int, shape: tuple[int, int]) -> None:
        self._n_genes, self._shape = n_genes, shape
        self.cells = np.zeros(shape[0] * shape[1], dtype=np.int64)
        self.exposure = np.zeros_like(self.cells)
        self.sums: dict[int, IntArray] = {}

    def add(self, counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray) -> None:
        """Add cells.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        state, batch
            State and batch of each cell, (n_cells,). Cells of a negative state are left out.
        size
            Size factor of each cell, (n_cells,), positive.
        """
        used = np.flatnonzero(state >= 0)
        group = state[used].astype(np.int64) * self._shape[1] + batch[used]
        order = np.argsort(group, kind="stable")
        names, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
        self.cells[names] += sizes
        np.add.at(self.exposure, group, np.rint(size[used] * SIZE_UNITS).astype(np.int64))
        for name in names.tolist():
            if name not in self.sums:
                self.sums[name] = np.zeros((self._n_genes, *self._sums_of_a_gene), dtype=np.int64)
        rows, add = rows_of(counts, 0, len(state)), self._leaf(size)

        def one(number: int, _: int) -> None:
            mine = used[order[starts[number] : starts[number] + sizes[number]]]
            add(*rows, mine, self.sums[int(names[number])])

        in_ranges(one, len(names), step=1)

    def _leaf(self, size: FloatArray) -> Callable[..., None]:  # noqa: ARG002 - squares are over sizes
        """Give what adds rows to the sums of a group."""
        return add_counts

    def merge(self, other: Self) -> None:
        """Add what another one has added up, which stays as it is."""
        self.cells += other.cells
        self.exposure += other.exposure
        for name, sums in other.sums.items():
            if name in self.sums:
                self.sums[name] += sums
            else:
                self.sums[name] = sums.copy()

    def finish(self) -> StateCounts:
        """Give the sums, which are let go."""
        counts = self._table()
        release()
        return StateCounts(counts=counts, exposure=self._exposure(), cells=self._cells())

    def _table(self, units: float = 1.0) -> FloatArray | NarrowSums:
        """Empty the sums into a table, (n_genes, n_states, n_batches)."""
        shape = (self._n_genes, *self._shape)
        narrow = math.prod(shape) > MOST_WIDE
        table = np.zeros(shape, dtype=np.float32 if narrow else np.float64)
        for name in list(self.sums):
            table[:, name // self._shape[1], name % self._shape[1]] = self.sums.pop(name) / units
        return NarrowSums(table) if narrow else table

    def _exposure(self) -> FloatArray:
        return np.asarray(self.exposure.reshape(self._shape) / SIZE_UNITS)

    def _cells(self) -> FloatArray:
        return self.cells.reshape(self._shape).astype(np.float64)


class ExactSums(ExactCounts):
    """What a `StateTable` holds, added up likewise: sums and squares lie beside each other."""

    _sums_of_a_gene = (2,)

    def _leaf(self, size: FloatArray) -> Callable[..., None]:
        per_size = _SQUARE_UNITS / size

        def add(data: FloatArray, indices: IntArray, indptr: IntArray, cells: IntArray, sums: IntArray) -> None:
            add_exactly(data, indices, indptr, cells, per_size, sums)

        return add

    def merge(self, other: Self) -> None:
        """Add what another one has added up, which stays as it is."""
        super().merge(other)
        for name in other.sums:
            squares = self.sums[name][:, 1]
            squares[squares < 0] = MOST  # two that are not negative pass the end once

    def finish(self) -> StateTable:
        """Give the sums, which are let go.

        Raises
        ------
        InputError
            If squares of counts add up to more than whole numbers of 64 bits can hold.
        """
        beyond = sum(int((sums[:, 1] == MOST).sum()) for sums in self.sums.values())
        if beyond:
            raise InputError(
                f"counts are so large that {beyond} sums of their squares over size factors are beyond 2^39: divide "
                "reads by how many there are of a molecule, and round them"
            )
        squares: dict[int, IntArray] = {}
        for name, sums in self.sums.items():
            self.sums[name], squares[name] = sums[:, 0].copy(), sums[:, 1].copy()
        counts = self._table()
        release()  # the sums go before the second table comes
        self.sums = squares
        table = self._table(units=_SQUARE_UNITS)
        release()
        return StateTable(counts=counts, squares=table, exposure=self._exposure(), cells=self._cells())
