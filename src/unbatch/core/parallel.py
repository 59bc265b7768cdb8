"""Work on ranges of an array in threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba


def in_ranges(task: Callable[[int, int], object], n: int, *, step: int) -> None:
    """Call a task on the ranges of 0 to n, in as many threads as numba may use.

    Ranges are the same for any number of threads. If each call writes to places of its own, in an order that the
    range decides, so are all bits of the result.

    Parameters
    ----------
    task
        Called with the first number of a range and the one after its last; gains from threads where it does without the
        interpreter, as compiled leaves and large numpy operations do.
    n
        Where the ranges end.
    step
        Length of a range. Longer ones cost less overhead, but leave threads idle at the end.
    """
    starts = range(0, n, step)

    def call(start: int) -> None:
        task(start, min(start + step, n))

    n_threads = min(numba.get_num_threads(), len(starts))
    if n_threads <= 1:
        for start in starts:
            call(start)
    else:
        with ThreadPoolExecutor(n_threads, thread_name_prefix="unbatch-core") as threads:
            list(threads.map(call, starts))
