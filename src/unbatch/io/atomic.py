"""Outputs appear whole or not at all: written beside their place, then moved into it."""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from unbatch._check import InputError

_ZARR_MARKERS = ("zarr.json", ".zgroup", ".zmetadata")
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


@contextmanager
def replacing(path: Path | str, *, inputs: Sequence[Path | str] = (), folder: bool = False) -> Iterator[Path]:
    """Give a temporary place beside `path` to write to; it takes the place of `path` when the block ends well.

    If anything is raised, also an interruption, the temporary is removed and what was at `path` is as before. Until
    then only its owner may read the temporary; in the end it has the permissions of what it replaces, or the usual
    ones of a new file. A file is replaced in one step. A folder is replaced in two (the old one is set aside, then
    removed), so that only a crash of the machine between them leaves the old one under its temporary name. A link is
    followed.

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
        If the output is one of the inputs, under whatever name, its folder is missing or may not be written to, it is a
        folder where a file belongs or the other way round, a folder that is no zarr store would be replaced, or the
        disk is full.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    _check_target(Path(path), target, inputs, folder=folder)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        mode = _create(temporary, folder=folder)
        if target.exists():
            mode = target.stat().st_mode & 0o777
        yield temporary
        _sync(temporary)
        temporary.chmod(mode)
        _move(temporary, target)
    except OSError as error:
        _remove(temporary)
        raise InputError(f"{path} could not be written: {error.strerror or error}") from error
    except BaseException:
        _remove(temporary)
        raise


def _check_target(path: Path, target: Path, inputs: Sequence[Path | str], *, folder: bool) -> None:
    if not target.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {target.parent}, make it first")
    for given in inputs:
        source = Path(given)
        if not (target.exists() and source.exists()):
            continue
        if target.samefile(source) or target in Path(os.path.realpath(source)).parents:
            raise InputError(
                f"{path} is the input {source}: give the output another name, inputs are never overwritten"
            )
    if not target.exists():
        return
    if folder and not target.is_dir():
        raise InputError(f"{path} is a file and a folder is to be written: remove it or give another name")
    if folder and any(target.iterdir()) and not any((target / marker).exists() for marker in _ZARR_MARKERS):
        raise InputError(f"{path} is a folder but no zarr store: it is not replaced, give another name")
    if not folder and not target.is_file():
        raise InputError(f"{path} is not a regular file and would be replaced by one: give another name")


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
    files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        temporary.replace(target)
        return
    aside = temporary.with_suffix(".old")
    target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
