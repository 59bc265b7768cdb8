"""Measure how much faster two workers of a Dask cluster make the first pass over a file than one.

    python benchmarks/dask_scaling.py [--file FILE.h5ad --batch-key batch] [--cells 200000] [--repeats 5]

The first pass of a fit checks and sums all counts and keeps a sketch of the cells. Workers are processes with one
thread each. Both clusters run before the clock starts, take turns, and each has read the file once before; the other
idles. Without a file, one is made: gzip, 20,000 genes, about 1,000 values in each cell.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster
from scipy import sparse

from unbatch.io.batches import Batches, read_batches
from unbatch.io.cluster import DaskDriver
from unbatch.io.reduce import AnyAccumulator, Driver, LocalDriver
from unbatch.io.source import CountSource, open_counts
from unbatch.methods import MatchedOptions
from unbatch.model import BatchModel

DEPTH = 1300
"""Counts of a cell: with the genes below, about 1,000 of them differ."""
N_GENES = 20_000
N_BATCHES = 20
PIECE = 10_000


def make_file(path: Path, *, n_cells: int, seed: int = 0) -> None:
    """Write counts whose genes differ in frequency as real ones do, without structure among cells."""
    rng = np.random.default_rng(seed)
    rates = np.cumsum(rng.lognormal(0, 1.5, N_GENES))
    rates /= rates[-1]
    pieces = []
    for _ in range(0, n_cells, PIECE):
        genes = np.searchsorted(rates, rng.random(PIECE * DEPTH))
        cells = np.repeat(np.arange(PIECE), DEPTH)
        ones = np.ones(len(genes), dtype=np.float32)
        pieces.append(sparse.csr_matrix((ones, (cells, genes)), shape=(PIECE, N_GENES)))
    counts = sparse.vstack(pieces, format="csr")[:n_cells]
    obs = pd.DataFrame({"batch": rng.integers(0, N_BATCHES, n_cells).astype(str)}, index=np.arange(n_cells).astype(str))
    ad.AnnData(counts, obs=obs).write_h5ad(path, compression="gzip")


class _PassedError(Exception):
    """The first pass is done."""


@dataclass
class Timed:
    """A driver that takes the time of another one's first pass, and lets nothing come after it."""

    driver: Driver
    seconds: float = 0.0

    def reduce(
        self,
        source: CountSource,
        accumulator: AnyAccumulator,
        *,
        block_size: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> AnyAccumulator:
        """Walk, and stop the fit."""
        start = time.perf_counter()
        self.driver.reduce(source, accumulator, block_size=block_size, progress=progress)
        self.seconds = time.perf_counter() - start
        raise _PassedError


def first_pass(source: CountSource, batches: Batches, driver: Driver, *, sketch_size: int) -> float:
    """Give the seconds of the first pass of a fit by the default method."""
    timed = Timed(driver)
    with suppress(_PassedError):
        BatchModel(method=MatchedOptions(sketch_size=sketch_size)).fit_source(source, batches, driver=timed)
    return timed.seconds


@contextmanager
def cluster_of(n_workers: int) -> Iterator[DaskDriver]:
    """Start workers."""
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", memory_limit=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(n_workers)
        yield DaskDriver(client)


def measure(
    path: Path, batch_key: str, *, workers: list[int], repeats: int, sketch_size: int
) -> dict[str, list[float]]:
    """Give the seconds of each repeat, by driver; they take turns."""
    source = open_counts(path)
    batches = read_batches(source, batch_key)
    with ExitStack() as stack:
        drivers: dict[str, Driver] = {"this process": LocalDriver()}
        for n_workers in workers:
            drivers[f"{n_workers} worker{'s' * (n_workers > 1)}"] = stack.enter_context(cluster_of(n_workers))
        seconds: dict[str, list[float]] = {name: [] for name in drivers}
        for repeat in range(repeats + 1):
            for name, driver in drivers.items():
                taken = first_pass(source, batches, driver, sketch_size=sketch_size)
                if repeat:  # the first has compiled, and filled the cache of the disk
                    seconds[name].append(taken)
                else:
                    print(f"{name}: {source.n_cells:,} cells, warm-up {taken:.1f} s", flush=True)
            if repeat:
                last = ", ".join(f"{name} {taken[-1]:.2f} s" for name, taken in seconds.items())
                print(f"{last} (load {os.getloadavg()[0]:.1f})", flush=True)
    return seconds


def report(seconds: dict[str, list[float]], *, baseline: str) -> str:
    """Write the table: median and range of the seconds, and of the ratio to the baseline within a repeat."""
    lines = ["| driver | seconds: median (range) | times as fast: median (range) |", "|---|---|---|"]
    for name, taken in seconds.items():
        ratios = [base / one for base, one in zip(seconds[baseline], taken, strict=True)]
        cells = [f"{statistics.median(some):.2f} ({min(some):.2f}-{max(some):.2f})" for some in (taken, ratios)]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--file", type=Path, help=".h5ad to read (default: one is made)")
    parser.add_argument("--batch-key", default="batch", help="obs column with the batch")
    parser.add_argument("--cells", type=int, default=200_000, help="cells of the file that is made")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers to compare")
    parser.add_argument(
        "--sketch-size", type=int, default=10_000, help="as much of 200,000 cells as the default is of a million"
    )
    parser.add_argument("--repeats", type=int, default=5, help="times that each is measured")
    given = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "made.h5ad"
        if given.file is None:
            make_file(path, n_cells=given.cells)
        seconds = measure(
            path, given.batch_key, workers=given.workers, repeats=given.repeats, sketch_size=given.sketch_size
        )
    print(report(seconds, baseline=f"{given.workers[0]} worker{'s' * (given.workers[0] > 1)}"))
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
