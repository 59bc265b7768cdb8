"""How much memory this process has taken, and giving back what it no longer needs."""

import ctypes
import math
import os
import sys
from pathlib import Path

_KIBI = 1024
_STATUS = Path("/proc/self/status")


def peak_bytes() -> float:
    """Most memory that the process has held at once so far, in bytes; NaN where the system does not tell (Windows)."""
    told = _peak_of_status()
    if told is not None:
        return told
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return float("nan")
    return float(getrusage(RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else _KIBI)


def _peak_of_status() -> float | None:
    """Give what Linux tells of this program alone: getrusage counts what the process that started it had held, too."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * _KIBI for line in lines if line.startswith("VmHWM:")), None)


def physical_bytes() -> float:
    """Memory of this machine in bytes; infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


def release() -> None:
    """Give freed memory back to the system, where the C library can (glibc): it keeps small pieces for later else.

    A pass over many blocks leaves such pieces between those that are still in use, so that the next large array would
    be taken on top of them.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
