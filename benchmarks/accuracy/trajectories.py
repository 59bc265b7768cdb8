"""Cells along branching paths, of which batches see other stretches: not the model of `unbatch.simulate`."""

from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

_FIRST = 70000
"""Seed of the draws of the first set."""
_TRUNK = 0.4
"""Where paths part."""
_STEPS = 3
"""Rises and falls of a gene along a path."""


def draw_trajectories(number: int) -> tuple[dict[str, Any], anndata.AnnData]:
    """Draw options, paths, and cells of batches, each of which has a window of time.

    Log rates of genes that change are sums of three sigmoids of time along the trunk, and of three more along the
    branch of the cell. In half of the sets two fifths of the cells are of three types that lie apart.

    Parameters
    ----------
    number
        Number of the set: the same gives the same cells and counts.

    Returns
    -------
    options
        What was drawn.
    adata
        Counts with `obs["batch"]`, `obs["cell_type"]` (trunk, branch or type) and `varm["log_delta_true"]`.
    """
    rng = np.random.default_rng(_FIRST + number)
    chosen = {
        "n_batches": int(rng.choice([2, 2, 3, 4])),
        "cells_of_batch": int(rng.choice([400, 800, 1500])),
        "n_genes": int(rng.choice([600, 1500])),
        "depth": float(rng.choice([1000, 3000, 8000])),
        "window": float(rng.choice([0.5, 0.7, 0.9])),
        "n_branches": int(rng.choice([1, 2, 3])),
        "change": float(rng.choice([0.7, 1.2])),
        "changing": float(rng.choice([0.2, 0.5])),
        "dispersion": float(rng.choice([0, 0.2])),
        "n_types": int(rng.choice([0, 3])),
        "log_delta_sd": float(rng.choice([0, 0.3, 0.6])),
    }
    n_genes, n_batches = chosen["n_genes"], chosen["n_batches"]
    batch = np.repeat(np.arange(n_batches), chosen["cells_of_batch"])
    begin = np.linspace(0, 1 - chosen["window"], n_batches)
    time = begin[batch] + chosen["window"] * rng.beta(1.3, 1.3, len(batch))
    changing = rng.random(n_genes) < chosen["changing"]
    log_rate, kind = _paths(rng, time, chosen["n_branches"], chosen["change"] * changing)
    if chosen["n_types"]:
        apart = np.flatnonzero(rng.random(len(batch)) < 0.4)
        own = rng.integers(chosen["n_types"], size=len(apart))
        shape = chosen["n_types"], n_genes
        log_rate[apart] = (1.5 * rng.standard_normal(shape) * (rng.random(shape) < 0.3))[own]
        kind[apart] = [f"type {code}" for code in own]
    rate = np.exp(log_rate + 1.5 * rng.standard_normal(n_genes))
    log_delta = chosen["log_delta_sd"] * rng.standard_normal((n_genes, n_batches))
    size = chosen["depth"] * np.exp(0.4 * rng.standard_normal(len(batch)))
    mean = rate / rate.sum(axis=1, keepdims=True) * np.exp(log_delta.T[batch]) * size[:, None]
    if chosen["dispersion"]:
        mean *= rng.gamma(1 / chosen["dispersion"], chosen["dispersion"], mean.shape)
    adata = anndata.AnnData(sparse.csr_matrix(rng.poisson(mean).astype(np.float32)))
    adata.obs["batch"] = pd.Categorical([f"batch_{code}" for code in batch])
    adata.obs["cell_type"] = pd.Categorical(kind)
    adata.varm["log_delta_true"] = log_delta
    return chosen, adata


def _paths(
    rng: np.random.Generator, time: np.ndarray, n_branches: int, change: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw log rates along trunk and branches, (n_cells, n_genes), and whose each cell is, (n_cells,)."""
    branch = rng.integers(n_branches, size=len(time))
    log_rate, kind = _along(rng, time, change), np.full(len(time), "trunk", dtype=object)
    for code in range(n_branches):
        mine = np.flatnonzero((branch == code) & (time > _TRUNK))
        since = (np.append(time[mine], _TRUNK) - _TRUNK) / (1 - _TRUNK)
        way = _along(rng, since, change)
        log_rate[mine] += way[:-1] - way[-1]  # branches begin where the trunk ends
        kind[mine] = f"branch {code}"
    return log_rate, kind


def _along(rng: np.random.Generator, time: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Draw sums of sigmoids of time, (n_cells, n_genes), whose heights have the standard deviation `change`."""
    total = np.zeros((len(time), len(change)))
    for _ in range(_STEPS):
        centre, width = rng.uniform(0.1, 0.9, len(change)), rng.uniform(0.1, 0.6, len(change))
        total += change * rng.standard_normal(len(change)) / (1 + np.exp((centre - time[:, None]) / width))
    return total
