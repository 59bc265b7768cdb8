"""Simulated types with ambient counts, of which each batch has a share of its own, drawn at random."""

from typing import Any

import anndata
import numpy as np
from scipy import sparse

import unbatch as ub

_FIRST = 90000
"""Seed of the draws of the first set."""


def draw_ambient(number: int) -> tuple[dict[str, Any], anndata.AnnData]:
    """Draw options, simulate, and add ambient counts.

    Parameters
    ----------
    number
        Number of the set: the same gives the same cells and counts.

    Returns
    -------
    options
        What was drawn.
    adata
        Counts with `obs["batch"]`, `obs["cell_type"]` and `varm["log_delta_true"]`.
    """
    rng = np.random.default_rng(_FIRST + number)
    n_batches = int(rng.choice([2, 2, 3, 5]))
    chosen = {
        "n_batches": n_batches,
        "n_cells": int(rng.choice([400, 800, 1500])) * n_batches,
        "n_genes": int(rng.choice([600, 1500])),
        "n_types": int(rng.choice([3, 6, 10])),
        "composition": float(rng.choice([0.5, 2.0])),
        "median_depth": float(rng.choice([1000, 3000, 8000])),
        "marker_log_fold_sd": float(rng.choice([1.0, 2.0])),
        "variation": float(rng.choice([0.05, 0.2])),
        "log_delta_sd": float(rng.choice([0, 0.3, 0.6])),
    }
    shares = rng.uniform(0, float(rng.choice([0.05, 0.2])), n_batches)
    adata = ub.simulate(**chosen, seed=number)
    add_ambient(adata, shares, rng)
    return chosen | {"ambient": shares.round(3).tolist()}, adata


def add_ambient(adata: anndata.AnnData, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Add to each cell counts that are drawn from the mean of its batch: the share of its counts that they come to.

    Factors of genes in batches are in what is added, too. A gene has more of it in types that hardly express it than
    in others, so that batches differ by types' own factors besides.

    Parameters
    ----------
    adata
        Counts with `obs["batch"]`; `X` is replaced.
    shares
        (n_batches,) of each batch, from 0 to less than 1.
    rng
        Random numbers.
    """
    counts, batch = sparse.csr_matrix(adata.X), adata.obs["batch"].cat.codes.to_numpy()
    total = np.asarray(counts.sum(axis=1)).ravel()
    parts = []
    for code, share in enumerate(shares):
        mine = np.flatnonzero(batch == code)
        profile = np.asarray(counts[mine].sum(axis=0)).ravel()
        rate = share / (1 - share) * total[mine, None] * profile / profile.sum()
        parts.append((mine, sparse.csr_matrix(rng.poisson(rate).astype(counts.dtype))))
    order = np.argsort(np.concatenate([mine for mine, _ in parts]))
    adata.X = sparse.csr_matrix(counts + sparse.vstack([part for _, part in parts]).tocsr()[order])
