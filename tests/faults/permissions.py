"""Run commands as a user who may not: ``python tests/faults/permissions.py``.

Prints for each case the exit code, what was said, and whether every file is as before. The commands run in forks, which
give up being root if that is what they are: nothing is forbidden to it.
"""

import atexit
import contextlib
import json
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import unbatch as ub
from unbatch.__main__ import main
from unbatch.io import stored

from kills import finish, load, names, raw, remove  # isort: skip - beside this file

NOBODY = 65534
FIT = ("fit", "in.h5ad", "-b", "batch", "-o", "out.h5ad", "--quiet")
CASES = {
    "input": (FIT, "in.h5ad", 0o000),
    "input store": (("inspect", "in.zarr", "-b", "batch"), "in.zarr", 0o000),
    "input folder": (("inspect", "locked/in.h5ad", "-b", "batch"), "locked", 0o000),
    "model": (("adjust", "in.h5ad", "-m", "model.h5ad", "-o", "out.h5ad"), "model.h5ad", 0o000),
    "output folder of fit": ((*FIT[:4], "-o", "locked/out.h5ad", "--quiet"), "locked", 0o555),
    "output folder of adjust": (("adjust", "in.h5ad", "-m", "model.h5ad", "-o", "locked/out.zarr"), "locked", 0o555),
    "scratch": (("adjust", "in.h5ad", "-m", "model.h5ad", "-o", "out.h5ad", "--scratch", "locked"), "locked", 0o555),
}
"""Name: the command, and what is closed in which way before it."""
LOADED = ("input store", "output folder of adjust", "scratch")
"""Cases that with a fit load all that any case needs."""


@contextlib.contextmanager
def temporary_folder():
    """Make a folder that goes at the end, but not when a fork ends, as one of `tempfile.TemporaryDirectory` does."""
    path = tempfile.mkdtemp()
    try:
        yield path
    finally:
        shutil.rmtree(path)


def not_measured():
    """Keep coverage, if this is measured, from writing where nobody may not, and from saying that it could not."""
    measuring = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current()
    if measuring:
        measuring.stop()
        atexit.unregister(measuring._atexit)


def start(arguments, said, *, nobody=False):
    """Run a command in a fork, as nobody in particular if root is not to, and give its process number."""
    process = os.fork()
    if process == 0:
        code = 70
        try:
            for stream in (1, 2):
                os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), stream)
            if nobody and os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                not_measured()
            sys.argv = ["unbatch", *arguments]
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
        except BaseException:  # noqa: BLE001 - a traceback is what must not be
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()  # as a process of its own would: scratch files go then
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    return process


def contents(folder):
    """Give what is in a folder, to the last byte."""
    return {name: raw(folder / name) for name in names(folder)}


def run():
    """Try each case, and print what came of it."""
    warnings.simplefilter("ignore")
    stored.TURN_IN_MEMORY = -1  # what is stored by column goes through a scratch file
    with temporary_folder() as home:
        folder, said = Path(home) / "work", str(Path(home) / "said")
        (folder / "locked").mkdir(parents=True)
        for path in (home, folder):
            Path(path).chmod(0o777)
        os.chdir(folder)
        adata = ub.simulate(n_cells=100, n_genes=20, n_batches=2, seed=1)
        adata.X = adata.X.tocsc()
        adata.write_h5ad("in.h5ad")
        adata.write_zarr("in.zarr")
        shutil.copy("in.h5ad", "locked/in.h5ad")
        # here, for nobody might not be allowed to read an installation in the home of root
        for arguments in ((*FIT[:4], "-o", "model.h5ad"), *(CASES[name][0] for name in LOADED)):
            load(arguments)
        remove(Path("locked/out.zarr"))
        Path("out.h5ad").write_text("old")
        Path("out.h5ad").chmod(0o666)
        for name, (arguments, closed, mode) in CASES.items():
            before, usual = contents(folder), Path(closed).stat().st_mode
            Path(closed).chmod(mode)
            code = finish(start(arguments, said, nobody=True))
            Path(closed).chmod(usual)
            found = {"case": name, "exit": code, "said": Path(said).read_text(), "same": contents(folder) == before}
            print(json.dumps(found), flush=True)  # noqa: T201
        os.chdir("/")


if __name__ == "__main__":
    run()
