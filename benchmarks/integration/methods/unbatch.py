"""Our embedding."""

import numpy as np
from anndata import AnnData


def embed(adata: AnnData, *, seed: int) -> np.ndarray:  # noqa: ARG001 - the fit was made with it
    """Give `obsm["X_unbatch"]` of the fit."""
    return adata.obsm["X_unbatch"]
