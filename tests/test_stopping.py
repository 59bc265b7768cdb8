"""How a program ends that is told to stop, wherever it is at that moment; `faults` does this to the real commands."""

import subprocess
import sys
import textwrap
import time

import pytest

BEGIN = """
import os, signal, sys, time
from unbatch._stopping import stoppable

# a command that ran in this process leaves signals ignored, and so would those who call the tests by nohup
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
SOON = 10.0
"""Seconds, of which what is stuck takes a good half."""


def ended(program):
    """Run a program to its end; give its exit code, what it said and what it complained of."""
    code = BEGIN + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_unwinds_what_is_under_way_and_is_told_once(name):
    program = f"""
    with stoppable():
        try:
            os.kill(os.getpid(), signal.{name})
            time.sleep(60)
        finally:
            print("cleaned up", flush=True)
    """
    assert ended(program) == (130, "cleaned up\n", "Interrupted.\n")


def test_what_does_not_unwind_is_ended():
    program = """
    with stoppable():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        finally:
            time.sleep(60)
    """
    start = time.monotonic()
    assert ended(program) == (130, "", "Interrupted.\n")
    assert time.monotonic() - start < SOON


def test_a_second_signal_does_not_disturb_what_cleans_up():
    program = """
    with stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except KeyboardInterrupt:
            signal.set_wakeup_fd(-1)  # else the watching thread would end it at once
            os.kill(os.getpid(), signal.SIGTERM)
            print("cleaned up", flush=True)
    """
    assert ended(program) == (130, "cleaned up\n", "Interrupted.\n")


def test_what_the_caller_ignores_stays_ignored():
    """As under nohup."""
    program = """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable():
        os.kill(os.getpid(), signal.SIGHUP)
        print("went on")
    """
    assert ended(program) == (0, "went on\n", "")


def test_other_signals_are_of_no_concern():
    program = """
    signal.signal(signal.SIGUSR1, lambda *_: None)
    with stoppable():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(1)
        print("went on")
    """
    assert ended(program) == (0, "went on\n", "")


def test_a_signal_at_the_very_end_changes_nothing():
    program = """
    with stoppable():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    print("all is written")
    """
    assert ended(program) == (0, "all is written\n", "")


@pytest.mark.parametrize(("error", "shown"), [("KeyboardInterrupt", False), ("ValueError('of another kind')", True)])
def test_of_what_destructors_raise_only_interruptions_are_kept_silent(error, shown):
    program = f"""
    class Thing:
        def __del__(self):
            raise {error}

    with stoppable():
        thing = Thing()
        del thing
    """
    code, _, complaint = ended(program)
    assert code == 0
    assert ("of another kind" in complaint) == shown
    assert bool(complaint) == shown
