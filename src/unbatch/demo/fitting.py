"""Fit and adjust a data set of the demonstration through the same doors that users take."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

from unbatch import pp, slots, tl
from unbatch._types import CodeArray, Counts, FloatArray
from unbatch.io.sink import write_h5ad
from unbatch.stored_fit import as_anndata, read_slots

BATCH_KEY = "batch"


@dataclass(frozen=True, eq=False)
class Fitted:
    """Counts before and after, with the effects that lie between them."""

    adata: AnnData
    counts: Counts
    adjusted: Counts
    batch: CodeArray
    """(n_cells,), index into `batches`."""
    batches: tuple[str, ...]
    log_delta: FloatArray
    """(n_genes, n_batches), natural log."""

    @property
    def totals(self) -> FloatArray:
        """Total counts of every gene, (n_genes,)."""
        return np.asarray(self.counts.sum(axis=0), dtype=np.float64).ravel()


def fit(adata: AnnData, *, method: str, seed: int) -> Fitted:
    """Estimate batch effects and divide them out, on a copy of `adata`."""
    adata = adata.copy()
    tl.batch_effects(adata, batch_key=BATCH_KEY, method=method, seed=seed)
    pp.adjust_counts(adata)
    batches = tuple(str(name) for name in adata.uns[slots.RECORD]["batches"])
    code_of = {name: code for code, name in enumerate(batches)}
    return Fitted(
        adata=adata,
        counts=sparse.csr_array(adata.X),
        adjusted=sparse.csr_array(adata.layers["adjusted"]),
        batch=np.array([code_of[str(name)] for name in adata.obs[BATCH_KEY]], dtype=np.int32),
        batches=batches,
        log_delta=np.asarray(adata.varm[slots.EFFECTS], dtype=np.float64),
    )


def save(fitted: Fitted, path: Path) -> None:
    """Write everything but the counts, as ``unbatch fit`` does."""
    write_h5ad(path, as_anndata(read_slots(fitted.adata)))
