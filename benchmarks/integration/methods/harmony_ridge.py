"""Harmony with the ridge penalty of its first version, 1 for every batch, where harmonypy 2 estimates it."""

import harmonypy
import numpy as np
from anndata import AnnData

from integration.methods._common import log_normalised, principal_components


def embed(adata: AnnData, *, seed: int) -> np.ndarray:
    """Correct the principal components."""
    data = principal_components(log_normalised(adata))
    found = harmonypy.run_harmony(
        data.obsm["X_pca"], data.obs, "batch", lamb=1, random_state=seed, ncores=1, verbose=False
    )
    return found.Z_corr
