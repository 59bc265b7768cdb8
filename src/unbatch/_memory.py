"""How much memory this process has taken, and giving back what it no longer needs."""

import ctypes
import math
import os
import sys

_KIBI = 1024


def peak_bytes() -> float:
    """Most memory that the process has held at once so far, in bytes; NaN where the system does not tell (Windows)."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return float("nan")
    return float(getrusage(RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else _KIBI)


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
