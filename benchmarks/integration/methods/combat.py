"""ComBat (Johnson et al., 2007) by scanpy, on the normalised counts."""

import numpy as np
import scanpy
from anndata import AnnData

from integration.methods._common import log_normalised, principal_components


def embed(adata: AnnData, *, seed: int) -> np.ndarray:  # noqa: ARG001 - nothing is drawn
    """Give the principal components of the corrected expression."""
    data = log_normalised(adata)
    data.X = data.X.toarray()
    scanpy.pp.combat(data, "batch")
    return principal_components(data).obsm["X_pca"]
