"""The floor: read every block of a CSR .h5ad file and add up the values, nothing else.

python floor.py FILE            # with the package's own reader
python floor.py FILE --h5py     # as h5py reads it
"""

import sys
from collections.abc import Iterator

import h5py
import numpy as np

from unbatch.io.source import open_counts

_VALUES = 8_000_000
"""Values of a block, as many as the package reads at once."""


def _by_package(path: str) -> Iterator[np.ndarray]:
    for block in open_counts(path).blocks():
        yield block.counts.data


def _by_h5py(path: str) -> Iterator[np.ndarray]:
    with h5py.File(path) as file:
        data, indices, _ = file["X/data"], file["X/indices"], file["X/indptr"][:]
        for first in range(0, data.shape[0], _VALUES):
            block = slice(first, first + _VALUES)
            yield data[block]
            indices[block]  # read as any use of the values would


if __name__ == "__main__":
    blocks = _by_h5py if "--h5py" in sys.argv[2:] else _by_package
    print(f"{sum(float(np.sum(values, dtype=np.float64)) for values in blocks(sys.argv[1])):.0f}")
