"""How long work tells that it goes on: named stages that count cells towards a total; silence is the default.

Code that loops over cells takes a `Progress` and knows nothing of terminals::

    with progress.stage("reading counts", total=source.n_cells) as advance:
        for block in source.blocks():
            ...
            advance(block.stop - block.start)
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Advance = Callable[[int], None]
"""Call it with the number of units (cells, iterations) done since the last call."""


class Progress(Protocol):
    """Anything that can be told that a stage begins, moves and ends."""

    def stage(self, name: str, *, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a stage of `total` units (None: not known beforehand); stages may be nested."""
        ...


def _ignore(_units: int) -> None:
    """Count nothing."""


class Silent:
    """Say nothing: the default from Python, in a pipe and with ``--quiet``."""

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Advance]:  # noqa: ARG002
        """Open a stage that shows nothing."""
        yield _ignore


class Bars:
    """One bar per stage, with the time it took, on the terminal that `stream` writes to."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._display: RichProgress | None = None

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Advance]:
        """Open a stage with a bar of its own; a nested stage adds its bar below."""
        if self._display is not None:
            with self._bar(self._display, name, total) as advance:
                yield advance
            return
        with self._open() as display:
            self._display = display
            try:
                with self._bar(display, name, total) as advance:
                    yield advance
            finally:
                self._display = None

    def _open(self) -> "RichProgress":
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        console = Console(file=self._stream or sys.stderr)
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[speed]:>16}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[left]}"),
        )
        return RichProgress(*columns, console=console)

    @staticmethod
    @contextmanager
    def _bar(display: "RichProgress", name: str, total: int | None) -> Iterator[Advance]:
        start = time.perf_counter()
        task = display.add_task(name, total=total, speed="", left="" if total is None else "left")

        def advance(units: int) -> None:
            display.advance(task, units)
            if total is not None:
                display.update(task, speed=_speed(own.completed, time.perf_counter() - start))

        own = next(one for one in display.tasks if one.id == task)
        yield advance
        done = total if total is not None else max(own.completed, 1)
        display.update(task, total=done, completed=done)


def _speed(n_cells: float, seconds: float) -> str:
    return f"{n_cells / max(seconds, 1e-6):,.0f} cells/s"


class Lines:
    """One line as a stage begins and one as it ends, with its time and speed: for logs, and with ``--verbose``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def _write(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Advance]:
        """Open a stage; one that fails has no second line."""
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units

        start = time.perf_counter()
        self._write(f"{name} ..." if total is None else f"{name}, {total:,} cells ...")
        yield advance
        seconds = time.perf_counter() - start
        self._write(f"{name}: {seconds:.2f} s" + (f", {_speed(done, seconds)}" if total is not None else ""))


class Stopwatch:
    """Record the seconds spent in each stage while passing every call on to another `Progress`.

    `seconds` maps the name of a stage to its total time; a stage opened twice adds up.
    """

    def __init__(self, inner: Progress) -> None:
        self._inner = inner
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, *, total: int | None = None) -> Iterator[Advance]:
        """Open a stage on the inner `Progress` and take its time."""
        start = time.perf_counter()
        try:
            with self._inner.stage(name, total=total) as advance:
                yield advance
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def progress_for(stream: TextIO | None = None, *, quiet: bool = False, verbose: bool = False) -> Progress:
    """Bars when `stream` (default: standard error) is a terminal and `quiet` is off; lines if `verbose`; or silence."""
    stream = stream or sys.stderr
    if stream is None:
        return Silent()  # standard error is closed
    if verbose and not quiet:
        return Lines(stream)
    return Bars(stream) if stream.isatty() and not quiet else Silent()
