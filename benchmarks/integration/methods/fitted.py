"""Our fit, once for all that is taken from it."""

from anndata import AnnData

import unbatch as ub


def embed(adata: AnnData, *, seed: int) -> AnnData:
    """Give the data with adjusted counts in X, and what a fit with the defaults sets."""
    ub.tl.batch_effects(adata, batch_key="batch", seed=seed)
    ub.pp.adjust_counts(adata)
    adata.X = adata.layers.pop("adjusted")
    return adata
