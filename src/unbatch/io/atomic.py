"""Outputs appear whole or not at all: written beside their place, then moved into it."""

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from unbatch._check import InputError
from unbatch._interruption import asked
from unbatch.io.failures import cannot_write
from unbatch.io.places import ZARR_MARKERS
from unbatch.io.scratch import OLD, UNFINISHED, Claim, claimed

_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


@contextmanager
def replacing(path: Path | str, *, inputs: Sequence[Path | str] = (), folder: bool = False) -> Iterator[Path]:
    """Give a temporary place beside `path` to write to; it takes the place of `path` when the block ends well.

    If anything is raised, also an interruption, the temporary is removed and what was at `path` is as before. If the
    process is killed, what was at `path` is as before too, and whoever writes to that folder next removes the
    temporary (see `unbatch.io.scratch`). Until the end only its owner may read the temporary; then it has the
    permissions of what it replaces, or the usual ones of a new file. It is on the disk before it takes the place. A
    file, and on Linux and macOS a folder too, is replaced in one step. Where the file system cannot swap folders (NFS),
    the old one is set aside first, and a process that is killed in that moment leaves it to the next one to put it
    back. A link is followed.

    Parameters
    ----------
    path
        Where the output belongs.
    inputs
        What is still read while the output is written.
    folder
        Whether the output is a folder (zarr).

    Raises
    ------
    InputError
        As `check_place` does, and if the place cannot be written to or the disk is full.
    """
    target = check_place(path, inputs=inputs, folder=folder)
    try:
        with claimed(target.parent, target=target.name) as claim:
            temporary = claim.path(UNFINISHED)
            mode = _create(temporary, folder=folder)
            if target.exists():
                mode = target.stat().st_mode & 0o777
            yield temporary
            _sync(temporary)
            temporary.chmod(mode)
            if asked.is_set():  # and a library has swallowed the interruption
                raise KeyboardInterrupt
            _move(temporary, target, claim)
            _sync_one(target.parent)
    except (OSError, RuntimeError) as error:
        reason = cannot_write(error)
        if reason is None:
            raise
        raise InputError(f"{path} could not be written: {reason}") from error


def check_place(path: Path | str, *, inputs: Sequence[Path | str] = (), folder: bool = False) -> Path:
    """Check that an output may be written to a place, and give it with all links followed.

    Parameters
    ----------
    path, inputs, folder
        As in `replacing`.

    Raises
    ------
    InputError
        If the output is one of the inputs, under whatever name, or lies in or around one that is a store; its folder is
        missing; it is a folder where a file belongs or the other way round; or a folder that is no zarr store would be
        replaced.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    _check_target(Path(path), target, inputs, folder=folder)
    return target


def _check_target(path: Path, target: Path, inputs: Sequence[Path | str], *, folder: bool) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {target.parent}, make it first")
    for given in inputs:
        source = Path(os.path.realpath(Path(given).expanduser()))
        if not source.exists():
            continue
        if target.exists() and (target.samefile(source) or target in source.parents):
            raise InputError(f"{path} is the input {given}: give the output another name, inputs are never overwritten")
        if _is_zarr(source) and source in target.parents:
            raise InputError(f"{path} lies in the input {given}: give another folder, inputs are never changed")
    if not target.exists():
        return
    if folder and not target.is_dir():
        raise InputError(f"{path} is a file and a folder is to be written: remove it or give another name")
    if folder and any(target.iterdir()) and not _is_zarr(target):
        raise InputError(f"{path} is a folder but no zarr store: it is not replaced, give another name")
    if not folder and not target.is_file():
        raise InputError(f"{path} is not a regular file and would be replaced by one: give another name")


def _is_zarr(path: Path) -> bool:
    return any((path / marker).exists() for marker in ZARR_MARKERS)


def _create(temporary: Path, *, folder: bool) -> int:
    """Create the temporary for its owner alone, and give the permissions that a new file or folder usually has."""
    if folder:
        temporary.mkdir()
        mode = temporary.stat().st_mode & 0o777
        temporary.chmod(_PRIVATE_FOLDER)
        return mode
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    mode = os.fstat(descriptor).st_mode & 0o777
    os.close(descriptor)
    temporary.chmod(_PRIVATE_FILE)
    return mode


def _sync(path: Path) -> None:
    """Have the disk hold what was written, or a crash could leave an empty file under the final name."""
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        _sync_one(one)


def _sync_one(path: Path) -> None:
    is_folder = path.is_dir()
    if is_folder and sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # some file systems know no such thing for folders
        with suppress(OSError) if is_folder else nullcontext():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(temporary: Path, target: Path, claim: Claim) -> None:
    if not target.is_dir():
        temporary.replace(target)
        return
    if _swap(temporary, target):
        return  # what was there is the temporary now, which goes with the claim
    aside = claim.path(OLD)
    target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise


def _swap(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where that is not possible."""
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if hasattr(library, "renameat2"):  # Linux
        return bool(library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0)
    if hasattr(library, "renamex_np"):  # macOS
        return bool(library.renamex_np(*names, _EXCHANGE) == 0)
    return False
