"""Stop the command line at random moments and see how soon and how it ends: ``python tests/faults/interrupts.py``.

Every run is a process of its own, interrupted (SIGINT, every third time SIGTERM) at a random moment. It must end within
two seconds with exit code 130, say "Interrupted." and nothing else, and leave nothing but what was there before. Python
itself cannot be told before it has started: the first moment is when the package begins to be loaded.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import unbatch as ub

LIMIT = 2.0
_STARTED = 0.15
_COMMANDS = (
    ("fit", "in.h5ad", "-b", "batch", "-o", "out.h5ad", "--quiet"),
    ("adjust", "in.h5ad", "-m", "model.h5ad", "-o", "out.zarr", "--quiet"),
)


def command(arguments):
    """Give what starts the command line as a process, which heeds Ctrl-C whatever started this one."""
    return subprocess.Popen(
        [sys.executable, "-m", "unbatch", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def names():
    """Give the names of all that is in the working directory."""
    return sorted(path.name for path in Path().iterdir())


def stop(arguments, *, after, number):
    """Start a command and stop it after so many seconds; give seconds to the end, exit code, and what it said."""
    process = command(arguments)
    time.sleep(after)
    began = time.perf_counter()
    process.send_signal(number)
    _, said = process.communicate()
    return time.perf_counter() - began, process.returncode, said


def stop_often(arguments, times, *, chance):
    """Stop a command so many times in the working directory; give the times it took and what went wrong."""
    began = time.perf_counter()
    assert command(arguments).wait() == 0
    duration = time.perf_counter() - began
    Path(arguments[arguments.index("-o") + 1]).rename("finished")
    before = names()
    seconds, wrong, done = [], [], 0
    for turn in range(times):
        number = signal.SIGTERM if turn % 3 == 2 else signal.SIGINT
        after = chance.uniform(_STARTED, duration)
        took, code, said = stop(arguments, after=after, number=number)
        left = sorted(set(names()) - set(before))
        if code == 0 and left == [arguments[arguments.index("-o") + 1]]:
            done += 1
            subprocess.run(["rm", "-r", *left], check=True)
            continue
        seconds.append(took)
        if took > LIMIT or code != 130 or said != "Interrupted.\n" or left:
            wrong.append({"after": after, "seconds": took, "code": code, "said": said[-2000:], "left": left})
            if left:
                subprocess.run(["rm", "-r", *left], check=True)
    return seconds, wrong, done


def run():
    """Do what the command line asks for, and print what was found for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="Interruptions per command.")
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)  # noqa: S311
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shape = {"n_cells": chosen.cells, "n_genes": chosen.genes, "n_batches": 3, "n_types": 5}
        ub.simulate_to_file("in.h5ad", **shape, seed=2)
        assert command(("fit", "in.h5ad", "-b", "batch", "-o", "model.h5ad")).wait() == 0
        for arguments in _COMMANDS:
            seconds, wrong, done = stop_often(arguments, chosen.times, chance=chance)
            worst = round(max(seconds, default=0.0), 2)
            line = {"command": arguments[0], "stopped": len(seconds), "ended before": done, "slowest": worst}
            print(json.dumps({**line, "wrong": wrong}), flush=True)  # noqa: T201
            failed |= bool(wrong)
            Path("finished").rename(f"finished-{arguments[0]}")
        os.chdir("/")
    sys.exit(failed)


if __name__ == "__main__":
    run()
