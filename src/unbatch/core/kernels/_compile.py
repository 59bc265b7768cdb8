"""How the leaves are compiled."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(leaf: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a leaf: free of the interpreter's lock, and kept on disk where there is a place for it.

    A leaf calls no function of another file: what is kept on disk is only renewed when its own file changes.
    """
    try:
        return numba.njit(nogil=True, cache=True)(leaf)
    except RuntimeError:  # neither the folder of the source nor that of the user can be written to
        return numba.njit(nogil=True)(leaf)
