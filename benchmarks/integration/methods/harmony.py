"""Harmony (Korsunsky et al., 2019) by harmonypy, with its defaults."""

import harmonypy
import numpy as np
from anndata import AnnData

from integration.methods._common import log_normalised, principal_components


def embed(adata: AnnData, *, seed: int) -> np.ndarray:
    """Correct the principal components. One core, so that the seed alone decides."""
    data = principal_components(log_normalised(adata))
    found = harmonypy.run_harmony(
        data.obsm["X_pca"], data.obs, "batch", random_state=seed, ncores=1, verbose=False
    ).Z_corr
    return found if len(found) == data.n_obs else found.T  # harmonypy before 0.1 gave dimensions x cells
