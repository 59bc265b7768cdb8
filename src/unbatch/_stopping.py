"""Ctrl-C and the termination signal stop the command line soon, whatever it is doing, and leave nothing half-written.

Python raises KeyboardInterrupt between two of its own instructions, so a compiled loop or a library keeps it waiting,
and what is raised in a destructor is lost. Therefore a thread watches: what has not unwound in a short time is ended at
once, after its unfinished outputs were removed.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from unbatch._interruption import asked, told

INTERRUPTED = 130
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_GRACE = 0.5
"""Seconds to end in good order."""
_SHOW_CURSOR = "\x1b[?25h"
_ending = threading.Lock()


@contextmanager
def stoppable() -> Iterator[None]:
    """Make SIGINT, SIGTERM and SIGHUP end the process within two seconds, with exit code 130 and one line.

    To be used in the main thread, around all that a program does: nothing is put back at its end. What the caller
    ignores, as ``nohup`` does, stays ignored.
    """
    told.clear()
    asked.clear()
    signalled, heard = socket.socketpair()  # what the system writes signals to, and where they are read
    signalled.settimeout(0)
    signal.set_wakeup_fd(signalled.detach(), warn_on_full_buffer=False)  # open to the very end
    heeded = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, _interrupt)
    sys.unraisablehook = _without_interruptions
    threading.Thread(target=_watch, args=(heard,), name="unbatch-watch", daemon=True).start()
    try:
        yield
    finally:
        if asked.is_set():
            _end()  # to wait for threads and to take the interpreter down could take seconds
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)  # all is done, and the interpreter ends


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if asked.is_set():
        return  # cleaning up is not disturbed; the watching thread ends it
    asked.set()
    raise KeyboardInterrupt


def _watch(heard: socket.socket) -> None:
    """Wait for a signal, then until the process has ended or the time is up, or a second signal comes."""
    while heard.recv(1)[0] not in _SIGNALS:
        pass  # of no concern to us
    heard.settimeout(_GRACE)
    with suppress(TimeoutError):
        heard.recv(1)
    _end()


def _end() -> NoReturn:
    _ending.acquire()  # it ends once
    scratch = sys.modules.get("unbatch.io.scratch")  # an import could wait for one that is under way
    if scratch is not None:
        scratch.abandon_all()
    _tell()
    os._exit(INTERRUPTED)


def _tell() -> None:
    if not told.is_set():
        told.set()
        with suppress(OSError, ValueError):
            sys.stderr.write((_SHOW_CURSOR if sys.stderr.isatty() else "") + "Interrupted.\n")
            sys.stderr.flush()


def _without_interruptions(unraisable: Any) -> None:  # noqa: ANN401 - as the interpreter calls it
    """Keep silent of an interruption that was raised where nothing can be raised: it will be dealt with."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
