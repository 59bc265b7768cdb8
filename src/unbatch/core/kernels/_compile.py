"""How the leaves are compiled."""

from collections.abc import Callable, Collection
from typing import Any

import numba


def compiled(leaf: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a leaf: free of the interpreter's lock, and kept on disk where there is a place for it.

    Division is that of numpy, which gives inf or NaN where Python would raise: a loop with a way out in it cannot work
    on several values at once. A leaf sees to it that it never divides by 0.

    A leaf calls no function of another file: what is kept on disk is only renewed when its own file changes. Nor does
    it copy an array into a slice of another where a loop does: to compile that, with the messages of all that could be
    wrong with the shapes, takes seconds of the first run.
    """
    return _compiled(leaf)


def compiled_to_sum(leaf: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a leaf whose sums may be added up in an order that suits the processor, the same for the same length."""
    return _compiled(leaf, fastmath={"reassoc"})


def _compiled(leaf: Callable[..., Any], *, fastmath: Collection[str] = ()) -> Callable[..., Any]:
    try:
        return numba.njit(nogil=True, error_model="numpy", fastmath=set(fastmath), cache=True)(leaf)
    except RuntimeError:  # neither the folder of the source nor that of the user can be written to
        return numba.njit(nogil=True, error_model="numpy", fastmath=set(fastmath))(leaf)
