"""Time and memory of a command, from outside."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

_KIBI = 1024


@dataclass(frozen=True)
class Usage:
    """What a process used: wall and processor seconds, and the most memory it held at once, in bytes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class CommandError(RuntimeError):
    """A command failed; the message holds its end of the output."""


def run(command: Sequence[str]) -> Usage:
    """Run a command to its end.

    Processor time and memory are those of the process and its children that it waited for; memory is of the largest
    of them, and at least that of this process, as a copy of which it begins: call it from a small one.

    Raises
    ------
    CommandError
        If it exits with anything but 0.
    """
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(list(command), stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise CommandError(f"{' '.join(command)} exited with {process.returncode}:\n{said.read()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else _KIBI
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)
