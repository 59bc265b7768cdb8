"""Arrays on disk that grow: values are gathered to whole chunks, so that each chunk is compressed once."""

from concurrent.futures import Executor
from typing import Any, Literal, TypeAlias

import deflate
import h5py
import numpy as np

Compression: TypeAlias = Literal["gzip", "lzf", "lz4", "zstd"]
COMPRESSIONS: dict[str, tuple[Compression, ...]] = {".h5ad": ("gzip", "lzf"), ".zarr": ("lz4", "zstd", "gzip")}
"""What can be chosen for each kind of output; the first is what is taken unless something is chosen.

HDF5 always comes with gzip, and h5py brings lzf. For its format 2, zarr itself takes lz4.
"""
_HDF5_CHUNK = 2**17
"""Values per chunk: half a megabyte of float32, which fits the chunk cache of HDF5."""
_ZARR_CHUNK = 2**20
"""Values per chunk: each is a file, so larger."""
_LEVEL = 1
GZIP = {"compression": "gzip", "compression_opts": _LEVEL}
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
    compression
        One of `COMPRESSIONS`, after shuffle (but for gzip in zarr). None does not compress.
    helpers
        Threads that compress, several chunks at once. None leaves it to HDF5, which does one after another. zarr has
        threads of its own.
    """

    def __init__(
        self,
        group: Any,  # noqa: ANN401
        name: str,
        dtype: np.dtype[Any],
        *,
        compression: Compression | None,
        helpers: Executor | None = None,
    ) -> None:
        self._helpers = helpers if isinstance(group, h5py.Group) and compression == "gzip" else None
        if isinstance(group, h5py.Group):
            self._chunk = _HDF5_CHUNK
            options = GZIP if compression == "gzip" else {"compression": compression}
            self._array: Any = group.create_dataset(
                name,
                shape=(0,),
                maxshape=(None,),
                chunks=(self._chunk,),
                dtype=dtype,
                shuffle=compression is not None,
                **options,
            )
        else:
            self._chunk = _ZARR_CHUNK
            self._array = group.create_array(
                name, shape=(0,), chunks=(self._chunk,), dtype=dtype, compressors=_zarr_compressor(compression)
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
        if self._helpers is None:
            self._array[stored:] = values[:number]
        else:
            self._write_packed(values[:number].astype(self._array.dtype, copy=False), stored)
        self._waiting = [values[number:].copy()]
        self._n_waiting = len(values) - number

    def _write_packed(self, values: Any, stored: int) -> None:  # noqa: ANN401
        """Write chunks as the filters of HDF5 would have made them."""
        assert self._helpers is not None
        if values.size % self._chunk:  # the last chunk is stored as long as all others
            values = np.append(values, np.zeros(-values.size % self._chunk, dtype=values.dtype))
        packed = self._helpers.map(_pack, values.reshape(-1, self._chunk))
        for place, chunk in enumerate(packed):
            self._array.id.write_direct_chunk((stored + place * self._chunk,), chunk)


def _pack(values: np.ndarray[Any, Any]) -> bytearray:
    """Shuffle a chunk (all first bytes, then all second bytes, ...) and compress it as HDF5 does."""
    shuffled = np.ascontiguousarray(values.view(np.uint8).reshape(-1, values.itemsize).T)
    return deflate.zlib_compress(shuffled.data, _LEVEL)


def _zarr_compressor(compression: Compression | None) -> Any:  # noqa: ANN401
    from numcodecs import Blosc, GZip  # type: ignore[import-untyped]

    made = {"lz4": Blosc("lz4", 5, Blosc.SHUFFLE), "zstd": Blosc("zstd", _LEVEL, Blosc.SHUFFLE), "gzip": GZip(_LEVEL)}
    return None if compression is None else made[compression]
