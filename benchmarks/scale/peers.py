"""What most people run today: scanpy's normalise, log1p, highly variable genes, PCA(30), then harmonypy.

python peers.py FILE        (needs scanpy and harmonypy)
"""

import sys

import harmonypy
import scanpy

if __name__ == "__main__":
    adata = scanpy.read_h5ad(sys.argv[1])
    scanpy.pp.normalize_total(adata, target_sum=1e4)
    scanpy.pp.log1p(adata)
    scanpy.pp.highly_variable_genes(adata, n_top_genes=2000, batch_key=None)
    scanpy.pp.pca(adata, n_comps=30)
    found = harmonypy.run_harmony(adata.obsm["X_pca"], adata.obs, "batch")
    print(found.Z_corr.shape)
