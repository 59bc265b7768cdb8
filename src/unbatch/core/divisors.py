"""The smallest count of each cell, and what all of its counts are multiples of."""

import numpy as np

from unbatch._types import Counts, IntArray


def smallest_of_cells(counts: Counts) -> IntArray:
    """Give the smallest count of each cell, (n_cells,); 0 for cells without counts.

    Parameters
    ----------
    counts
        Whole counts, (n_cells, n_genes), without stored zeros.
    """
    smallest = np.zeros(counts.shape[0], dtype=np.int64)
    seen = np.diff(counts.indptr) > 0
    if seen.any():
        smallest[seen] = np.minimum.reduceat(counts.data, counts.indptr[:-1][seen]).astype(np.int64)
    return smallest


def factors_of_cells(counts: Counts) -> IntArray:
    """Give the greatest common divisor of the counts of each cell, (n_cells,); 0 for cells without counts.

    Parameters
    ----------
    counts
        Whole counts, (n_cells, n_genes), without stored zeros.
    """
    factors = smallest_of_cells(counts)
    above = np.flatnonzero(factors > 1)  # of others it is the smallest count
    if above.size:
        some = counts[above]
        factors[above] = np.gcd.reduceat(some.data.astype(np.int64), some.indptr[:-1])
    return factors
