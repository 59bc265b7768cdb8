"""What an ill input is, and a sound one to spoil."""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
from scipy import sparse

import unbatch as ub

N_CELLS, N_GENES = 60, 15
COMMANDS = ("fit", "inspect", "adjust", "map", "factors", "offsets")


@dataclass(frozen=True)
class Ill:
    """A way in which input can be bad: how to make it, what must be said of it, and which commands must refuse it."""

    make: Callable[[Path], Path]
    words: tuple[str, ...]
    commands: tuple[str, ...] = COMMANDS


@functools.cache
def sound() -> ad.AnnData:
    """60 cells x 15 genes in two batches; not to be changed."""
    return ub.simulate(n_cells=N_CELLS, n_genes=N_GENES, n_batches=2, seed=6)


@functools.cache
def sound_bytes() -> bytes:
    """The same as the content of an .h5ad file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.h5ad"
        sound().write_h5ad(path)
        return path.read_bytes()


def sound_file(folder: Path) -> Path:
    """The same as a file."""
    path = folder / "in.h5ad"
    path.write_bytes(sound_bytes())
    return path


def spoilt(change: Callable[[ad.AnnData], Any]) -> Callable[[Path], Path]:
    """An .h5ad written of a changed AnnData; what `change` gives back, if anything, is taken in its place."""

    def make(folder: Path) -> Path:
        adata = sound().copy()
        changed = change(adata)
        (adata if changed is None else changed).write_h5ad(folder / "in.h5ad")
        return folder / "in.h5ad"

    return make


def edited(change: Callable[[h5py.File], Any]) -> Callable[[Path], Path]:
    """An .h5ad whose HDF5 was tampered with."""

    def make(folder: Path) -> Path:
        path = sound_file(folder)
        with h5py.File(path, "a") as file:
            change(file)
        return path

    return make


def replaced(name: str, change: Callable[[np.ndarray[Any, Any]], Any], **options: Any) -> Callable[[Path], Path]:
    """An .h5ad with an array of another length or type."""

    def change_file(file: h5py.File) -> None:
        attributes, values = dict(file[name].attrs), change(file[name][()])
        del file[name]
        file.create_dataset(name, data=values, **options)
        file[name].attrs.update(attributes)

    return edited(change_file)


def with_values(change: Callable[[np.ndarray[Any, Any]], Any], form: Any = sparse.csr_matrix) -> Callable[[Path], Path]:
    """An .h5ad with other counts."""

    def change_counts(adata: ad.AnnData) -> None:
        adata.X = form(change(adata.X.toarray().astype(np.float64)))

    return spoilt(change_counts)
