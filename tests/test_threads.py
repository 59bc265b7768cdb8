"""Settings that threads share hold until the last one leaves, and are as before then."""

import sys
import threading
import types
import warnings

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which must be there before and after
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from unbatch import _threads
from unbatch._threads import one_thread, unwarned


def n_threads(kind):
    assert np.ones((2, 2)).sum() == 4
    return {one["filepath"]: one["num_threads"] for one in threadpool_info() if one["user_api"] == kind}


def interleaved(context, seen):
    """Enter a context here and in another thread, leave it here first, and look at what the other one sees then."""
    entered, left = threading.Event(), threading.Event()

    def other():
        with context():
            entered.set()
            assert left.wait(10)
            found.append(seen())

    found = []
    thread = threading.Thread(target=other)
    with context():
        thread.start()
        assert entered.wait(10)
    left.set()
    thread.join()
    return found[0]


def test_who_leaves_first_gives_no_threads_to_who_stays():
    with threadpool_limits(limits=2):
        before = n_threads("blas")
        assert set(before.values()) == {2}
        assert set(interleaved(one_thread, lambda: n_threads("blas")).values()) == {1}
        assert n_threads("blas") == before


def test_each_thread_has_one_openmp_thread():
    import sklearn.cluster  # noqa: F401 - brings OpenMP

    with threadpool_limits(limits=2):
        before = n_threads("openmp")
        assert set(interleaved(one_thread, lambda: n_threads("openmp")).values()) == {1}
        assert n_threads("openmp") == before


def test_it_can_be_entered_again_and_left_by_an_error():
    with threadpool_limits(limits=2):
        before = n_threads("blas")
        with pytest.raises(ZeroDivisionError), one_thread(), one_thread():
            raise ZeroDivisionError
        assert n_threads("blas") == before


def test_libraries_are_looked_for_anew_once_a_module_came_that_may_have_brought_one(monkeypatch):
    looked = []
    monkeypatch.setattr(_threads, "_found", None)
    monkeypatch.setattr(_threads, "ThreadpoolController", lambda: looked.append(1) or ThreadpoolController())
    with one_thread():
        assert len(looked) == 1
        with one_thread():
            assert len(looked) == 1
        monkeypatch.setitem(sys.modules, "a_module_with_a_library", types.ModuleType("a_module_with_a_library"))
        with one_thread():
            assert len(looked) == 2
    with one_thread():
        assert len(looked) == 2


def test_warnings_stay_silent_until_the_last_leaves_and_no_filter_stays():
    def seen():
        with warnings.catch_warnings(record=True) as told:
            warnings.warn("of this (kind), and more", UserWarning, stacklevel=1)
            warnings.warn("of that kind", UserWarning, stacklevel=1)
        return [str(one.message) for one in told]

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert interleaved(lambda: unwarned(UserWarning, "of this (kind)"), seen) == ["of that kind"]
        assert list(warnings.filters) == before
        assert len(seen()) == 2
