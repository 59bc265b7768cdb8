"""How much memory this process has taken."""

import sys

_KIBI = 1024


def peak_bytes() -> float:
    """Most memory that the process has held at once so far, in bytes; NaN where the system does not tell (Windows)."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return float("nan")
    return float(getrusage(RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else _KIBI)
