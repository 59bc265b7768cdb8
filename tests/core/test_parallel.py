"""Ranges cover everything once, whatever their length and the number of threads."""

import os
import threading
import time
import weakref

import numba
import numpy as np
import pytest

from unbatch.core.parallel import _Job, in_ranges


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("n", "step"), [(0, 3), (1, 3), (7, 3), (9, 3), (5, 100)])
def test_each_number_is_in_one_range(n, step, n_threads, monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: n_threads)
    seen = np.zeros(n, dtype=int)

    def task(first, stop):
        assert first % step == 0
        assert 0 < stop - first <= step
        seen[first:stop] += 1

    in_ranges(task, n, step=step)
    np.testing.assert_array_equal(seen, 1)


def test_caller_works_beside_its_helpers(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both, seen = threading.Barrier(2, timeout=10), set()

    def task(_first, _stop):
        both.wait()  # nobody does both ranges
        seen.add(threading.current_thread())

    in_ranges(task, 2, step=1)
    assert len(seen) == 2
    assert threading.current_thread() in seen


def test_threads_are_kept(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 3)
    in_ranges(lambda *_: None, 3, step=1)
    before = threading.active_count()
    for _ in range(20):
        in_ranges(lambda *_: None, 3, step=1)
    assert threading.active_count() == before


def test_a_single_range_leaves_the_threads_to_what_it_calls(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both = threading.Barrier(2, timeout=10)
    in_ranges(lambda *_: in_ranges(lambda *_: both.wait(), 2, step=1), 3, step=5)


def test_ranges_within_a_range_stay_in_its_thread(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both, strayed = threading.Barrier(2, timeout=10), []

    def task(_first, _stop):
        both.wait()  # one in the caller, one in a helper
        mine = threading.current_thread()
        in_ranges(lambda *_: strayed.append(threading.current_thread() is not mine), 50, step=1)

    in_ranges(task, 2, step=1)
    assert strayed == [False] * 100


def test_callers_at_once_get_their_own(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    sums = np.zeros((4, 1000))

    def call(own):
        def task(first, stop):
            sums[own, first:stop] += own

        for _ in range(50):
            in_ranges(task, 1000, step=7)

    callers = [threading.Thread(target=call, args=(own,)) for own in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    np.testing.assert_array_equal(sums, np.arange(4)[:, None] * np.full(1000, 50))


def test_forks_have_threads_of_their_own(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    in_ranges(lambda *_: None, 2, step=1)
    process = os.fork()
    if process == 0:
        both = threading.Barrier(2, timeout=10)
        in_ranges(lambda *_: both.wait(), 2, step=1)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7


def test_nothing_is_kept_of_a_task_whose_helpers_came_too_late(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both, held, going_on = threading.Barrier(2, timeout=10), threading.Event(), threading.Event()

    def hold(_first, _stop):  # keeps the only helper from the second job
        both.wait()
        if threading.current_thread() is not caller:
            held.set()
            going_on.wait(10)

    def call():
        in_ranges(hold, 2, step=1)

    caller = threading.Thread(target=call)
    caller.start()
    assert held.wait(10)
    late = np.zeros(3)
    kept = weakref.ref(late)
    in_ranges(lambda first, _, late=late: late.__setitem__(first, 1.0), 3, step=1)
    del late
    gone = kept() is None
    going_on.set()
    caller.join()
    assert gone


def test_nothing_is_begun_after_an_error_of_a_helper(monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: 2)
    both, begun = threading.Barrier(2, timeout=10), []

    def task(first, _stop):
        begun.append(first)
        both.wait()
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("of the helper")
        time.sleep(0.2)

    with pytest.raises(ValueError, match="of the helper"):
        in_ranges(task, 100, step=1)
    assert len(begun) == 2


@pytest.mark.parametrize("n", [1, 10])
def test_errors_are_raised(n):
    def task(first, _):
        raise ValueError(first)

    with pytest.raises(ValueError, match="0"):
        in_ranges(task, n, step=1)


def test_a_job_that_is_closed_before_its_helper_begins_is_over():
    """Where the machine is busy, all ranges can be done between the two: the helper must say that it is through."""
    begun, closed = threading.Event(), threading.Event()

    class Busy(_Job):
        def work(self, *task):
            begun.set()
            assert closed.wait(10)
            super().work(*task)

    job = Busy(lambda *_: None, 3, 1)
    helper, closer = (threading.Thread(target=work, daemon=True) for work in (job.help, job.close))
    helper.start()
    assert begun.wait(10)
    closer.start()
    while job._task is not None:
        time.sleep(0.001)
    closed.set()
    for thread in (helper, closer):
        thread.join(10)
        assert not thread.is_alive()
