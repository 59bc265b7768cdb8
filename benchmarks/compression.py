"""Measure how small and how fast the ways to store a sparse matrix are, raw and with batch effects taken out.

    python benchmarks/compression.py [FILE.h5ad]

Without a file, simulated counts are used. With one, X must be raw counts; the effects are drawn at random.
"""

import sys
import tempfile
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import zarr
from scipy import sparse

import unbatch as ub
from unbatch._types import Counts
from unbatch.core.adjust import adjust_counts

GZIP_1 = {"compression": "gzip", "compression_opts": 1}
GZIP_4 = {"compression": "gzip", "compression_opts": 4}
WAYS: dict[str, tuple[int, dict[str, object] | None]] = {
    "none": (2**17, {}),
    "lzf": (2**17, {"compression": "lzf"}),
    "lzf, shuffle": (2**17, {"compression": "lzf", "shuffle": True}),
    "gzip 4": (2**17, GZIP_4),
    "gzip 4, shuffle": (2**17, {**GZIP_4, "shuffle": True}),
    "gzip 1": (2**17, GZIP_1),
    "gzip 1, shuffle": (2**17, {**GZIP_1, "shuffle": True}),
    "gzip 1, shuffle, chunks of 2^10": (2**10, {**GZIP_1, "shuffle": True}),
    "gzip 1, shuffle, chunks of 2^14": (2**14, {**GZIP_1, "shuffle": True}),
    "gzip 1, shuffle, chunks of 2^20": (2**20, {**GZIP_1, "shuffle": True}),
    "zarr as it comes, chunks of 2^20": (2**20, None),
}
"""Values per chunk, and the options of h5py, or None for zarr."""
ARRAYS = ("data", "indices")
REPEATS = 3


def matrices(counts: Counts) -> dict[str, Counts]:
    """Give the counts, and the same with effects (log normal, sd 0.5) on two batches taken out."""
    rng = np.random.default_rng(0)
    delta = np.exp(rng.normal(0, 0.5, (counts.shape[1], 2)))
    batch = rng.integers(0, 2, counts.shape[0]).astype(np.int32)
    return {"counts": counts, "adjusted": adjust_counts(counts, delta, batch)}


def measure(matrix: Counts, chunk: int, options: dict[str, object] | None) -> tuple[float, float, float]:
    """Store and load values and columns; give bits per value, and millions of values per second both ways."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix"
        for _ in range(REPEATS):
            start = time.perf_counter()
            store(path, matrix, chunk, options)
            middle = time.perf_counter()
            loaded = load(path, options)
            times.append((middle - start, time.perf_counter() - middle))
        files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
        n_bytes = sum(found.stat().st_size for found in files)
    if not all(np.array_equal(loaded[name], getattr(matrix, name)) for name in ARRAYS):
        raise AssertionError(f"what was read is not what was written, chunk {chunk}, {options}")
    write, read = matrix.nnz / np.min(times, axis=0) / 1e6
    return 8 * n_bytes / matrix.nnz, write, read


def store(path: Path, matrix: Counts, chunk: int, options: dict[str, object] | None) -> None:
    """Write the arrays of a CSR matrix."""
    if options is None:
        root = zarr.open_group(path, mode="w", zarr_format=2)
        for name in ARRAYS:
            root.create_array(name, data=getattr(matrix, name), chunks=(chunk,))
        return
    with h5py.File(path, "w") as file:
        for name in ARRAYS:
            chunks = (min(chunk, matrix.nnz),)
            file.create_dataset(name, data=getattr(matrix, name), chunks=chunks, **options)


def load(path: Path, options: dict[str, object] | None) -> dict[str, np.ndarray]:
    """Read them back."""
    if options is None:
        group = zarr.open_group(path, mode="r")
        return {name: group[name][:] for name in ARRAYS}
    with h5py.File(path) as file:
        return {name: file[name][:] for name in ARRAYS}


def main(arguments: list[str]) -> None:
    """Print the table."""
    if arguments:
        counts = sparse.csr_array(anndata.read_h5ad(arguments[0]).X, dtype=np.float32)
        counts.sort_indices()
    else:
        adata = ub.simulate(n_genes=5000, n_cells=5000, n_types=8, n_batches=2, median_depth=3000)
        counts = sparse.csr_array(adata.X)
    print("| matrix | stored as | bits per value | written, M values/s | read, M values/s |\n|---|---|---|---|---|")
    for label, matrix in matrices(counts).items():
        for name, (chunk, options) in WAYS.items():
            bits, write, read = measure(matrix, chunk, options)
            print(f"| {label} | {name} | {bits:.1f} | {write:.0f} | {read:.0f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
