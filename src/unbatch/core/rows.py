"""Some rows of a CSR matrix, without a copy."""

from typing import Any

from numpy.typing import NDArray

from unbatch._types import Counts


def rows_of(counts: Counts, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give views of the data, indices and indptr of some rows; data and indices begin at position ``indptr[0]``."""
    low, high = int(counts.indptr[start]), int(counts.indptr[stop])
    return counts.data[low:high], counts.indices[low:high], counts.indptr[start : stop + 1]
