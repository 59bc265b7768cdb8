"""Chunks of an HDF5 data set that gzip has packed: fetched as they are, and unpacked in threads by a faster library."""

from typing import Any, Self

import deflate
import h5py
import numpy as np

from unbatch.core.parallel import in_ranges

_CHUNKS = 4
"""Chunks unpacked in one go of a thread."""
_LARGEST = 2**24
"""Bytes; of larger chunks, each thread would take as much memory once more."""
_FILTERS = ((h5py.h5z.FILTER_DEFLATE,), (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE))


class GzipChunks:
    """Reads a one-dimensional data set chunk by chunk, past HDF5, which unpacks one after the other.

    Whatever is not as it should be, such as a chunk that was stored without packing or one that is damaged, is left to
    HDF5, which reads it or says what is wrong.

    Parameters
    ----------
    dataset
        One for which `of` does not give None.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._length: int = dataset.chunks[0]
        self._shuffled = dataset.id.get_create_plist().get_nfilters() == len(_FILTERS[1])

    @classmethod
    def of(cls, array: Any) -> Self | None:  # noqa: ANN401
        """Give a reader if the array is packed by gzip, with or without byte shuffle, and nothing else; None if not."""
        if not isinstance(array, h5py.Dataset) or array.chunks is None or len(array.chunks) != 1:
            return None
        if array.chunks[0] * array.dtype.itemsize > _LARGEST:
            return None
        properties = array.id.get_create_plist()
        filters = tuple(properties.get_filter(number)[0] for number in range(properties.get_nfilters()))
        return cls(array) if filters in _FILTERS and array.dtype.isnative else None

    def read(self, out: np.ndarray[Any, Any], start: int) -> None:
        """Fill `out`, of the type of the data set, with the values from position `start` on.

        Raises
        ------
        OSError
            If HDF5 cannot read a chunk.
        """
        stop = start + out.size
        first = start // self._length

        def some(begin: int, end: int) -> None:
            for number in range(first + begin, first + end):
                offset = number * self._length
                mine = slice(max(offset, start), min(offset + self._length, stop))
                here = out[mine.start - start : mine.stop - start]
                values = self._unpacked(offset)
                if values is None:
                    self._dataset.read_direct(here, np.s_[mine])
                else:
                    here[:] = values[mine.start - offset : mine.stop - offset]

        in_ranges(some, -(-stop // self._length) - first, step=_CHUNKS)

    def _unpacked(self, offset: int) -> np.ndarray[Any, Any] | None:
        """Give the values of the chunk that begins here; None if it is not an ordinary one."""
        dtype: np.dtype[Any] = self._dataset.dtype
        size = self._length * dtype.itemsize
        try:
            skipped, packed = self._dataset.id.read_direct_chunk((offset,))
            unpacked = b"" if skipped else deflate.zlib_decompress(packed, size)  # fails if there is more
        except (OSError, RuntimeError, deflate.DeflateError):
            return None
        if len(unpacked) != size:
            return None
        if not self._shuffled:
            return np.frombuffer(unpacked, dtype)
        planes = np.frombuffer(unpacked, np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).view(dtype).ravel()
