"""Pieces of a stored one-dimensional array, read from front to back without unpacking a chunk twice."""

from typing import Any

import h5py
import numpy as np

from unbatch.io.gzip_chunks import GzipChunks

_LONGEST_SHARD = 2**21
"""Values; a shard of at most this many is read as one, of a longer one only the chunks that are needed."""
_PIECE = 2**21
"""Values that are moved at once where they must be converted or copied: 8 MB of float32."""


def unit(array: Any) -> int:  # noqa: ANN401
    """Give how many values are stored together and should be read together, 1 where any number can be read."""
    for lengths in (getattr(array, "shards", None), array.chunks):
        if lengths and (lengths[0] <= _LONGEST_SHARD or lengths is array.chunks):
            return int(lengths[0])
    return 1


class Spans:
    """Reads an array of h5py or zarr piece by piece, in a given type.

    A piece that ends within a chunk keeps the rest of that chunk for the next one. Besides the piece itself, a chunk is
    in memory, and 8 MB where values are converted.

    Parameters
    ----------
    array
        One-dimensional, of numbers.
    dtype
        Type of what is read.
    """

    def __init__(self, array: Any, dtype: Any) -> None:  # noqa: ANN401
        self._array = array
        self._dtype = np.dtype(dtype)
        self._length = int(array.shape[0])
        self._unit = unit(array)
        self._packed = GzipChunks.of(array)
        self._kept: np.ndarray[Any, Any] = np.empty(0, dtype=self._dtype)
        self._kept_from = 0

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Give the values from `start` to before `stop`.

        Raises
        ------
        ValueError
            If there are none at these positions, or one does not fit the type.
        """
        if not 0 <= start <= stop <= self._length:
            raise ValueError(f"values {start} to {stop} are asked for, there are {self._length}")
        out = np.empty(stop - start, dtype=self._dtype)
        done = self._reuse(out, start, start)
        whole = stop - stop % self._unit if stop < self._length else stop
        if done < whole:
            self._fill(out[done - start : whole - start], done)
            done = whole
        if done < stop:
            self._kept = np.empty(min(self._unit, self._length - whole), dtype=self._dtype)
            self._kept_from = whole
            self._fill(self._kept, whole)
            self._reuse(out, start, done)
        return out

    def _reuse(self, out: np.ndarray[Any, Any], start: int, done: int) -> int:
        """Copy what is kept from position `done` on, and give the position up to which all is there."""
        first = done - self._kept_from
        if not 0 <= first < self._kept.size:
            return done
        number = min(self._kept.size - first, start + out.size - done)
        out[done - start : done - start + number] = self._kept[first : first + number]
        return done + number

    def _fill(self, out: np.ndarray[Any, Any], start: int) -> None:
        """Read as many values as `out` takes."""
        if isinstance(self._array, h5py.Dataset) and self._array.dtype == self._dtype:
            if out.size:
                self._read_into(out, start)
            return
        step = max(_PIECE - _PIECE % self._unit, self._unit)
        first = 0
        while first < out.size:
            # up to the end of a chunk, so that the next piece begins with the next
            number = min(step - (start + first) % self._unit, out.size - first)
            values = self._stored(start + first, number)
            if self._dtype.kind == "i":
                _check_fits(values, self._dtype)
            out[first : first + number] = values
            first += number

    def _read_into(self, out: np.ndarray[Any, Any], start: int) -> None:
        if self._packed is not None:
            self._packed.read(out, start)
        else:
            self._array.read_direct(out, np.s_[start : start + out.size])

    def _stored(self, start: int, number: int) -> np.ndarray[Any, Any]:
        """Give values in the type that they are stored in."""
        if self._packed is None:
            return np.asarray(self._array[start : start + number])
        values = np.empty(number, dtype=self._array.dtype)
        self._packed.read(values, start)
        return values


def _check_fits(values: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> None:
    limits = np.iinfo(dtype)
    if values.dtype.kind not in "iu" or (
        values.size and not limits.min <= int(values.min()) <= int(values.max()) <= limits.max
    ):
        raise ValueError(f"indices are not whole numbers of at most {limits.max}")
