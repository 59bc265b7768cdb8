"""Counts adjusted by unbatch, then what most people do with counts."""

import numpy as np
from anndata import AnnData

from integration.methods._common import log_normalised, principal_components


def embed(adata: AnnData, *, seed: int) -> np.ndarray:  # noqa: ARG001 - the fit was made with it
    """Give the principal components of the normalised adjusted counts."""
    return principal_components(log_normalised(adata)).obsm["X_pca"]
