"""Kill the command line at random moments and look at what it leaves: ``python tests/faults/kills.py --times 100``.

A command runs in a fork of this process, in which everything is loaded and compiled, and every tenth time as a process
of its own. It is killed (SIGKILL) at a random moment, evenly over its whole run, every second time over its last third,
where it writes, until it was still running so many times. Before that, in turns, there was no output or another one.
Then the output must be as before or all new, to the last value, the input as before to the last byte, and a further run
of the command must succeed and leave nothing in the folder but input and output.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import numpy as np
import zarr
from scipy import sparse

import unbatch as ub
from unbatch.__main__ import main
from unbatch.io import stored

VOLATILE = ("timings", "peak_bytes")
"""What differs between two runs of the same fit."""
_REAL = 10
_LAST = 0.67
_MOST_TURNS = 4
"""Per kill: others come too late, for a command does not always take as long."""


@dataclass(frozen=True)
class Case:
    """A command whose last argument is its output; `others` make it write something else."""

    name: str
    arguments: tuple[str, ...]
    others: tuple[str, ...]


CASES = (
    Case("fit .h5ad", ("fit", "in.h5ad", "-b", "batch", "-o", "out.h5ad"), ("--seed", "7")),
    Case("fit .zarr", ("fit", "in.zarr", "-b", "batch", "-o", "out.h5ad"), ("--seed", "7")),
    Case("adjust .h5ad", ("adjust", "in.h5ad", "-m", "model.h5ad", "-o", "out.h5ad"), ("--mode", "thin")),
    Case("adjust .zarr", ("adjust", "in.zarr", "-m", "model.h5ad", "-o", "out.zarr"), ("--mode", "thin")),
)


def write_inputs(folder, *, n_cells, n_genes):
    """Write the same counts by row and by column, in both formats."""
    anndata.settings.zarr_write_format = 3
    anndata.settings.auto_shard_zarr_v3 = False
    adata = ub.simulate(n_cells=n_cells, n_genes=n_genes, n_batches=3, n_types=4, seed=2)
    for kind, form in (("rows", sparse.csr_matrix), ("columns", sparse.csc_matrix)):
        adata.X = form(adata.X)
        (folder / kind).mkdir()
        adata.write_h5ad(folder / kind / "in.h5ad")
        adata.write_zarr(folder / kind / "in.zarr")


def load(arguments):
    """Run a command in this process, so that forks find all that it needs loaded and compiled."""
    sys.argv = ["unbatch", *arguments]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        main()


def start(arguments, *, real=False):
    """Run a command in a fork, or for real, and give its process number."""
    if real:
        return subprocess.Popen(
            [sys.executable, "-m", "unbatch", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).pid
    process = os.fork()
    if process == 0:
        code = 70
        try:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            sys.argv = ["unbatch", *arguments]
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            os._exit(code)
    return process


def finish(process):
    """Wait for a command, and give its exit code; a signal is negative."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(path):
    """Say what is in an output, to the last value; fails if any of it cannot be read."""
    total = hashlib.sha256()

    def take(name, element):
        if any(part in VOLATILE for part in name.split("/")):
            return
        total.update(f"{name} {sorted(dict(element.attrs))}".encode())
        if hasattr(element, "dtype"):
            values = np.asarray(element[()])
            total.update(str(values.dtype).encode() + str(values.shape).encode())
            total.update(repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes())

    if path.suffix == ".zarr":
        root = zarr.open_group(path, mode="r")
        for name, element in sorted(root.members(max_depth=None), key=lambda one: one[0]):
            take(name, element)
    else:
        with h5py.File(path, "r") as root:
            root.visititems(take)
    return total.hexdigest()


def raw(path):
    """Say what is in a file or folder, to the last byte."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(str(file).encode() + file.read_bytes() for file in files)).hexdigest()


def names(folder):
    """Give the names of all that is in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def remove(path):
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def until_killed(times, found):
    """Count turns until so many met a running process, or there were far too many of them."""
    for turn in range(_MOST_TURNS * times):
        if found["killed"] == times:
            return
        yield turn


