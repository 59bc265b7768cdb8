"""Scanorama (Hie et al., 2019), with its defaults but the number of dimensions."""

import numpy as np
import scanorama
from anndata import AnnData

from integration.methods._common import log_normalised, n_dims


def embed(adata: AnnData, *, seed: int) -> np.ndarray:
    """Integrate the batches, one data set each, and put the cells back in their order."""
    data = log_normalised(adata)
    batch = data.obs["batch"].to_numpy()
    rows = [np.flatnonzero(batch == name) for name in data.obs["batch"].unique()]
    parts = [data[row].copy() for row in rows]
    scanorama.integrate_scanpy(parts, dimred=n_dims(data), seed=seed, verbose=0)
    found = np.concatenate([part.obsm["X_scanorama"] for part in parts])
    return found[np.argsort(np.concatenate(rows))]
