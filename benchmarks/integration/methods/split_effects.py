"""The effect that we claim between the two halves of a batch that was split at random. The truth is none."""

import pandas as pd
from anndata import AnnData

import unbatch as ub
from integration.probes import HALVES


def embed(adata: AnnData, *, seed: int) -> pd.DataFrame:  # noqa: ARG001 - the fit was made with it
    """Give, for each gene of which anything is known, the interval of the difference and its q-value."""
    halves = sorted(name for name in adata.obs["batch"].unique() if name.endswith(HALVES))
    table = ub.tl.rank_batch_genes(adata, batch=halves[0], versus=halves[1])
    known = table[table["se"] < float("inf")]
    return known[["gene", "log_delta", "lower", "upper", "qvalue"]]
