"""Many fits in one process, and several at once: ``python tests/faults/load.py --fits 20``.

Prints by how much memory (resident) and open files grew over so many fits, each from a file to a model and adjusted
counts, after some to warm up; and in how many of four threads and four processes, all at work at once, a fit came out
other than alone, to the bit.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import anndata
from threadpoolctl import threadpool_info

import unbatch as ub
from unbatch.io.sink import write_h5ad

from kills import digest  # isort: skip - beside this file

AT_ONCE = 4
_WARM = 5
_GROWTH = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident():
    """Give the memory of this process in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def handles():
    """Give the number of open files."""
    return len(list(Path("/proc/self/fd").iterdir()))


def fit(source, *, seed):
    """Fit and adjust the counts of a file, and say what came out, to the last bit."""
    adata = anndata.read_h5ad(source)
    ub.tl.batch_effects(adata, batch_key="batch", seed=seed)
    ub.pp.adjust_counts(adata)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.h5ad"
        write_h5ad(path, adata)
        ub.BatchModel.load(path)
        return digest(path)


def grow(source, n_fits):
    """Fit again and again; give by what share memory grew, how many files stayed open, and what the first came to."""
    alone = [fit(source, seed=seed) for seed in range(_WARM)]
    memory, files = resident(), handles()
    for seed in range(n_fits):
        fit(source, seed=seed)
    found = {
        "fits": n_fits,
        "resident_mb": memory // 10**6,
        "growth": resident() / memory - 1,
        "files": handles() - files,
    }
    return found, alone[:AT_ONCE]


def disagree(source, pool, alone):
    """Count the fits in a pool that come out other than alone."""
    with pool:
        return sum(
            one != other for one, other in zip(alone, pool.map(partial(_fit, source), range(AT_ONCE)), strict=True)
        )


def _fit(source, seed):
    return fit(source, seed=seed)


def settings():
    """Give the numbers of threads that libraries may use."""
    return [one["num_threads"] for one in threadpool_info()]


def run():
    """Do what the command line asks for, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=20)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--genes", type=int, default=200)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.h5ad"
        ub.simulate(n_cells=chosen.cells, n_genes=chosen.genes, n_batches=3, n_types=4, seed=1).write_h5ad(source)
        found, alone = grow(source, chosen.fits)
        before = settings()
        assert len(set(alone)) == AT_ONCE
        found["processes"] = disagree(source, ProcessPoolExecutor(AT_ONCE, mp_context=get_context("fork")), alone)
        found["threads"] = disagree(source, ThreadPoolExecutor(AT_ONCE), alone)
        found["settings"] = int(settings() != before)
    print(json.dumps(found))  # noqa: T201
    wrong = found["growth"] > _GROWTH or any(found[name] for name in ("files", "processes", "threads", "settings"))
    sys.exit(int(wrong))


if __name__ == "__main__":
    run()
