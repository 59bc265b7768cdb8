"""A short look at the counts of a source: some of its blocks, spread over it, within a time."""

import time
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._types import IntArray, KeyArray
from unbatch.core.divisors import factors_of_cells
from unbatch.io.copies import Fingerprints
from unbatch.io.door import DoorCheck, DoorReport
from unbatch.io.scaled import smallest_counts
from unbatch.io.source import Block, CountSource

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class Peek:
    """What a look found.

    Attributes
    ----------
    cells : (n_seen,) int64
        Positions of the cells that were looked at, ascending.
    counts_per_cell : (n_seen,) int64
        Their counts.
    marks : (n_seen,) uint64
        Their fingerprints.
    smallest : (n_seen,) int64
        The smallest count of each that tells.
    factors : (n_seen,) int64
        What the counts of each have in common.
    n_counts : (n_seen,) int64
        How many non-zero counts each has.
    n_nonzero
        Their non-zero counts.
    seconds
        Time to read and check them.
    report
        The report of the whole source, if all of it was looked at.
    """

    cells: IntArray
    counts_per_cell: IntArray
    marks: KeyArray
    smallest: IntArray
    factors: IntArray
    n_counts: IntArray
    n_nonzero: int
    seconds: float
    report: DoorReport | None

    def whole(self, n_cells: int) -> float:
        """How many times as many cells the source has as were seen."""
        return n_cells / max(self.cells.size, 1)


def peek(source: CountSource, *, seconds: float) -> Peek:
    """Read and check blocks of a source until the time is up, at least one.

    The first block is the first of the source; those that follow are spread evenly over it, however many there will be.

    Parameters
    ----------
    source
        What to look at.
    seconds
        When to stop: no block is begun after this time. Infinite to read everything.

    Raises
    ------
    InputError
        If values are not counts, or the source cannot be read; all of it being read, if there is no count at all.

    Warns
    -----
    InputWarning
        All of it being read, for cells and genes without counts.
    """
    check, of_cells = DoorCheck(source), dict[int, tuple[IntArray, ...]]()
    fingerprints = Fingerprints(np.asarray(source.measured.all(axis=1)))
    _compile(source)
    bounds = source.bounds()
    start = time.perf_counter()
    for place in _spread(len(bounds)):
        for block in source.blocks(cells=bounds[place]):
            check.add(block)
            fingerprints.add(block)
            counts = block.counts
            of_cells[block.start] = smallest_counts(counts), factors_of_cells(counts), np.diff(counts.indptr)
        if time.perf_counter() - start > seconds:
            break
    taken = time.perf_counter() - start
    starts = sorted(check.rows)
    rows = [check.rows[first] for first in starts]
    per_cell = np.concatenate(rows)
    cells = np.concatenate([np.arange(first, first + len(own)) for first, own in zip(starts, rows, strict=True)])
    smallest, factors, n_counts = (
        np.concatenate(each) for each in zip(*(of_cells[first] for first in starts), strict=True)
    )
    report = check.finish() if cells.size == source.n_cells else None
    return Peek(
        cells=cells,
        counts_per_cell=per_cell,
        marks=fingerprints.values(per_cell),
        smallest=smallest,
        factors=factors,
        n_counts=n_counts,
        n_nonzero=check.n_nonzero,
        seconds=taken,
        report=report,
    )


def _compile(source: CountSource) -> None:
    """Have the kernel of the check ready before time is taken."""
    nothing = Block(0, sparse.csr_array((1, source.n_genes), dtype=np.float32))
    DoorCheck(source).add(nothing)
    Fingerprints().add(nothing)


def _spread(n_blocks: int) -> list[int]:
    """Order blocks so that any number of the first ones are spread evenly: by multiples of the golden section."""
    rank = np.argsort((np.arange(n_blocks) * _GOLDEN) % 1, kind="stable").argsort(kind="stable")
    return [int(place) for place in rank]
