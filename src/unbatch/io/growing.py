"""Arrays on disk that grow: values are gathered to whole chunks, so that each chunk is compressed once."""

from typing import Any

import h5py
import numpy as np

_HDF5_CHUNK = 2**17
"""Values per chunk: half a megabyte of float32, which fits the chunk cache of HDF5."""
_ZARR_CHUNK = 2**20
"""Values per chunk: each is a file, so larger."""
GZIP = {"compression": "gzip", "compression_opts": 1}
"""Every reader of HDF5 has gzip and shuffle.

On counts, gzip at level 1 after shuffle is a third smaller than gzip at level 4 without it, and written twice as fast
(measured in docs/decisions/0005-compression-of-outputs.md).
"""


class GrowingArray:
    """A one-dimensional array in an HDF5 or zarr group, written from front to end.

    Parameters
    ----------
    group
        Group of h5py or zarr.
    name
        Name of the array in it.
    dtype
        Type of the stored values.
    compress
        Whether to compress: gzip after shuffle in HDF5, zarr's own default in zarr.
    """

    def __init__(self, group: Any, name: str, dtype: np.dtype[Any], *, compress: bool) -> None:  # noqa: ANN401
        if isinstance(group, h5py.Group):
            self._chunk = _HDF5_CHUNK
            options = {**GZIP, "shuffle": True} if compress else {}
            self._array: Any = group.create_dataset(
                name, shape=(0,), maxshape=(None,), chunks=(self._chunk,), dtype=dtype, **options
            )
        else:
            self._chunk = _ZARR_CHUNK
            compressors = "auto" if compress else None
            self._array = group.create_array(
                name, shape=(0,), chunks=(self._chunk,), dtype=dtype, compressors=compressors
            )
        self._waiting: list[Any] = []
        self._n_waiting = 0

    def append(self, values: Any) -> None:  # noqa: ANN401
        """Add values; whole chunks are written, the rest waits for more. The values must not change afterwards."""
        self._waiting.append(values)
        self._n_waiting += len(values)
        if self._n_waiting >= self._chunk:
            self._write(self._n_waiting - self._n_waiting % self._chunk)

    def flush(self) -> None:
        """Write what waits; nothing can be appended after it without a chunk being written twice."""
        if self._n_waiting:
            self._write(self._n_waiting)

    def _write(self, number: int) -> None:
        values = np.concatenate(self._waiting)
        stored = int(self._array.shape[0])
        self._array.resize((stored + number,))
        self._array[stored:] = values[:number]
        self._waiting = [values[number:].copy()]
        self._n_waiting = len(values) - number
