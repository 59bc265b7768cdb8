"""Sums by state and batch over any number of cells, in any order, to the bit."""

import numpy as np

from unbatch._check import InputError
from unbatch._memory import release
from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.kernels.exact_sums import MOST, add_exactly
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.core.state_table import StateTable

_SQUARE_UNITS, SIZE_UNITS = 2.0**24, 2.0**16
"""Units in 1: fine enough for one count in a deep cell, coarse enough that sums over 10^8 cells of molecules stay below
2^63. Beyond are reads by the million in cells that have few counts of the genes that all batches measured."""


class ExactSums:
    """What a `StateTable` holds, added up block by block in whole numbers.

    Parameters
    ----------
    n_genes
        Number of genes.
    shape
        Number of states and of batches.
    """

    def __init__(self, n_genes: int, shape: tuple[int, int]) -> None:
        self._n_genes, self._shape = n_genes, shape
        self.cells = np.zeros(shape[0] * shape[1], dtype=np.int64)
        self.exposure = np.zeros_like(self.cells)
        self.moments: dict[int, IntArray] = {}

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
            if name not in self.moments:
                self.moments[name] = np.zeros((self._n_genes, 2), dtype=np.int64)
        rows, per_size = rows_of(counts, 0, len(state)), _SQUARE_UNITS / size

        def one(number: int, _: int) -> None:
            mine = used[order[starts[number] : starts[number] + sizes[number]]]
            add_exactly(*rows, mine, per_size, self.moments[int(names[number])])

        in_ranges(one, len(names), step=1)

    def merge(self, other: "ExactSums") -> None:
        """Add what another one has added up, which stays as it is."""
        self.cells += other.cells
        self.exposure += other.exposure
        for name, moments in other.moments.items():
            if name in self.moments:
                self.moments[name] += moments
                squares = self.moments[name][:, 1]
                squares[squares < 0] = MOST  # two that are not negative pass the end once
            else:
                self.moments[name] = moments.copy()

    def finish(self) -> StateTable:
        """Give the sums, which are let go.

        Raises
        ------
        InputError
            If squares of counts add up to more than whole numbers of 64 bits can hold.
        """
        beyond = sum(int((moments[:, 1] == MOST).sum()) for moments in self.moments.values())
        if beyond:
            raise InputError(
                f"counts are so large that {beyond} sums of their squares over size factors are beyond 2^39: keep all "
                "cells for the fit (sketch_size of at least their number), or divide reads by how many there are of a "
                "molecule, and round them"
            )
        squares: dict[int, IntArray] = {}
        counts = np.zeros((self._n_genes, *self._shape))
        for name in list(self.moments):
            moments = self.moments.pop(name)
            counts[self._place(name)] = moments[:, 0]
            squares[name] = moments[:, 1].copy()
        release()  # the sums go before the second table comes
        table = np.zeros_like(counts)
        for name in list(squares):
            table[self._place(name)] = squares.pop(name) / _SQUARE_UNITS
        release()
        return StateTable(
            counts=counts,
            squares=table,
            exposure=self.exposure.reshape(self._shape) / SIZE_UNITS,
            cells=self.cells.reshape(self._shape).astype(np.float64),
        )

    def _place(self, name: int) -> tuple[slice, int, int]:
        """Tell where the genes of a group are in a table."""
        return np.s_[:, name // self._shape[1], name % self._shape[1]]
