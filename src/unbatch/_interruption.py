"""Whether the process was asked to end, by Ctrl-C or a signal of termination."""

import threading

asked = threading.Event()
"""Set once it is to end: what is met from then on is of no use to anybody, and no output takes its place any more."""
told = threading.Event()
"""Set by whoever has told the user of it."""
