"""Standard streams that can always be written to: a closed one leads nowhere, and no name is too strange to print."""

import io
import os
import sys

_STREAMS = {"stdout": 1, "stderr": 2}


def open_streams() -> None:
    """Put what leads nowhere in the place of closed standard streams; let the others escape what they cannot encode.

    To be called before anything else opens a file: it would get the number of a closed stream, and with it whatever a
    library writes there.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= max(_STREAMS.values()):
        pass
    os.close(spare)
    for name, number in _STREAMS.items():
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
