"""Warnings of one thread among several, kept to be given elsewhere."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

from unbatch._check import warn

Told: TypeAlias = tuple[str, type[Warning]]
"""Text and kind of a warning."""

_lock = threading.Lock()
_listeners: dict[int, list[Told]] = {}
_installed = ExitStack()


@contextmanager
def heard() -> Iterator[list[Told]]:
    """Collect the warnings of this thread, each once, while the context lasts; those of other threads pass.

    ``warnings.catch_warnings`` does this for a process with one thread: it changes what all threads share.
    """
    told: list[Told] = []
    thread = threading.get_ident()
    with _lock:
        if not _listeners:
            _install()
        _listeners[thread] = told
    try:
        yield told
    finally:
        with _lock:
            del _listeners[thread]
            if not _listeners:
                _installed.close()


def tell(told: Sequence[Told]) -> None:
    """Give warnings that were collected, each once."""
    for text, kind in dict.fromkeys(told):
        warn(text, kind)


def _install() -> None:
    _installed.enter_context(warnings.catch_warnings())
    warnings.simplefilter("always")
    show = warnings.showwarning

    def hear(message: Warning | str, category: type[Warning], *where: object, **rest: object) -> None:
        told = _listeners.get(threading.get_ident())
        if told is None:
            show(message, category, *where, **rest)  # type: ignore[arg-type]
        elif (str(message), category) not in told:
            told.append((str(message), category))

    warnings.showwarning = hear
