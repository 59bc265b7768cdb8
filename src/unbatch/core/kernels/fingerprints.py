"""A number that tells cells apart by how many counts they have of which gene."""

import numpy as np

from unbatch._types import FloatArray, IntArray, KeyArray
from unbatch.core.kernels._compile import compiled


def _fingerprints(
    data: FloatArray, indices: IntArray, indptr: IntArray, weight: KeyArray, fewest: int, most: int, mark: KeyArray
) -> None:
    # data and indices begin at position indptr[0]. Sums of unsigned integers wrap around.
    first = indptr[0]
    for row in range(indptr.size - 1):
        start, stop = indptr[row] - first, indptr[row + 1] - first
        total = np.uint64(stop - start)
        for at in range(start, min(start + most, stop)):
            total += weight[indices[at]] * np.uint64(int(data[at]))
        for at in range(max(start + most, stop - most), stop):
            total += weight[indices[at]] * np.uint64(int(data[at]))
        mark[row] = (total & ~np.uint64(1)) | np.uint64(stop - start >= fewest)


fingerprints_into = compiled(_fingerprints)
"""Sum the first and the last `most` values of each row, weighted by gene, and the number of its values, modulo 2^64.

The last bit tells whether these are `fewest` or more.
"""
