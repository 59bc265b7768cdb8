"""The raw counts that a fit in an AnnData is of: where it found them, or where they are now."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from unbatch._check import InputError
from unbatch.adjusting import Adjustment
from unbatch.core.adjust import AdjustOptions
from unbatch.fitted import BatchFit
from unbatch.io.source import CountSource, open_counts
from unbatch.slots import EARLIER, RECORD

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
        If there is no such layer, it has other genes than the AnnData, or adjusted counts have taken the place of raw
        ones.
    """
    where = fit.layer if layer is None else layer
    # raw keeps genes that were taken away, and the order that they had
    if where == _RAW and _RAW not in adata.layers and _can_be_chosen(adata):
        source = open_counts(AnnData(adata.raw[:, list(adata.var_names)].X, obs=adata.obs, var=adata.var))
    else:
        source = open_counts(adata, layer=where)
    if not source.var.index.equals(adata.var_names.astype(object)):
        raise InputError(
            f"{source.description} has {source.n_genes} genes and the AnnData {adata.n_vars}, or has them in another "
            "order: put the counts of its genes, in their order, into a layer and name it (layer=...); of a backed "
            "AnnData, read it into memory (adata.to_memory())"
        )
    for name, how in adata.uns[RECORD].get("adjusted", {}).items():
        if name in adata.layers and (where == name or _adjusted(source, adata, fit, name, how)):
            raise InputError(
                f"{source.description} holds the adjusted counts of layers[{name!r}], whose effects are taken out "
                "already: give the layer in which raw counts are (layer=...), or put them back"
            )
    return source


def _can_be_chosen(adata: AnnData) -> bool:
    """Tell whether raw holds the genes of the AnnData among others, or in another order."""
    if adata.raw is None or adata.isbacked or not adata.raw.var_names.is_unique:
        return False
    return not adata.raw.var_names.equals(adata.var_names) and set(adata.var_names) <= set(adata.raw.var_names)


def open_any(adata: AnnData) -> CountSource:
    """Open an AnnData of whose counts nothing is read, only the names of its cells and genes, and their annotation."""
    nothing = sparse.csr_array((adata.n_obs, adata.n_vars), dtype=np.float32)
    return open_counts(AnnData(nothing, obs=adata.obs, var=adata.var))


def _adjusted(source: CountSource, adata: AnnData, fit: BatchFit, name: str, how: Mapping[str, Any]) -> bool:
    """Tell whether counts are the adjusted ones of a layer: the same, though to adjust them would change them."""
    rows = np.unique(np.linspace(0, adata.n_obs - 1, min(_COMPARED, adata.n_obs)).astype(np.int64))
    here, there = source.rows(rows), open_counts(adata, layer=name).rows(rows)
    if here.shape != there.shape or not here.nnz or (here != there).nnz:
        return False
    if how.get(EARLIER, False):  # its effects have gone; to those of a fit of adjusted counts there is little left
        return True
    recorded = {field.name: how[field.name] for field in fields(AdjustOptions) if field.name in how}
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in recorded.items()}
    try:
        again = Adjustment(source, fit, options=AdjustOptions(**plain)).of_rows(rows, here)
    except InputError:  # batches or effects of states have gone since: all that is known is that the counts agree
        return True
    return bool((again != here).nnz)
