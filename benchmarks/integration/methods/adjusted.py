"""Our adjusted counts, for `adjusted_pca`."""

from anndata import AnnData

import unbatch as ub


def embed(adata: AnnData, *, seed: int) -> AnnData:
    """Give the data with adjusted counts in X."""
    ub.tl.batch_effects(adata, batch_key="batch", seed=seed)
    ub.pp.adjust_counts(adata)
    return AnnData(adata.layers["adjusted"], obs=adata.obs, var=adata.var[[]])
