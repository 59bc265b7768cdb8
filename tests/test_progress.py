"""Bars on a terminal, silence elsewhere, and a clock that survives errors."""

import io
import re
import subprocess
import sys
import time

import pytest

from unbatch._progress import Bars, Lines, Silent, Stopwatch, progress_for


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_stage_on_a_terminal_shows_its_name_and_ends_full():
    screen = Terminal()
    with Bars(screen).stage("reading counts", total=4) as advance:
        advance(1)
    assert "reading counts" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_a_stage_that_fails_does_not_claim_to_be_full():
    screen = Terminal()

    def fail_after_a_quarter():
        with Bars(screen).stage("reading counts", total=4) as advance:
            advance(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_quarter()
    assert "25%" in screen.getvalue()
    assert "100%" not in screen.getvalue()


def test_nested_and_repeated_stages_share_one_display():
    screen = Terminal()
    bars = Bars(screen)
    with bars.stage("outer", total=2) as outer:
        outer(1)
        with bars.stage("inner") as inner:
            inner(3)
    with bars.stage("next", total=0):
        pass
    assert all(name in screen.getvalue() for name in ("outer", "inner", "next"))


def test_a_bar_tells_speed_and_time_left(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    screen = Terminal()
    with Bars(screen).stage("reading counts", total=4000) as advance:
        advance(1000)
        time.sleep(0.2)
        advance(1000)
    assert "cells/s" in screen.getvalue()
    assert "left" in screen.getvalue()


def test_lines_tell_when_a_stage_begins_and_what_it_took():
    screen = io.StringIO()
    lines = Lines(screen)
    with lines.stage("reading counts", total=4000) as advance:
        advance(1000)
        advance(3000)
    with lines.stage("fitting effects"):
        pass
    first, second, third, fourth = screen.getvalue().splitlines()
    assert first == "reading counts, 4,000 cells ..."
    assert re.fullmatch(r"reading counts: \d+\.\d\d s, [\d,]+ cells/s", second)
    assert third == "fitting effects ..."
    assert re.fullmatch(r"fitting effects: \d+\.\d\d s", fourth)


def test_a_stage_that_fails_has_no_closing_line():
    screen = io.StringIO()
    with pytest.raises(KeyError), Lines(screen).stage("reading counts"):
        raise KeyError
    assert screen.getvalue() == "reading counts ...\n"


def test_bars_only_on_a_terminal_and_never_when_quiet():
    assert isinstance(progress_for(Terminal()), Bars)
    assert isinstance(progress_for(Terminal(), quiet=True), Silent)
    assert isinstance(progress_for(io.StringIO()), Silent)
    assert isinstance(progress_for(io.StringIO(), verbose=True), Lines)
    assert isinstance(progress_for(Terminal(), verbose=True), Lines)
    assert isinstance(progress_for(Terminal(), verbose=True, quiet=True), Silent)


def test_silence_accepts_every_call(capsys):
    with Silent().stage("reading counts", total=4) as advance:
        advance(1)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_stopwatch_adds_up_repeated_stages_and_passes_calls_on():
    calls = []

    class Recorder(Silent):
        def stage(self, name, *, total=None):
            calls.append((name, total))
            return super().stage(name, total=total)

    watch = Stopwatch(Recorder())
    for _ in range(2):
        with watch.stage("match", total=5) as advance:
            advance(5)
    with pytest.raises(KeyError), watch.stage("fit"):
        raise KeyError
    assert calls == [("match", 5), ("match", 5), ("fit", None)]
    assert set(watch.seconds) == {"match", "fit"}
    assert all(seconds > 0 for seconds in watch.seconds.values())


def test_importing_progress_does_not_import_rich():
    code = "import sys, unbatch._progress; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("verbose", [False, True])
def test_where_standard_error_is_closed_there_is_silence(monkeypatch, verbose):
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(progress_for(verbose=verbose), Silent)
