"""Turn a matrix that is stored by column or as text into rows, once, in a scratch folder and in bounded memory.

Entries are read once. They are sorted by bucket, that is by a range of rows which fits in memory, and spilled to a
file; then the buckets are loaded one after another, sorted by row and written as CSR.
"""

import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unbatch._check import InputError
from unbatch._types import CodeArray, IntArray
from unbatch.core.kernels.turning import place, sort_by_bucket
from unbatch.io.canonical import assemble
from unbatch.io.failures import cannot_write
from unbatch.io.growing import GrowingArray
from unbatch.io.hdf5_output import writing_hdf5
from unbatch.io.places import Hdf5File
from unbatch.io.readers import CsrReader, ReadRows, mean_row_bytes
from unbatch.io.scratch import UNFINISHED, claim

TURN_IN_MEMORY = 2**27
"""A matrix of at most so many bytes is turned in memory: 16 million values."""
_MEMORY = 2**28
"""Bytes that turning on disk may take, besides a few numbers per row."""
_ENTRY_BYTES = 8
"""Of an entry, its row and its column; its value comes on top."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Entries:
    """Some entries of a sparse matrix, in any order; `rows` and `columns` are counted from 0.

    Those of a row may be on their way over several pieces.
    """

    rows: IntArray | CodeArray
    columns: IntArray | CodeArray
    values: np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class TurnedReader:
    """A matrix that cannot be read by row: at the first use it is turned into a scratch file, which is read by row.

    The scratch file is for its owner alone. It is removed when the reader is no longer used, and when the program ends;
    if that is killed, by the next that works in the same folder (see `unbatch.io.scratch`).

    Attributes
    ----------
    entries
        Gives all entries, in pieces of about the given number.
    n_values
        Number of entries.
    where
        Name of the matrix, for messages.
    memory
        Bytes to take while turning. Larger means fewer, larger pieces.
    scratch
        Folder for the scratch file; None is that for temporary files (``TMPDIR``).
    """

    entries: Callable[[int], Iterator[Entries]]
    n_values: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    where: str
    memory: int = _MEMORY
    row_chunk: int = 1
    scratch: Path | None = None

    @property
    def row_bytes(self) -> float:
        """Bytes of a row in memory, on average."""
        return mean_row_bytes(self.n_values, self.dtype, self.shape[0])

    @cached_property
    def turned(self) -> CsrReader:
        """The same by row."""
        parent = Path(tempfile.gettempdir()) if self.scratch is None else self.scratch
        with _writing(parent):
            mine = claim(parent)
        remove = weakref.finalize(self, mine.release)
        try:
            self._check_room(parent)
            folder = mine.path(UNFINISHED)
            with _writing(parent):
                folder.mkdir(mode=0o700)
            _turn(self, folder)
        except BaseException:
            remove()
            raise
        return CsrReader(Hdf5File(folder / _TURNED), "X", self.shape, self.dtype, self.row_bytes)

    def _check_room(self, folder: Path) -> None:
        size = self.n_values * (2 * (_ENTRY_BYTES + self.dtype.itemsize) - _ENTRY_BYTES // 2)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise InputError(
                f"{self.where} is stored by column or as text, and turning it to rows takes up to {size / 1e9:.1f} GB "
                f"in {folder}, where {free / 1e9:.1f} GB are free: give a scratch folder with more room (--scratch, or "
                "TMPDIR), or store the counts by cell (CSR)"
            )
        _log.warning(
            "%s is stored by column or as text: it is turned to rows once, in a scratch file in %s (up to %.1f GB, "
            "removed at the end). Store counts by cell (CSR) to save this",
            self.where,
            folder,
            size / 1e9,
        )

    def cuts(self, n_bytes: int) -> IntArray:
        """Cut by the row pointers."""
        return self.turned.cuts(n_bytes)

    @contextmanager
    def open(self) -> Iterator[ReadRows]:
        """Give a function that reads rows."""
        with self.turned.open() as read:
            yield read  # and hold on to this reader, with which its files would go


_SPILL, _TURNED = "entries", "rows.h5"


def _turn(reader: TurnedReader, folder: Path) -> None:
    """Write the rows of a matrix to a folder."""
    n_rows = reader.shape[0]
    window = max(reader.memory // 4 // (_ENTRY_BYTES // 2 + reader.dtype.itemsize), 1)
    # the entries of a piece are in memory as they come, as they are sorted, and on their way to either
    piece = max(reader.memory // 4 // (2 * (_ENTRY_BYTES + reader.dtype.itemsize)), 1)
    bucket_rows = max(-(-n_rows // max(-(-reader.n_values // window), 1)), 1)
    with _create(folder / _SPILL) as file:
        spill = _Spill(file, reader, bucket_rows)
        for entries in reader.entries(piece):
            spill.add(entries)
        if int(spill.per_row.sum()) != reader.n_values:
            raise ValueError(f"it holds {spill.per_row.sum()} values where {reader.n_values} are announced")
        with _writing(folder), writing_hdf5(folder / _TURNED) as (rows, beneath):
            _write_rows(spill, rows.create_group("X"), window, check=beneath.check)
    (folder / _SPILL).unlink()


class _Spill:
    """Entries on disk, sorted by bucket within each piece."""

    def __init__(self, file: BinaryIO, reader: TurnedReader, bucket_rows: int) -> None:
        self.shape, self.dtype, self.bucket_rows = reader.shape, reader.dtype, bucket_rows
        self.n_buckets = -(-reader.shape[0] // bucket_rows)
        self.per_row = np.zeros(reader.shape[0], dtype=np.int64)
        self._file = file
        self._pieces: list[tuple[int, IntArray]] = []  # where it begins in the file, and each bucket in it

    def add(self, entries: Entries) -> None:
        """Sort a piece by bucket and write it.

        Raises
        ------
        ValueError
            If an entry lies outside the matrix.
        """
        number = entries.rows.size
        for positions, length in ((entries.rows, self.shape[0]), (entries.columns, self.shape[1])):
            if number and not 0 <= int(positions.min()) <= int(positions.max()) < length:
                raise ValueError("indices reach out of the matrix")
        starts = np.zeros(self.n_buckets + 1, dtype=np.int64)
        rows, columns = np.empty(number, dtype=np.int32), np.empty(number, dtype=np.int32)
        values = np.empty(number, dtype=self.dtype)
        unsorted = (entries.rows, entries.columns, entries.values)
        sort_by_bucket(*unsorted, self.bucket_rows, self.per_row, starts, rows, columns, values)
        self._pieces.append((self._file.tell(), starts))
        with _writing(Path(self._file.name).parent):
            for array in (rows, columns, values):
                self._file.write(array.data)

    def load(self, bucket: int) -> Iterator[tuple[CodeArray, CodeArray, np.ndarray[Any, Any]]]:
        """Give the entries of a bucket piece by piece: rows, counted from the first of the bucket, columns, values."""
        self._file.flush()
        for offset, starts in self._pieces:
            first, last, number = int(starts[bucket]), int(starts[bucket + 1]), int(starts[-1])
            if first < last:
                at = (offset + 4 * first, offset + 4 * (number + first), offset + 8 * number)
                rows = self._read(at[0], last - first, np.dtype(np.int32))
                columns = self._read(at[1], last - first, np.dtype(np.int32))
                yield rows, columns, self._read(at[2] + self.dtype.itemsize * first, last - first, self.dtype)

    def _read(self, offset: int, number: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        return np.fromfile(self._file.name, dtype=dtype, count=number, offset=offset)


def _write_rows(
    spill: _Spill,
    group: Any,  # noqa: ANN401
    window: int,
    *,
    check: Callable[[], None],
) -> None:
    kinds = {"data": spill.dtype, "indices": np.dtype(np.int32), "indptr": np.dtype(np.int64)}
    arrays = {name: GrowingArray(group, name, dtype, compression=None) for name, dtype in kinds.items()}
    arrays["indptr"].append(np.zeros(1, dtype=np.int64))
    written = 0
    for bucket in range(spill.n_buckets):
        begin = bucket * spill.bucket_rows
        counts = spill.per_row[begin : begin + spill.bucket_rows]
        for first, last in _windows(counts, window):
            pointers = np.concatenate([[0], np.cumsum(counts[first:last])])
            columns, values = np.empty(pointers[-1], dtype=np.int32), np.empty(pointers[-1], dtype=spill.dtype)
            ends = pointers[:-1].copy()
            for entries in spill.load(bucket):
                place(*entries, first, ends, columns, values)
            rows = assemble(values, columns, pointers, dtype=spill.dtype, n_genes=spill.shape[1])
            arrays["data"].append(rows.data)
            arrays["indices"].append(rows.indices)
            arrays["indptr"].append(rows.indptr[1:].astype(np.int64) + written)
            written += int(rows.nnz)
            check()
    for array in arrays.values():
        array.flush()


def _windows(counts: IntArray, largest: int) -> Iterator[tuple[int, int]]:
    """Cut rows into ranges of at most so many entries, and of one row at least."""
    ends = np.cumsum(counts)
    first, before = 0, 0
    while first < counts.size:
        last = max(int(np.searchsorted(ends, before + largest, side="right")), first + 1)
        yield first, last
        first, before = last, int(ends[last - 1])


def _create(path: Path) -> BinaryIO:
    return open(path, "xb", opener=_open_for_owner)


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell what went wrong with the scratch file from a damaged input."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = cannot_write(error)
        if reason is None:
            raise
        raise InputError(
            f"the scratch file in {folder} could not be written ({reason}): give another scratch folder "
            "(--scratch, or TMPDIR), or store the counts by cell (CSR)"
        ) from error
