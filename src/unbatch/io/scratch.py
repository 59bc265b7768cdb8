"""Places for unfinished work that is found and removed by the next run, should this one be killed.

A claim is a token. Whatever is called ``.unbatch-TOKEN.*`` in a folder belongs to it, and ``.unbatch-TOKEN.lock`` is
locked for as long as its process lives, which the system unlocks however that process ends. Who opens a claim first
removes those of the folder that nobody holds any more.
"""

import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

UNFINISHED, OLD = "tmp", "old"
"""Kinds of what belongs to a claim: what is being made, and what it takes the place of."""

_START, _LOCK = ".unbatch-", ".lock"
_OWNER_ONLY = 0o600
_LONGEST_RECORD = 2**16
_ATTEMPTS, _PAUSE = 30, 0.01
_live: dict[str, "Claim"] = {}  # by token; what `abandon_all` removes when the process is stopped from outside


@dataclass(frozen=True, eq=False)
class Claim:
    """A token in a folder that no other process touches; see `claim`.

    Attributes
    ----------
    folder
        Where its files and folders lie.
    token
        Random part of their names.
    target
        Name of what they are to replace in `folder`; empty if nothing.
    """

    folder: Path
    token: str
    target: str
    _descriptor: int
    _process: int = field(default_factory=os.getpid)

    def path(self, kind: str) -> Path:
        """Give the path of a file or folder of this claim."""
        return self.folder / f"{_START}{self.token}.{kind}"

    def release(self) -> None:
        """Remove all that belongs to the claim, and give it up; a copy of the process cannot do so for it.

        A thread may still write to it, if the one that gives it up was interrupted: so it is tried again for a while.
        What cannot be removed stays claimed, and `abandon_all` or the next run of another process removes it.
        """
        if self.token not in _live or os.getpid() != self._process:
            return
        for _ in range(_ATTEMPTS):
            if _clear(self.folder, self.token, self.target):
                if _live.pop(self.token, None) is not None:
                    os.close(self._descriptor)
                return
            time.sleep(_PAUSE)


def claim(folder: Path, *, target: str = "") -> Claim:
    """Claim a place in a folder, after the leftovers of dead processes were removed from it.

    Parameters
    ----------
    folder
        Where to work.
    target
        Name of what is to be replaced there. If a process dies between putting the old one aside, under the name
        `Claim.path("old")`, and putting the new one in its place, whoever comes next puts the old one back.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    sweep(folder)
    while True:
        token = secrets.token_hex(8)
        lock = folder / f"{_START}{token}{_LOCK}"
        descriptor = -1
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY)
            # another process that sweeps in this moment takes it for a leftover: then it is one, and we try again
            mine = _try_lock(descriptor) is not False and _is_at(descriptor, lock)
            if mine:
                os.write(descriptor, json.dumps({**_whoami(), "target": target}).encode())
        except BaseException:
            if descriptor >= 0:  # else it could not be made, or the process was interrupted while it was
                os.close(descriptor)
            _remove(lock)
            raise
        if mine:
            _live[token] = made = Claim(folder, token, target, descriptor)
            return made
        os.close(descriptor)


@contextmanager
def claimed(folder: Path, *, target: str = "") -> Iterator[Claim]:
    """Claim a place for the duration of a context."""
    mine = claim(folder, target=target)
    try:
        yield mine
    finally:
        mine.release()


def sweep(folder: Path) -> None:
    """Remove what dead processes of this user and this machine have left in a folder; never what a live one uses."""
    if sys.platform == "win32":
        return  # there are no such locks
    with suppress(OSError):
        for token in {name.removeprefix(_START).split(".")[0] for name in _names(folder, _START)}:
            with suppress(OSError):
                _sweep_one(folder, token)


def abandon_all() -> None:
    """Remove all that this process has claimed, before it ends at once."""
    for mine in list(_live.values()):
        mine.release()


def _sweep_one(folder: Path, token: str) -> None:
    lock = folder / f"{_START}{token}{_LOCK}"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        # the lock comes before all else and goes after it: without one, a thread wrote on while its process was stopped
        unfinished = folder / f"{_START}{token}.{UNFINISHED}"
        if unfinished.stat(follow_symlinks=False).st_uid == os.getuid():
            _remove(unfinished)
        return
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            return
        locked = _try_lock(descriptor)
        record = _read_record(descriptor)
        if locked is False or not _is_at(descriptor, lock) or not _is_dead(record, locked=locked is True):
            return
        target = record.get("target", "")
        _clear(folder, token, target if isinstance(target, str) else "")
    finally:
        os.close(descriptor)


def _is_dead(record: Mapping[str, Any], *, locked: bool) -> bool:
    """Tell whether the process that wrote a record has ended, given whether its lock could be had."""
    me = _whoami()
    if locked:
        # locks may not reach other machines. A process that died before it wrote its record has left nothing else
        return not record or record.get("boot") == me["boot"] or record.get("host") == me["host"]
    # a file system without locks: only processes that would be seen from here can be seen to be gone
    if not record or record.get("host") != me["host"] or record.get("processes") != me["processes"]:
        return False
    return record.get("boot") != me["boot"] or _started(record.get("process")) != record.get("started")


def _whoami() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _read("/proc/sys/kernel/random/boot_id") or socket.gethostname(),
        "processes": _link("/proc/self/ns/pid"),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def _started(process: Any) -> str:  # noqa: ANN401 - what a record holds
    """Tell when a process was started, which tells it from a later one of the same number; empty if there is none."""
    if not isinstance(process, int):
        return ""
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""  # noqa: PLR2004 - its 22nd field


def _read(path: str) -> str:
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _link(path: str) -> str:
    with suppress(OSError):
        return str(Path(path).readlink())
    return ""


def _read_record(descriptor: int) -> dict[str, Any]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        record = json.loads(os.read(descriptor, _LONGEST_RECORD))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _try_lock(descriptor: int) -> bool | None:
    """Lock an open file: whether it could be had, None if the file system knows no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _clear(folder: Path, token: str, target: str) -> bool:
    """Remove all of a claim and tell if it has gone. Its lock is last: while there is something, it says whose."""
    old = folder / f"{_START}{token}.{OLD}"
    place = folder / Path(target).name
    if target and os.path.lexists(old) and not os.path.lexists(place):
        old.rename(place)
    lock = f"{_START}{token}{_LOCK}"
    own = [name for name in _names(folder, f"{_START}{token}.") if name != lock]
    for name in own:
        _remove(folder / name)
    if any(os.path.lexists(folder / name) for name in own):
        return False
    _remove(folder / lock)
    return not os.path.lexists(folder / lock)


def _names(folder: Path, start: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.startswith(start)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
