"""Our embedding."""

import numpy as np
from anndata import AnnData

import unbatch as ub


def embed(adata: AnnData, *, seed: int) -> np.ndarray:
    """Give `obsm["X_unbatch"]` of a fit with the defaults."""
    ub.tl.batch_effects(adata, batch_key="batch", seed=seed)
    return adata.obsm["X_unbatch"]