def run_undisturbed(case, *, folder, real):
    """Run a command to its end; give what each of its two forms writes, and the seconds that each kind of run takes."""
    output = Path(case.arguments[-1])
    contents, durations = {}, {}
    for kind in ("rows", "columns"):
        shutil.copytree(folder / kind, ".", dirs_exist_ok=True)
        for name, arguments in (("old", (*case.arguments, *case.others)), ("new", case.arguments)):
            began = time.perf_counter()
            assert finish(start(arguments)) == 0
            durations[kind] = time.perf_counter() - began
            contents[name] = digest(output)
            if name == "old":
                remove(folder / f"old{output.suffix}")
                output.rename(folder / f"old{output.suffix}")
    assert contents["old"] != contents["new"]
    if real:
        began = time.perf_counter()
        assert finish(start(case.arguments, real=True)) == 0
        durations["real"] = time.perf_counter() - began
    return contents, durations


def kill_often(case, times, *, chance, folder):
    """Kill a command until it was running so many times, in the working directory, and count what went wrong."""
    source, output = (Path(case.arguments[place]) for place in (1, -1))
    contents, durations = run_undisturbed(case, folder=folder, real=times >= _REAL)
    clean = names(".")
    found = dict.fromkeys(("killed", "ended before", "output old", "output new", "broken", "scratch", "failed"), 0)
    for turn in until_killed(times, found):
        kind = ("rows", "columns")[turn // 2 % 2]
        remove(source)
        (shutil.copytree if source.suffix == ".zarr" else shutil.copy)(folder / kind / source, source)
        before = raw(source)
        remove(output)
        had_old = turn % 4 >= 2
        if had_old:
            (shutil.copytree if output.suffix == ".zarr" else shutil.copy)(folder / f"old{output.suffix}", output)
        real = turn % _REAL == _REAL - 1 and "real" in durations
        process = start(case.arguments, real=real)
        duration = durations["real" if real else kind]
        time.sleep(duration * chance.uniform(_LAST if turn % 2 else 0, 1.05))
        os.kill(process, signal.SIGKILL)
        found["killed" if finish(process) == -signal.SIGKILL else "ended before"] += 1
        try:
            what = digest(output) if os.path.lexists(output) else "nothing"
        except Exception as error:  # noqa: BLE001 - whatever a broken file makes a library raise
            what = repr(error)
        found["scratch"] += any(name.startswith(".") for name in names("."))
        if what == contents["new"]:
            found["output new"] += 1
        elif what == (contents["old"] if had_old else "nothing"):
            found["output old"] += 1
        else:
            found["broken"] += 1
        began = time.perf_counter()
        again = finish(start(case.arguments))
        durations[kind] = time.perf_counter() - began
        whole = again == 0 and digest(output) == contents["new"] and raw(source) == before
        if not whole or names(".") != clean or names(tempfile.gettempdir()):
            found["failed"] += 1
    return found


def run():
    """Do what the command line asks for, and print what was found for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=100, help="Kills of a running process per case.")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--genes", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", nargs="*", choices=[case.name for case in CASES], help="Some instead of all.")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    stored.TURN_IN_MEMORY = -1  # what is stored by column goes through a scratch file
    worst = 0
    with tempfile.TemporaryDirectory() as home:
        inputs, work, temporary = (Path(home) / name for name in ("inputs", "work", "temporary"))
        for folder in (inputs, work, temporary):
            folder.mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
        write_inputs(inputs, n_cells=chosen.cells, n_genes=chosen.genes)
        os.chdir(work)
        shutil.copytree(inputs / "rows", ".", dirs_exist_ok=True)
        cases = [case for case in CASES if chosen.case is None or case.name in chosen.case]
        for arguments in (("fit", "in.h5ad", "-b", "batch", "-o", "model.h5ad"), *(case.arguments for case in cases)):
            load(arguments)
        for case in cases:
            remove(work / "out.h5ad")
            remove(work / "out.zarr")
            found = kill_often(case, chosen.times, chance=random.Random(chosen.seed), folder=inputs)  # noqa: S311
            print(json.dumps({"case": case.name, **found}), flush=True)  # noqa: T201
            worst += found["broken"] + found["failed"]
        os.chdir("/")
    sys.exit(1 if worst else 0)


if __name__ == "__main__":
    run()
