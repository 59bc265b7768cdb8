"""No correction at all: what the others start from."""

import numpy as np
from anndata import AnnData

from integration.methods._common import log_normalised, principal_components


def embed(adata: AnnData, *, seed: int) -> np.ndarray:  # noqa: ARG001 - nothing is drawn
    """Give the principal components of the normalised counts."""
    return principal_components(log_normalised(adata)).obsm["X_pca"]
