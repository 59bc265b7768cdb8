"""The check of the values at the door: counts are whole, finite and not negative; empty cells and genes are named."""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import pandas as pd

from unbatch._check import InputError, warn
from unbatch._types import BoolArray, Counts, FloatArray, IntArray
from unbatch.core.kernels.totals import totals
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.io.source import Block, CountSource

LARGEST_COUNT = 2.0**53
"""Whole numbers up to here are exact in float64."""
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class DoorReport:
    """What the check counted.

    Attributes
    ----------
    counts_per_cell : (n_cells,) int64
        Sum of each row.
    counts_per_gene : (n_genes,) int64
        Sum of each column.
    n_nonzero
        Number of values that are not zero.
    warnings
        What was warned of.
    """

    counts_per_cell: IntArray
    counts_per_gene: IntArray
    n_nonzero: int
    warnings: tuple[str, ...]


class DoorCheck:
    """Accumulator that checks values and adds up rows and columns, in any order of the blocks.

    Parameters
    ----------
    source
        Where the blocks come from; it lends its names to the messages.
    """

    def __init__(self, source: CountSource) -> None:
        self._source = source
        self.counts_per_gene = np.zeros(source.n_genes, dtype=np.int64)
        self.rows: dict[int, IntArray] = {}
        self.n_nonzero = 0
        self.total = 0.0

    def add(self, block: Block) -> None:
        """Check a block and add its sums.

        Raises
        ------
        InputError
            At the first block with a value that is negative, NaN, infinite, fractional, or 2^53 or more: says how many
            of the block's values are, where the first is, and which other matrix of the input looks like counts. And if
            all counts so far add up to 2^53 or more.
        """
        counts, n_cells = block.counts, block.stop - block.start
        per_cell = np.empty(n_cells, dtype=np.int64)
        found: dict[int, tuple[int, int, float]] = {}
        lock = Lock()

        def some(start: int, stop: int) -> None:
            per_gene = np.zeros_like(self.counts_per_gene)
            found[start] = totals(*rows_of(counts, start, stop), LARGEST_COUNT, per_cell[start:stop], per_gene)
            with lock:
                self.counts_per_gene += per_gene

        in_ranges(some, n_cells, step=_ROWS)
        if any(bad for _, bad, _ in found.values()):
            raise InputError(self._refusal(block))
        self._add_total(sum(found[start][2] for start in sorted(found)))
        self.rows[block.start] = per_cell
        self.n_nonzero += sum(n_nonzero for n_nonzero, _, _ in found.values())

    def merge(self, other: "DoorCheck") -> None:
        """Add what another check of the same source has counted."""
        self.rows.update(other.rows)
        self.counts_per_gene += other.counts_per_gene
        self.n_nonzero += other.n_nonzero
        self._add_total(other.total)

    def counts_per_cell(self) -> IntArray:
        """Give the sum of each row, (n_cells,).

        Raises
        ------
        ValueError
            If blocks are missing or were added twice.
        """
        rows = [self.rows[start] for start in sorted(self.rows)]
        ends = np.cumsum([0, *(len(some) for some in rows)])
        if sorted(self.rows) != ends[:-1].tolist() or ends[-1] != self._source.n_cells:
            raise ValueError(f"blocks cover {ends[-1]} of {self._source.n_cells} cells, or overlap")
        return np.concatenate(rows)

    def finish(self) -> DoorReport:
        """Give the report, and warn of empty cells and genes.

        Raises
        ------
        ValueError
            If blocks are missing or were added twice.
        InputError
            If every count is zero.
        """
        counts_per_cell = self.counts_per_cell()
        if not counts_per_cell.any():
            raise InputError(f"there is no count at all in {self._source.description}: choose another layer or file")
        cells, genes = self._source.obs.index, self._source.var.index
        texts = [
            *_name_empty(counts_per_cell, cells, "cells", "they are kept and add nothing to the effects"),
            *_name_empty(self.counts_per_gene, genes, "genes", "they are kept with effect 1 (none)"),
        ]
        for text in texts:
            warn(text)
        return DoorReport(counts_per_cell, self.counts_per_gene.copy(), self.n_nonzero, tuple(texts))

    def _add_total(self, total: float) -> None:
        """Refuse counts so large that sums of them would be wrong."""
        self.total += total
        if self.total >= LARGEST_COUNT:
            raise InputError(
                f"the counts of {self._source.description} add up to {self.total:.3g} and more, and sums are exact "
                "only below 2^53 (9e15): give counts of molecules or reads"
            )

    def _refusal(self, block: Block) -> str:
        data, good = block.counts.data, _good(block.counts.data)
        first = int(np.flatnonzero(~good)[0])
        cell = int(np.searchsorted(block.counts.indptr, first, side="right")) - 1
        cell_name = self._source.obs.index[block.start + cell]
        gene_name = self._source.var.index[int(block.counts.indices[first])]
        candidates = self._source.alternatives()
        if candidates:
            listed = " or ".join(f"layer={name!r}" for name in candidates)
            cure = f"{listed} looks like counts: choose it"
        else:
            cure = "No other matrix of this input looks like counts: use the raw counts, before any normalisation"
        return (
            f"some values of {self._source.description} are not counts: {_kinds(data)} among {data.size} non-zero "
            f"values of {self._range(block)}; the first is {_shown(float(data[first]))} in cell {cell_name!r}, gene "
            f"{gene_name!r}. {cure}"
        )

    def _range(self, block: Block) -> str:
        """Say which cells were looked at: their numbers count from 1, within their own file if there are several."""
        parts, part = self._source.parts, int(self._source.part[block.start])
        of_part = np.flatnonzero(self._source.part == part)
        offset, n_cells = int(of_part[0]), int(of_part.size)
        of_file = f" of {parts[part]!r}" if len(parts) > 1 else ""
        if block.stop - block.start == n_cells:
            return f"all {n_cells} cells{of_file}"
        span = f"{block.start - offset + 1} to {block.stop - offset}"
        return f"cells number {span} of {n_cells}{of_file} (the check stopped there)"


def are_counts(counts: Counts) -> bool:
    """Tell whether all values could pass the door."""
    return bool(_good(counts.data).all())


def _good(data: FloatArray) -> BoolArray:
    # comparisons with NaN are false, so NaN is caught here too
    return np.asarray((data >= 0) & (data < LARGEST_COUNT) & (data == np.trunc(data)))


def _name_empty(totals: IntArray, names: pd.Index, what: str, consequence: str) -> list[str]:
    empty = np.flatnonzero(totals == 0)
    if not empty.size:
        return []
    first = names[int(empty[0])]
    return [f"{empty.size} of {totals.size} {what} have no counts (the first is {first!r}): {consequence}"]


def _shown(value: float) -> str:
    """Write a value shortly, unless that makes a whole number of it."""
    short = f"{value:g}"
    return repr(value) if float(short).is_integer() and not value.is_integer() else short


def _kinds(data: FloatArray) -> str:
    finite = np.isfinite(data)
    kinds = {
        "NaN": np.isnan(data),
        "infinite": np.isinf(data),
        "negative": finite & (data < 0),
        "fractional": finite & (data >= 0) & (data != np.trunc(data)),
        "at 2^53 or more": finite & (data >= LARGEST_COUNT),
    }
    return ", ".join(f"{int(which.sum())} {kind}" for kind, which in kinds.items() if which.any())
