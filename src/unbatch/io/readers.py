"""Readers: rows [start, stop) of one stored matrix, from wherever it is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import h5py
import numpy as np
from scipy import sparse

from unbatch._types import Counts
from unbatch.io.canonical import as_counts

ReadRows: TypeAlias = Callable[[int, int], Counts]
"""(start, stop) -> counts of those cells."""


class Place(Protocol):
    """Where a stored matrix is.

    It is opened for one walk over the rows and closed again, so that no file stays locked.
    """

    def open(self) -> AbstractContextManager[Any]:
        """Give the root group."""
        ...


@dataclass(frozen=True)
class Hdf5File:
    """An HDF5 file."""

    path: Path

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give the root group."""
        with h5py.File(self.path, "r") as file:
            yield file


@dataclass(frozen=True)
class ZarrFolder:
    """A zarr folder."""

    path: Path

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give the root group."""
        import zarr

        yield zarr.open_group(self.path, mode="r")


@dataclass(frozen=True)
class OpenElement:
    """A matrix that somebody else, such as a backed AnnData, holds open; its key is the empty string."""

    element: Any

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give something that has the element under the key ""."""
        yield {"": self.element}


class RowReader(Protocol):
    """One matrix, cells x genes.

    Attributes
    ----------
    shape
        (n_cells, n_genes).
    row_bytes
        Bytes that a row takes in memory while it is read, on average.
    row_chunk
        How many rows are stored together, 1 where rows are not what is chunked.
    """

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def row_bytes(self) -> float: ...  # noqa: D102
    @property
    def row_chunk(self) -> int: ...  # noqa: D102

    def open(self) -> AbstractContextManager[ReadRows]:
        """Give a function that reads rows, for as long as the context lasts."""
        ...


@dataclass(frozen=True)
class CsrReader:
    """CSR on disk: groups with ``data``, ``indices`` and ``indptr``, of which only the rows asked for are read."""

    place: Place
    key: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    row_bytes: float
    row_chunk: int = 1

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.place.open() as root:
            group = root[self.key]
            data, indices, indptr = group["data"], group["indices"], group["indptr"]

            def read(start: int, stop: int) -> Counts:
                pointers = np.asarray(indptr[start : stop + 1], dtype=np.int64)
                first, last = int(pointers[0]), int(pointers[-1])
                # scipy computes with neither float16 nor swapped bytes, and small integers could overflow in a sum
                values = np.asarray(data[first:last], dtype=self.dtype)
                stored = (values, indices[first:last], pointers - first)
                return as_counts(sparse.csr_array(stored, shape=(stop - start, self.shape[1])), self.dtype)

            yield read


@dataclass(frozen=True)
class DenseReader:
    """A dense matrix on disk, of which only the rows asked for are read."""

    place: Place
    key: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    row_bytes: float
    row_chunk: int = 1

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.place.open() as root:
            stored = root[self.key]
            yield lambda start, stop: as_counts(stored[start:stop], self.dtype)


@dataclass(frozen=True)
class WholeReader:
    """A matrix that cannot be read by row (CSC, text): it is loaded at the first use and kept as CSR.

    Memory: the sparse matrix, and while it is turned the same again.
    """

    load: Callable[[], Any]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    row_chunk: int = 1

    @cached_property
    def _counts(self) -> Counts:
        return as_counts(sparse.csr_array(self.load()), self.dtype)

    @property
    def row_bytes(self) -> float:
        """Bytes of a row in memory, on average."""
        counts = self._counts
        value_bytes = int(counts.data.itemsize) + int(counts.indices.itemsize)
        return float(counts.nnz * value_bytes / max(self.shape[0], 1))

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        counts = self._counts
        yield lambda start, stop: counts[start:stop]


@dataclass(frozen=True)
class SliceReader:
    """Anything whose rows come from a function: matrices in memory, views of an AnnData."""

    slice_rows: Callable[[int, int], Any]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    row_bytes: float
    row_chunk: int = 1

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        yield lambda start, stop: as_counts(self.slice_rows(start, stop), self.dtype)


@dataclass(frozen=True)
class GeneSubset:
    """Some of the genes of another reader."""

    reader: RowReader
    genes: np.ndarray[tuple[int], np.dtype[np.int64]]

    @property
    def shape(self) -> tuple[int, int]:
        """(n_cells, n_genes kept)."""
        return self.reader.shape[0], int(self.genes.size)

    @property
    def row_bytes(self) -> float:
        """Bytes of a row as read, before genes are dropped."""
        return self.reader.row_bytes

    @property
    def row_chunk(self) -> int:
        """As in the reader underneath."""
        return self.reader.row_chunk

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.reader.open() as read:

            def read_kept(start: int, stop: int) -> Counts:
                kept = read(start, stop)[:, self.genes]
                kept.sort_indices()
                return kept

            yield read_kept
