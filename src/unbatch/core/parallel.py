"""Work on ranges of an array in threads, which are kept: to start one takes longer than many a task."""

import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar, cast

import numba

Found = TypeVar("Found")


def in_ranges(task: Callable[[int, int], object], n: int, *, step: int) -> None:
    """Call a task on the ranges of 0 to n, in as many threads as numba may use, of which the caller's is one.

    Ranges are the same for any number of threads. If each call writes to places of its own, in an order that the
    range decides, so are all bits of the result. After an error no further range is begun, and the error is raised once
    those that were begun have ended. Within one of several ranges, `in_ranges` stays in the thread of that range.

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
    if n <= step:  # nothing to share out: small fits do this thousands of times
        if n > 0:
            task(0, n)
        return
    job = _Job(task, n, step)
    n_threads = 1 if getattr(_this_thread, "in_range", False) else numba.get_num_threads()
    try:
        _helpers.ask(job, min(n_threads, len(job.starts)) - 1)
        job.work(task)
    finally:
        job.close()
    if job.errors:
        raise job.errors[0]


def at_once(*tasks: Callable[[], Found]) -> list[Found]:
    """Call tasks that do not depend on each other, as `in_ranges` does, and give what they return, in their order."""
    found: list[Found | None] = [None] * len(tasks)

    def one(at: int, _: int) -> None:
        found[at] = tasks[at]()

    in_ranges(one, len(tasks), step=1)
    return cast("list[Found]", found)


class _Job:
    """Ranges to be worked on, by the one who made it and by helpers that come before all are done."""

    def __init__(self, task: Callable[[int, int], object], n: int, step: int) -> None:
        self.starts = deque(range(0, n, step))
        self.errors: list[BaseException] = []
        self._task: Callable[[int, int], object] | None = task
        self._n, self._step = n, step
        self._helping, self._no_longer = 0, threading.Condition()

    def help(self) -> None:
        """Take part, unless it is too late."""
        with self._no_longer:
            task = self._task  # it is gone once the job is closed, which may be before the first range is begun
            if task is None:
                return
            self._helping += 1
        self.work(task)
        del task  # nor keep what it refers to while the next job is waited for
        with self._no_longer:
            self._helping -= 1
            self._no_longer.notify()

    def work(self, task: Callable[[int, int], object]) -> None:
        """Work on ranges until none is left."""
        before = getattr(_this_thread, "in_range", False)
        _this_thread.in_range = True
        try:
            while self.starts:
                try:
                    start = self.starts.popleft()
                except IndexError:  # another thread was faster
                    break
                task(start, min(start + self._step, self._n))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the result
            self.starts.clear()
            self.errors.append(error)
        finally:
            _this_thread.in_range = before

    def close(self) -> None:
        """Wait for those who help; who comes later finds nothing, nor keeps what the task refers to."""
        self.starts.clear()  # there are some if it was interrupted
        with self._no_longer:
            self._task = None
            while self._helping:
                self._no_longer.wait()


class _Helpers:
    """Threads that wait for jobs."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._n, self._lock = 0, threading.Lock()

    def ask(self, job: _Job, n: int) -> None:
        """Offer a job to so many of them."""
        with self._lock:
            for _ in range(self._n, n):
                threading.Thread(target=self._serve, name="unbatch-core", daemon=True).start()
                self._n += 1
        for _ in range(n):
            self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            self._jobs.get().help()


def _after_fork() -> None:
    global _helpers, _this_thread  # a fork has none of the threads
    _helpers, _this_thread = _Helpers(), threading.local()


_helpers, _this_thread = _Helpers(), threading.local()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
