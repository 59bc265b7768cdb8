"""Warnings of a thread are kept apart from those of others."""

import threading
import warnings

import pytest

from unbatch import InputWarning
from unbatch.io.heard import heard, tell


def test_each_warning_is_kept_once_and_does_not_show():
    with heard() as told:
        for _ in range(2):
            warnings.warn("first", InputWarning, stacklevel=1)
            warnings.warn("second", RuntimeWarning, stacklevel=1)
    assert told == [("first", InputWarning), ("second", RuntimeWarning)]


def test_other_threads_keep_their_own_and_nothing_is_left_behind():
    before = (warnings.showwarning, list(warnings.filters))
    both, kept = threading.Barrier(2), {}

    def listen(name):
        with heard() as told:
            both.wait()
            warnings.warn(name, InputWarning, stacklevel=1)
            both.wait()
        kept[name] = told

    threads = [threading.Thread(target=listen, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept == {name: [(name, InputWarning)] for name in ("one", "two")}
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_a_thread_that_does_not_listen_is_heard_as_before():
    done = threading.Event()

    def listen():
        with heard() as told:
            ready.set()
            done.wait()
            assert told == []

    ready, thread = threading.Event(), threading.Thread(target=listen)
    thread.start()
    ready.wait()
    with pytest.warns(InputWarning, match="mine"):
        warnings.warn("mine", InputWarning, stacklevel=1)
    done.set()
    thread.join()


def test_what_was_kept_is_told_once():
    with pytest.warns(InputWarning) as told:
        tell([("a", InputWarning), ("b", InputWarning), ("a", InputWarning)])
    assert [str(one.message) for one in told] == ["a", "b"]
    assert {one.filename for one in told} == {__file__}
