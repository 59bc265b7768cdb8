"""Splits of real cells whose options are drawn at random: few types or all, batches alike or not, deep or shallow."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from accuracy.thinned import Effects, affect, list_sources, read_source, split, thin, thin_evenly

_FIRST = 91000
"""Seed of the draws of the first split."""
_FEWEST_COUNTS = 10
_OWN_SD = 0.25
"""Least standard deviation of effects where types have factors of their own besides."""


def draw_split(
    number: int, *, by_type: float = 0.0, data: Path | None = None
) -> tuple[dict[str, Any], anndata.AnnData]:
    """Draw cells of one real batch, split them into batches of other shares of types, and thin their counts.

    Without `by_type` the batches of a quarter of the splits differ by nothing but depth and shares of types.

    Parameters
    ----------
    number
        Number of the split: the same gives the same cells and counts.
    by_type
        Standard deviation of the log factors that types have of their own in each batch.
    data
        Folder of labelled .h5ad files beside the shipped one.

    Returns
    -------
    options
        What was drawn.
    adata
        Counts with `obs["batch"]`, `obs["cell_type"]` and `varm["log_delta_true"]`.

    Raises
    ------
    RuntimeError
        If no split was found in which shared types tie the batches together.
    """
    rng = np.random.default_rng(_FIRST + number)
    sources = list(dict.fromkeys(name.partition(":")[2] for name in list_sources(data)))
    chosen = {
        "source": str(rng.choice(sources)),
        "n_batches": int(rng.choice([2, 2, 3, 4])),
        "composition": float(rng.choice([0.3, 0.5, 1.0])),
        "n_types": int(rng.choice([2, 3, 4, 20])),
        "n_cells": int(rng.choice([400, 1000, 3000])),
        "sd": float(rng.choice([0, 0.25, 0.5, 0.8])),
        "share": float(rng.choice([1, 1, 0.1])),
        "depth_sd": float(rng.choice([0, 0.7])),
        "kept": float(rng.choice([1, 0.4])),
    }
    source = read_source(chosen["source"], data)
    types = rng.permutation(source.cell_type.max() + 1)[: chosen["n_types"]]
    cells = np.sort(rng.permutation(np.flatnonzero(np.isin(source.cell_type, types)))[: chosen["n_cells"]])
    cell_type = np.unique(source.cell_type[cells], return_inverse=True)[1].astype(np.int32)
    batch = split(cell_type, chosen["n_batches"], rng, concentration=chosen["composition"])
    counts = source.counts[cells]
    if chosen["kept"] < 1:
        counts = thin_evenly(counts, chosen["kept"], rng)
    how = Effects(share=chosen["share"], sd=chosen["sd"] * (1 if chosen["share"] == 1 else 2))
    if by_type:
        how = Effects(sd=max(how.sd, _OWN_SD), by_type=by_type)
    log_delta, counts = affect(counts, batch, cell_type, chosen["n_batches"], how, rng=rng)
    if chosen["depth_sd"]:
        depth = chosen["depth_sd"] * rng.standard_normal(chosen["n_batches"])
        counts = thin(counts, batch, np.tile(depth, (counts.shape[1], 1)), rng)
    enough = np.flatnonzero(counts.sum(axis=1) >= _FEWEST_COUNTS)
    adata = anndata.AnnData(sparse.csr_matrix(counts[enough]))
    adata.obs["batch"] = pd.Categorical([f"batch_{code}" for code in batch[enough]])
    adata.obs["cell_type"] = pd.Categorical([f"type_{code:02d}" for code in cell_type[enough]])
    adata.varm["log_delta_true"] = log_delta
    return chosen, adata
