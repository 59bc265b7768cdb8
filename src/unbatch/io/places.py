"""Where a stored matrix is: a file or folder that is opened for each walk, and found to be still the same."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import h5py

from unbatch._check import InputError

Stamp: TypeAlias = tuple[tuple[int, int], ...]
"""Size and time of the last change of one or several files, by which they are known again."""

ZARR_MARKERS = ("zarr.json", ".zgroup", ".zmetadata")
"""A folder that holds one of these is a zarr store."""


class Place(Protocol):
    """Where a stored matrix is.

    It is opened for one walk over the rows and closed again, so that no file stays locked.
    """

    def open(self) -> AbstractContextManager[Any]:
        """Give the root group."""
        ...

    def check(self) -> None:
        """Raise InputError if what was just read may come from something else that has taken the place."""
        ...


@dataclass(frozen=True)
class Hdf5File:
    """An HDF5 file; with a `stamp`, it is refused if it is not the file that bore it."""

    path: Path
    stamp: Stamp | None = None

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give the root group, of this file even if another one takes its place meanwhile."""
        with h5py.File(self.path, "r") as file:
            descriptor = file.id.get_vfd_handle()
            _compare(self.path, self.stamp, (_of(os.fstat(descriptor)),))
            yield file
            _compare(self.path, self.stamp, (_of(os.fstat(descriptor)),))

    def check(self) -> None:
        """Do nothing: an open file stays the same."""


@dataclass(frozen=True)
class ZarrFolder:
    """A zarr folder; with a `stamp`, it is refused if it is not the folder that bore it."""

    path: Path
    stamp: Stamp | None = None

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give the root group. Its chunks are looked up by name one after another: `check` when some were read."""
        import zarr

        from unbatch.io.zarr_store import HarmlessStore

        yield zarr.open_group(HarmlessStore(self.path, read_only=True), mode="r")
        self.check()

    def check(self) -> None:
        """Notice that another folder has taken the place."""
        if self.stamp is not None:
            _compare(self.path, self.stamp, stamp_of(self.path))


@dataclass(frozen=True)
class OpenElement:
    """A matrix that somebody else, such as a backed AnnData, holds open; its key is the empty string."""

    element: Any

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Give something that has the element under the key ""."""
        yield {"": self.element}

    def check(self) -> None:
        """Do nothing: it is for its owner to keep it."""


@dataclass(frozen=True)
class TextFiles:
    """Files of text that belong together, each read as a whole; refused if one is not the file that bore its stamp."""

    paths: tuple[Path, ...]
    stamps: tuple[Stamp, ...]

    def check(self) -> None:
        """Notice that one of them was written to, or that another file has taken its place."""
        for path, stamp in zip(self.paths, self.stamps, strict=True):
            _compare(path, stamp, stamp_of(path))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Read within: they are looked at before and after, and if reading fails, as it may where they change."""
        self.check()
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()


def stamp_of(path: Path) -> Stamp:
    """Give what a file or zarr folder is known again by.

    Numbers of inodes are not part of it: some network file systems change them, and workers of a cluster compare, too.
    Nor is the time of the last change of status, which a backup by links or new rights change, and no count with them.
    """
    files = [path / marker for marker in ZARR_MARKERS] if path.is_dir() else [path]
    return tuple(_of(file.stat()) for file in files if file.exists())


def _of(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _compare(path: Path, before: Stamp | None, now: Stamp) -> None:
    if before is not None and before != now:
        raise InputError(
            f"{path} was changed or replaced while it was read, and its old and new parts do not belong together: "
            "start again when nothing writes to it"
        )
