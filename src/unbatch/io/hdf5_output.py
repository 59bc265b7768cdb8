"""An HDF5 file that is written, also on a disk that runs full: HDF5 itself crashes there when the file is closed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import h5py


@contextmanager
def writing_hdf5(path: Path) -> Iterator[tuple[h5py.File, "SafeFile"]]:
    """Open a new HDF5 file, and close it in good order whatever happens to it.

    Gives the file, and what tells whether all went well so far.

    Raises
    ------
    OSError
        At the end, if not all could be written.
    """
    with SafeFile(path) as beneath:
        with h5py.File(beneath, "w") as file:
            yield file, beneath
        beneath.check()


class SafeFile:
    """A file as h5py wants one, whose writes never fail: the first failure is kept, to be raised by `check`.

    After a failure nothing more goes to the disk, but what was written is still read back, from memory.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
        self._at = self._end = 0
        self._lost: list[tuple[int, bytes]] = []
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def check(self) -> None:
        """Raise the first failure.

        Raises
        ------
        OSError
            What the system said.
        """
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, from the beginning, from here or from the end."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """Tell the place."""
        return self._at

    def write(self, content: Any) -> int:  # noqa: ANN401 - any buffer
        """Write, and claim to have done so."""
        view = memoryview(content).cast("B")
        done = 0
        try:
            while self._error is None and done < view.nbytes:
                os.lseek(self._descriptor, self._at + done, os.SEEK_SET)
                done += os.write(self._descriptor, view[done:])
        except OSError as error:
            self._error = error
        if done < view.nbytes:
            self._lost.append((self._at + done, bytes(view[done:])))
        self._at += view.nbytes
        self._end = max(self._end, self._at)
        return view.nbytes

    def readinto(self, content: Any) -> int:  # noqa: ANN401 - any buffer
        """Read what was written; zeros where nothing was."""
        view = memoryview(content).cast("B")
        os.lseek(self._descriptor, self._at, os.SEEK_SET)
        found, wanted = bytearray(), view.nbytes
        while len(found) < wanted and (piece := os.read(self._descriptor, wanted - len(found))):
            found += piece
        found += bytes(wanted - len(found))
        for offset, lost in self._lost:
            first, last = max(offset, self._at), min(offset + len(lost), self._at + wanted)
            if first < last:
                found[first - self._at : last - self._at] = lost[first - offset : last - offset]
        view[:] = found
        self._at += wanted
        return wanted

    def read(self, size: int) -> bytes:
        """Read so many bytes, as `readinto` does."""
        content = bytearray(size)
        self.readinto(content)
        return bytes(content)

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        self._end = self._at if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._descriptor, self._end)
            except OSError as error:
                self._error = error
        return self._end

    def flush(self) -> None:
        """Do nothing: nothing is held back."""
