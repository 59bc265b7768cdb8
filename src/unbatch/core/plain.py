"""Arrays as compiled leaves take them: of one layout, and with one row where all genes have the same."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unbatch._types import FloatArray, IntArray


def plain(values: NDArray[np.floating[Any]]) -> FloatArray:
    """Give an array in C order that may be written to, itself if it is so.

    A leaf is compiled anew, for a second or two, for each layout in which it gets an array, and for each array that
    may not be written to.
    """
    return np.require(values, np.float64, ["C", "W"])


def of_genes(values: FloatArray, genes: slice | IntArray) -> FloatArray:
    """Take some genes of an array that may have one row for all."""
    return values if len(values) == 1 else values[genes]
