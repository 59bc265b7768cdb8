"""Settings that a whole process shares, for threads that need them at the same time."""

import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from threadpoolctl import LibController, ThreadpoolController

_lock = threading.Lock()
_inside = 0
_found: tuple[int, ThreadpoolController] | None = None
"""How many modules there were when libraries were looked for, and those that were found."""
_usual: list[tuple[LibController, int]] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP to one thread: with more, the order of sums, and with it their last bits, is the threads'.

    ``threadpool_limits`` alone does this for a process with one thread: BLAS has one setting for all, and who leaves
    first would set it back for those who are still inside. OpenMP has one for each thread.
    """
    global _inside  # noqa: PLW0603 - so is the setting
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which later would not be held

    with _lock:
        controller = _controller()
        _inside += 1
        if _inside == 1:
            _usual.extend((blas, blas.num_threads) for blas in controller.select(user_api="blas").lib_controllers)
            for blas, _ in _usual:
                _set(blas, 1)
    try:
        with controller.select(user_api="openmp").limit(limits=1):
            yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for blas, number in _usual:
                    _set(blas, number)
                _usual.clear()


def _controller() -> ThreadpoolController:
    """Look for libraries, which takes milliseconds, unless no module was imported since they were last looked for."""
    global _found  # noqa: PLW0603 - see `one_thread`
    if _found is None or _found[0] != len(sys.modules):
        _found = len(sys.modules), ThreadpoolController()
    return _found[1]


def _set(blas: LibController, number: int) -> None:
    """Set the number of threads, which threadpoolctl since 3.8 leaves to the thread that was the first to do so."""
    free = getattr(blas, "clear_controlling_thread", None)
    if free is None:
        blas.set_num_threads(number)
    else:
        free(force=True)
        blas.set_num_threads(number)
        free(force=True)


@contextmanager
def unwarned(category: type[Warning], message: str = "") -> Iterator[None]:
    """Keep warnings of a kind, whose text begins with `message`, from showing.

    ``warnings.catch_warnings`` puts back all filters as they were when it began, and with them those of other threads
    that have ended since: they would stay for good.
    """
    rule = ("ignore", re.compile(re.escape(message)), category, None, 0)
    rules = cast("list[Any]", warnings.filters)
    with _lock:
        rules.insert(0, rule)
    try:
        yield
    finally:
        with _lock, suppress(ValueError):
            rules.remove(rule)
