"""The raw counts that a fit in an AnnData is of: where it found them, or where they are now."""

import numpy as np
from anndata import AnnData
from scipy import sparse

from unbatch._check import InputError
from unbatch.fitted import BatchFit
from unbatch.io.source import CountSource, open_counts
from unbatch.slots import RECORD

_RAW = "raw"
_COMPARED = 1000
"""Cells whose counts are compared with adjusted ones."""


def open_raw(adata: AnnData, fit: BatchFit, *, layer: str | None = None) -> CountSource:
    """Open the raw counts of an AnnData that holds a fit.

    Parameters
    ----------
    adata
        The AnnData.
    fit
        What `unbatch.slots.read_slots` read from it.
    layer
        Where the raw counts are now; None for where the fit found them.

    Raises
    ------
    InputError
        If there is no such layer, or adjusted counts have taken the place of the raw ones.
    """
    where = fit.layer if layer is None else layer
    if where == _RAW and _lost_genes(adata):  # which raw keeps
        source = open_counts(AnnData(adata.raw[:, list(adata.var_names)].X, obs=adata.obs, var=adata.var))
    else:
        source = open_counts(adata, layer=where)
    for name in adata.uns[RECORD].get("adjusted", {}):
        if name in adata.layers and (where == name or _same(source, adata, name)):
            raise InputError(
                f"{source.description} holds the adjusted counts of layers[{name!r}], whose effects are taken out "
                "already: give the layer in which raw counts are (layer=...), or put them back"
            )
    return source


def _lost_genes(adata: AnnData) -> bool:
    return adata.raw is not None and not adata.isbacked and set(adata.var_names) < set(adata.raw.var_names)


def open_any(adata: AnnData) -> CountSource:
    """Open an AnnData of whose counts nothing is read, only the names of its cells and genes, and their annotation."""
    nothing = sparse.csr_array((adata.n_obs, adata.n_vars), dtype=np.float32)
    return open_counts(AnnData(nothing, obs=adata.obs, var=adata.var))


def _same(source: CountSource, adata: AnnData, name: str) -> bool:
    rows = np.unique(np.linspace(0, adata.n_obs - 1, min(_COMPARED, adata.n_obs)).astype(np.int64))
    here, adjusted = source.rows(rows), open_counts(adata, layer=name).rows(rows)
    if here.shape != adjusted.shape or not here.nnz:
        return False
    return bool((here != adjusted).nnz == 0)
