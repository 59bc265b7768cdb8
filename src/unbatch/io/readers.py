"""Readers: rows [start, stop) of one stored matrix, from wherever it is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np

from unbatch._types import Counts, IntArray
from unbatch.io.canonical import as_counts, assemble
from unbatch.io.places import Place
from unbatch.io.spans import Spans

_INDEX_BYTES = 4
_POINTERS = 2**20
"""So many row pointers are looked at at once."""

ReadRows: TypeAlias = Callable[[int, int], Counts]
"""(start, stop) -> counts of those cells."""


class RowReader(Protocol):
    """One matrix, cells x genes.

    Attributes
    ----------
    shape
        (n_cells, n_genes).
    row_bytes
        Bytes that a row takes in memory, on average.
    row_chunk
        How many rows are stored together, 1 where rows are not what is chunked.
    """

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def row_bytes(self) -> float: ...  # noqa: D102
    @property
    def row_chunk(self) -> int: ...  # noqa: D102

    def cuts(self, n_bytes: int) -> IntArray:
        """Give where to cut the rows into blocks of about `n_bytes` in memory, from 0 to n_cells."""
        ...

    def open(self) -> AbstractContextManager[ReadRows]:
        """Give a function that reads rows, for as long as the context lasts."""
        ...


def mean_row_bytes(n_values: int, dtype: np.dtype[Any], n_cells: int) -> float:
    """Give the bytes of a row of a sparse matrix in memory, on average."""
    return n_values * (dtype.itemsize + _INDEX_BYTES) / max(n_cells, 1)


def even_cuts(n_cells: int, row_bytes: float, n_bytes: int, *units: int) -> IntArray:
    """Cut rows of one size into blocks of at most `n_bytes`, and of whole chunks if those are smaller.

    Parameters
    ----------
    n_cells
        Number of rows.
    row_bytes
        Bytes of a row.
    n_bytes
        Bytes of a block.
    units
        Numbers of rows that are stored together, the most desirable first: blocks are multiples of the first that is
        not larger than a block.
    """
    rows = int(min(max(n_bytes / max(row_bytes, 1.0), 1), max(n_cells, 1)))
    fitting = next((unit for unit in units if 0 < unit <= rows), 1)
    step = rows - rows % fitting
    return np.append(np.arange(0, n_cells, step), n_cells)


@dataclass(frozen=True)
class CsrReader:
    """CSR on disk: groups with ``data``, ``indices`` and ``indptr``, of which only the rows asked for are read."""

    place: Place
    key: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    row_bytes: float
    row_chunk: int = 1

    def cuts(self, n_bytes: int) -> IntArray:
        """Cut by the row pointers, as rows may differ much in size."""
        largest = max(n_bytes // (self.dtype.itemsize + _INDEX_BYTES), 1)
        cuts, before = [0], 0  # where to cut, and the row pointer there
        with self.place.open() as root:
            indptr = Spans(root[self.key]["indptr"], np.int64)
            for start in range(0, self.shape[0], _POINTERS):
                pointers = indptr.read(start, min(start + _POINTERS, self.shape[0]) + 1)
                if (pointers[1:] < pointers[:-1]).any():
                    raise ValueError("indptr, the row pointers, fall")
                while pointers[-1] - before > largest:
                    # after the last row that fits, and at least one row further
                    fitting = start + int(np.searchsorted(pointers, before + largest, side="right")) - 1
                    cuts.append(max(fitting, cuts[-1] + 1))
                    before = int(pointers[cuts[-1] - start])
        return np.array(cuts if cuts[-1] == self.shape[0] else [*cuts, self.shape[0]], dtype=np.int64)

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.place.open() as root:
            group = root[self.key]
            # scipy computes with neither float16 nor swapped bytes, and small integers could overflow in a sum
            data, indptr = Spans(group["data"], self.dtype), Spans(group["indptr"], np.int64)
            indices = Spans(group["indices"], np.int32 if self.shape[1] < 2**31 else np.int64)

            def read(start: int, stop: int) -> Counts:
                pointers = indptr.read(start, stop + 1)
                first, last = int(pointers[0]), int(pointers[-1])
                stored = (data.read(first, last), indices.read(first, last), pointers - first)
                self.place.check()
                return assemble(*stored, dtype=self.dtype, n_genes=self.shape[1])

            yield read


@dataclass(frozen=True)
class DenseReader:
    """A dense matrix on disk, of which only the rows asked for are read; `shard` is of rows, as `row_chunk` is."""

    place: Place
    key: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    row_bytes: float
    row_chunk: int = 1
    shard: int = 1

    def cuts(self, n_bytes: int) -> IntArray:
        """Cut into whole shards, or whole chunks where shards are larger than a block."""
        return even_cuts(self.shape[0], self.row_bytes, n_bytes, self.shard, self.row_chunk)

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.place.open() as root:
            stored = root[self.key]

            def read(start: int, stop: int) -> Counts:
                rows = stored[start:stop]
                self.place.check()
                return as_counts(rows, self.dtype)

            yield read


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
        return as_counts(self.load(), self.dtype)

    @property
    def row_bytes(self) -> float:
        """Bytes of a row in memory, on average."""
        return mean_row_bytes(int(self._counts.nnz), self.dtype, self.shape[0])

    def cuts(self, n_bytes: int) -> IntArray:
        """Cut into blocks of as many rows."""
        return even_cuts(self.shape[0], self.row_bytes, n_bytes)

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

    def cuts(self, n_bytes: int) -> IntArray:
        """Cut into blocks of as many rows."""
        return even_cuts(self.shape[0], self.row_bytes, n_bytes)

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

    def cuts(self, n_bytes: int) -> IntArray:
        """As in the reader underneath."""
        return self.reader.cuts(n_bytes)

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.reader.open() as read:

            def read_kept(start: int, stop: int) -> Counts:
                counts = read(start, stop)
                kept = counts[:, self.genes]
                return assemble(kept.data, kept.indices, kept.indptr, dtype=counts.dtype, n_genes=self.genes.size)

            yield read_kept
