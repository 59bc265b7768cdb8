"""scVI (Lopez et al., 2018) by scvi-tools, on raw counts of the same genes, with its own number of epochs."""

import numpy as np
import scvi
from anndata import AnnData

from integration.methods._common import log_normalised


def embed(adata: AnnData, *, seed: int) -> np.ndarray:
    """Train with the defaults (400 epochs on sets of up to 20,000 cells) and give the mean latent position."""
    scvi.settings.seed = seed
    data = adata[:, log_normalised(adata).var_names].copy()
    scvi.model.SCVI.setup_anndata(data, batch_key="batch")
    model = scvi.model.SCVI(data)
    model.train(accelerator="cpu", enable_progress_bar=False)
    return model.get_latent_representation()
