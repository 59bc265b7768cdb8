"""Batches whose counts are all multiples of one number: they were multiplied, and are divided as they are read."""

import numpy as np
import pandas as pd

from unbatch._check import warn
from unbatch._progress import Progress
from unbatch._types import CodeArray, IntArray
from unbatch.core.divisors import factors_of_cells
from unbatch.io.batches import Batches
from unbatch.io.divided_source import Divided
from unbatch.io.door import DoorCheck, are_counts
from unbatch.io.known import PerCell
from unbatch.io.reduce import Driver, Together, reduce_blocks
from unbatch.io.source import Block, CountSource

_FEWEST_COUNTS = 50
"""Counts that are all even by chance: one in 2^50 times, if odd ones are as frequent."""
_LOOKED_AT = (4, 64, 1024)
"""Cells of a batch that are read, one number after the other, until two counts have nothing in common."""
_AT_ONCE = 2048
"""Cells that are held at a time."""


class CommonFactors:
    """Accumulator of the greatest common divisor of the counts of each batch; their values must be counts.

    Parameters
    ----------
    codes
        Batch of each cell, (n_cells,).
    n_batches
        Number of batches.
    """

    def __init__(self, codes: CodeArray, n_batches: int) -> None:
        self._codes = PerCell(codes)
        self.factor = np.zeros(n_batches, dtype=np.int64)
        self.n_counts = np.zeros(n_batches, dtype=np.int64)

    def add(self, block: Block) -> None:
        """Take the cells of a block in."""
        codes = self._codes.of(block.start, block.stop)
        self.add_cells(codes, factors_of_cells(block.counts), np.diff(block.counts.indptr))

    def add_cells(self, codes: CodeArray, factors: IntArray, n_counts: IntArray) -> None:
        """Take in cells, given their batches, what the counts of each have in common, and how many these are."""
        np.gcd.at(self.factor, codes, factors)
        np.add.at(self.n_counts, codes, n_counts)

    def merge(self, other: "CommonFactors") -> None:
        """Take in what another one found."""
        self.factor = np.gcd(self.factor, other.factor)
        self.n_counts += other.n_counts

    def values(self) -> IntArray:
        """Give the factor of each batch, (n_batches,): 1 if there is none, or too few counts to tell."""
        return np.where(self.n_counts >= _FEWEST_COUNTS, np.maximum(self.factor, 1), 1)


def without_common_factors(
    source: CountSource, batches: Batches, *, progress: Progress, driver: Driver | None = None
) -> CountSource:
    """Give a source that reads batches whose counts are all multiples of a number divided by it.

    Such counts were multiplied: what was counted, and how much it scatters, is told by the quotient. A few cells of
    each batch are read, as a rule; if their counts have a divisor in common, all are.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes).
    batches
        Batch of each cell.
    progress
        Told of the stage "looking for a common factor" if all cells are read.
    driver
        Who reads then; None is this process.

    Returns
    -------
    CountSource
        The same one if there is no such batch, or if its values are not counts, which the pass that follows says.

    Raises
    ------
    InputError
        If the source cannot be read; all cells being read, if values are not counts.

    Warns
    -----
    InputWarning
        Of such batches.
    """
    n_batches = len(batches.levels)
    if not _may_have_factors(source, batches):
        return source
    found = CommonFactors(batches.codes, n_batches)
    with progress.stage("looking for a common factor", total=source.n_cells) as advance:
        reduce_blocks(source, Together(DoorCheck(source), found), progress=advance, driver=driver)
    factor = found.values()
    if (factor == 1).all():
        return source
    warn_of_common_factors(factor, batches)
    return Divided(source, batches.codes, factor)


def warn_of_common_factors(factor: IntArray, batches: Batches, *, of: str = "all counts") -> None:
    """Warn of batches whose counts have a factor in common.

    Parameters
    ----------
    factor
        What the counts of each batch are multiples of, (n_batches,).
    batches
        The batches.
    of
        Which counts of them were looked at.

    Warns
    -----
    InputWarning
        Of the first of them.
    """
    above = np.flatnonzero(factor > 1)
    if not above.size:
        return
    others = f", and those of {above.size - 1} other batches likewise" if above.size > 1 else ""
    warn(
        f"{of} of batch {batches.levels[above[0]]!r} are multiples of {factor[above[0]]}{others}: they were "
        "multiplied, and are divided by it before anything is estimated; give the raw counts"
    )


def _may_have_factors(source: CountSource, batches: Batches) -> bool:
    """Tell from the first cells of each batch whether the counts of one may have a factor in common."""
    found = CommonFactors(batches.codes, len(batches.levels))
    order = pd.Series(batches.codes).groupby(batches.codes).cumcount().to_numpy()
    open_batches = np.ones(len(batches.levels), dtype=np.bool_)
    before = 0
    for number in _LOOKED_AT:
        rows = np.flatnonzero((order >= before) & (order < number) & open_batches[batches.codes])
        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first : first + _AT_ONCE]
            counts = source.rows(some)
            if not are_counts(counts):
                return False
            found.add_cells(batches.codes[some], factors_of_cells(counts), np.diff(counts.indptr))
        open_batches = found.factor != 1
        before = number
    few = (batches.sizes <= before) & (found.values() == 1)
    return bool((open_batches & ~few).any())
