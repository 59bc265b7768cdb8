"""Fill a small disk for real: ``python tests/faults/full_disk.py --sizes 20``.

Mounts a tmpfs of many sizes, from one that holds next to nothing to one that nearly holds the output, in a namespace of
its own, for which a system must allow that (``unshare``). Each command then has to end with exit code 2 and one error,
leave nothing, and what was there before as it was; where all fits, its output must be whole.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import unbatch as ub
from unbatch.io import stored

from kills import CASES, digest, finish, names, raw, remove, write_inputs  # isort: skip - beside this file
from permissions import start, temporary_folder  # isort: skip - beside this file

_INSIDE = "UNBATCH_FULL_DISK"
_PAGE = 4096


def enter():
    """Go on in a namespace where this user may mount."""
    flags = ["-m"] if os.geteuid() == 0 else ["-m", "-r"]
    os.environ[_INSIDE] = "yes"
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])  # noqa: S606


def mount(folder, n_bytes):
    """Mount an empty disk of so many bytes."""
    options = ["-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    subprocess.run(["mount", *options], check=True)


def held(path):
    """Give the bytes that a file or folder takes on a disk."""
    return sum((os.lstat(file).st_size // _PAGE + 1) * _PAGE for file in [path, *path.rglob("*")])


def fill(case, sizes, *, home, room):
    """Run a command with disks of so many sizes, up to `room` times what its output takes; count what came of it."""
    disk, said = home / "disk", str(home / "said")
    arguments = (*case.arguments[:-1], str(disk / case.arguments[-1]), "--quiet")
    output = Path(arguments[-2])
    disk.mkdir(exist_ok=True)
    assert finish(start(arguments, said)) == 0, Path(said).read_text()
    whole, most = digest(output), held(output)
    remove(output)
    found = dict.fromkeys(("refused", "whole", "wrong"), 0)
    for number in range(sizes):
        mount(disk, max(_PAGE * 4, int(most * room * (number + 1) / sizes)))
        old = disk / ("old" + output.suffix)
        (old if number % 2 or output.suffix == ".zarr" else output).write_text("old")  # a store would be a folder
        before = {name: raw(disk / name) for name in names(disk)}
        code, lines = finish(start(arguments, said)), Path(said).read_text().splitlines()
        same = {name: raw(disk / name) for name in names(disk)} == before
        reason = lines[-1] if lines and lines[-1].startswith("Error: ") else ""
        if code == 2 and ("No space left on device" in reason or "GB are free: give" in reason) and same:
            found["refused"] += 1
        elif code == 0 and digest(output) == whole and set(names(disk)) == {*before, output.name}:
            found["whole"] += 1
        else:
            found["wrong"] += 1
            print(json.dumps({"exit": code, "said": lines, "disk": names(disk)}), flush=True)  # noqa: T201
        subprocess.run(["umount", str(disk)], check=True)
    return found


def run():
    """Do what the command line asks for, and print what was found for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=20)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--genes", type=int, default=150)
    chosen = parser.parse_args()
    if _INSIDE not in os.environ:
        enter()
    warnings.simplefilter("ignore")
    stored.TURN_IN_MEMORY = -1  # what is stored by column goes through a scratch file
    wrong = 0
    with temporary_folder() as folder:
        home = Path(folder)
        (home / "inputs").mkdir()
        write_inputs(home / "inputs", n_cells=chosen.cells, n_genes=chosen.genes)
        ub.BatchModel().fit(ub.datasets.toy().X, ub.datasets.toy().obs["batch"])  # loads and compiles
        for kind, room in (("rows", 1.1), ("columns", 6.0)):  # of these, a scratch file is on the same disk
            os.chdir(home / "inputs" / kind)
            assert finish(start(("fit", "in.h5ad", "-b", "batch", "-o", "model.h5ad"), str(home / "said"))) == 0
            for case in CASES:
                found = fill(case, chosen.sizes, home=home, room=room)
                print(json.dumps({"case": case.name, "stored by": kind, **found}), flush=True)  # noqa: T201
                wrong += found["wrong"]
        os.chdir("/")
    sys.exit(int(wrong > 0))


if __name__ == "__main__":
    run()
