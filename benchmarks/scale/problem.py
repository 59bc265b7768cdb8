"""The files to measure on: made once by ``unbatch simulate``, with a gzip copy of the same counts."""

import sys
from pathlib import Path

import h5py

from scale.measure import run

N_TYPES = 12
_ROWS = 2**22
_SPARSE = ("data", "indices", "indptr")


def simulate_command(path: Path, *, n_cells: int, n_genes: int, n_batches: int, depth: float) -> list[str]:
    """Give the command that makes the file, uncompressed."""
    command = [sys.executable, "-m", "unbatch", "simulate", "--output", str(path), "--compression", "none", "--quiet"]
    sizes = {"n-cells": n_cells, "n-genes": n_genes, "n-batches": n_batches, "n-types": N_TYPES, "median-depth": depth}
    spread = {"composition": 0.5, "log-delta-sd": 0.5, "size-factor-sd": 0.3, "seed": 1}
    return command + [part for name, value in (sizes | spread).items() for part in (f"--{name}", str(value))]


def make(folder: Path, *, n_cells: int, n_genes: int, n_batches: int, depth: float) -> dict[str, Path]:
    """Make the files of one size, unless they are there, and give them by how they are stored."""
    name = f"{n_cells}x{n_genes}x{n_batches}"
    plain, packed = folder / f"{name}.h5ad", folder / f"{name}-gzip.h5ad"
    if not plain.exists():
        run(simulate_command(plain, n_cells=n_cells, n_genes=n_genes, n_batches=n_batches, depth=depth))
    if not packed.exists():
        _pack(plain, packed)
    return {"uncompressed": plain, "gzip": packed}


def non_zeros(path: Path) -> int:
    """Count the stored values."""
    with h5py.File(path, "r") as file:
        return int(file["X/data"].shape[0])


def _pack(plain: Path, packed: Path) -> None:
    """Copy a file with its counts compressed as AnnData's ``write_h5ad(compression="gzip")`` does: gzip 4."""
    unfinished = packed.with_suffix(".part")
    with h5py.File(plain, "r") as source, h5py.File(unfinished, "w") as target:
        target.attrs.update(source.attrs)
        for key in source:
            if key != "X":
                source.copy(key, target)
        group = target.create_group("X")
        group.attrs.update(source["X"].attrs)
        for key in _SPARSE:
            values = source["X"][key]
            copy = group.create_dataset(key, values.shape, values.dtype, chunks=True, compression="gzip")
            for start in range(0, len(values), _ROWS):
                copy[start : start + _ROWS] = values[start : start + _ROWS]
    unfinished.replace(packed)
