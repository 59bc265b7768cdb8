"""What most people do before they integrate; the same for every method that starts from normalised counts."""

import scanpy
from anndata import AnnData

N_GENES = 2000
N_DIMS = 30


def log_normalised(adata: AnnData) -> AnnData:
    """Scale cells to 10,000 counts, take log1p, keep the 2,000 genes that vary most batch by batch."""
    data = adata.copy()
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    n_genes = min(N_GENES, data.n_vars)
    scanpy.pp.highly_variable_genes(data, n_top_genes=n_genes, batch_key="batch")
    return data[:, data.var["highly_variable"]].copy()


def n_dims(data: AnnData) -> int:
    """Give 30 dimensions, or as many as there can be."""
    return min(N_DIMS, data.n_vars - 1, data.n_obs - 1)


def principal_components(data: AnnData) -> AnnData:
    """Set `obsm["X_pca"]` and give the data back."""
    scanpy.pp.pca(data, n_comps=n_dims(data), random_state=0)
    return data
