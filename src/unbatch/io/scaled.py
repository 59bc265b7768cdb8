"""Batches whose counts were multiplied, or normalised and rounded: whole numbers that no sequencer counted."""

from collections.abc import Sequence

import numpy as np

from unbatch._check import warn
from unbatch._types import CodeArray, Counts, IntArray
from unbatch.core.divisors import smallest_of_cells

_FEWEST_GENES, _FEWEST_CELLS = 50, 10


def smallest_counts(counts: Counts) -> IntArray:
    """Give the smallest count of each cell, which tells of cells that lack many genes whether they were counted.

    Of genes whose means run from below 1 to above there are always some with a count of 1.

    Parameters
    ----------
    counts
        Whole counts, (n_cells, n_genes), without stored zeros.

    Returns
    -------
    (n_cells,) 0 for cells that tell nothing: those with counts of fewer than 50 genes, or of half of all or more, as
    of a panel of proteins, whose means may all be above 1.
    """
    n_seen = np.diff(counts.indptr)
    telling = (n_seen >= _FEWEST_GENES) & (2 * n_seen < counts.shape[1])
    return np.where(telling, smallest_of_cells(counts), 0)


def warn_of_scaled(smallest: IntArray, batch: CodeArray, *, batches: Sequence[str]) -> None:
    """Warn of batches in most of whose cells no gene has a count of 1.

    Parameters
    ----------
    smallest
        (n_cells,), from `smallest_counts`.
    batch
        (n_cells,) 0 to n_batches - 1.
    batches
        Names.

    Warns
    -----
    InputWarning
        Of the first of them, if it has ten such cells.
    """
    telling, scaled = (np.bincount(batch[smallest > least], minlength=len(batches)) for least in (0, 1))
    found = np.flatnonzero((scaled >= _FEWEST_CELLS) & (2 * scaled > telling))
    if not found.size:
        return
    first = int(found[0])
    usual = int(np.median(smallest[(batch == first) & (smallest > 0)]))
    others = f", and of {found.size - 1} other batches likewise" if found.size > 1 else ""
    warn(
        f"{scaled[first]} of {telling[first]} cells of batch {batches[first]!r} lack most genes, but none has a count "
        f"of 1 (as a rule the smallest is {usual}){others}: such numbers were multiplied, or normalised and rounded, "
        "and look more certain than what was counted, so that errors are too small; give the raw counts"
    )
