"""A number that tells cells apart by their counts alone."""

import numpy as np

from unbatch._types import FloatArray, IntArray, KeyArray
from unbatch.core.kernels._compile import compiled


def _cell_keys(data: FloatArray, indptr: IntArray, key: KeyArray) -> None:
    # data begins at position indptr[0]. A sum of mixed counts (the finaliser of splitmix64) has no order: neither that
    # of cells nor that of genes changes it, nor does a gene without counts.
    first = indptr[0]
    for row in range(indptr.size - 1):
        total = np.uint64(0)
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            if data[at] != 0:
                mixed = np.uint64(data[at]) * np.uint64(0x9E3779B97F4A7C15)
                mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                total += mixed ^ (mixed >> np.uint64(31))
        key[row] = total


cell_keys = compiled(_cell_keys)
"""Mix the counts of each cell into one number."""
