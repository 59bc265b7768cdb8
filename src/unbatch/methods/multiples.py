"""Batches whose counts were multiplied by a whole number, as when both ends of a fragment are counted."""

import warnings
from collections.abc import Sequence

import numpy as np

from unbatch._check import InputWarning
from unbatch._types import CodeArray, Counts, IntArray

_FEWEST = 200
"""Fewer non-zero counts than these may be multiples by chance: if half are even, all 200 are with one of 10^60."""


def common_divisors(counts: Counts, batch: CodeArray, *, n_batches: int) -> IntArray:
    """Find the largest number by which all counts of a batch can be divided.

    Parameters
    ----------
    counts
        Whole counts, (n_cells, n_genes), without stored zeros.
    batch
        (n_cells,) 0 to n_batches - 1.
    n_batches
        Number of batches.

    Returns
    -------
    (n_batches,) 1 for batches with less than 200 counts, too.
    """
    n_counts = np.diff(counts.indptr)
    divisor, seen = np.zeros(n_batches, dtype=np.int64), np.bincount(batch, n_counts, n_batches)
    for cell in np.flatnonzero(n_counts):
        if divisor[batch[cell]] != 1:
            values = counts.data[counts.indptr[cell] : counts.indptr[cell + 1]].astype(np.int64)
            divisor[batch[cell]] = np.gcd.reduce(values, initial=divisor[batch[cell]])
    return np.where(seen >= _FEWEST, divisor, 1)


def warn_of_multiples(divisor: IntArray, *, batches: Sequence[str]) -> None:
    """Warn of batches whose counts can be divided by a number above 1.

    Parameters
    ----------
    divisor
        (n_batches,), from `common_divisors`.
    batches
        Names.

    Warns
    -----
    InputWarning
        Of the first of them.
    """
    scaled = np.flatnonzero(divisor > 1)
    if not scaled.size:
        return
    first = int(scaled[0])
    others = f", and those of {scaled.size - 1} other batches likewise" if scaled.size > 1 else ""
    warnings.warn(
        f"all counts of batch {batches[first]!r} are multiples of {divisor[first]}{others}: counts of molecules or "
        "reads are not, and what was multiplied looks more certain than it is, so errors are too small; divide them",
        InputWarning,
        stacklevel=4,
    )
