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

_RAW = ("raw", "raw.X")
_COMPARED = 1000
"""Cells whose counts are compared with adjusted ones."""


def open_own(adata: AnnData, *, layer: str | None, among_others: bool = False) -> CountSource:
    """Open the counts of the genes of an AnnData in their order, which raw may have in another.

    Parameters
    ----------
    adata
        The AnnData.
    layer
        Where the counts are, as in `unbatch.io.source.open_counts`.
    among_others
        Whether raw may have other genes besides.

    Raises
    ------
    InputError
        If there is no such layer, or raw lacks genes of the AnnData or has others, or is in a file with its genes in
        another order.
    """
    own = adata.var_names
    raw = adata.raw if layer in _RAW and layer not in adata.layers else None
    if raw is None or raw.var_names.equals(own):
        return open_counts(adata, layer=layer)
    missing = own.difference(raw.var_names)
    found = not len(missing) and (among_others or raw.n_vars == adata.n_vars)
    if found and not adata.isbacked and raw.var_names.is_unique:
        return open_counts(AnnData(raw[:, list(own)].X, obs=adata.obs, var=adata.var))
    if len(missing):
        what = f"lacks {len(missing)} of the {adata.n_vars} genes of adata (first: {missing[0]!r})"
    else:
        what = "has the genes of adata in another order" if found else f"has {raw.n_vars} genes, adata {adata.n_vars}"
    cure = (
        "read adata into memory (adata.to_memory())"
        if found
        else "run on adata.raw.to_adata(), or put the counts of these genes into a layer and name it"
    )
    raise InputError(f"layer {layer!r} {what}: {cure}")


def open_raw(adata: AnnData, fit: BatchFit, *, layer: str | None = None) -> CountSource:
    """Open the raw counts of an AnnData that holds a fit.

    Parameters
    ----------
    adata
        The AnnData.
    fit
        What `unbatch.stored_fit.read_slots` read from it.
    layer
        Where the raw counts are now; None for where the fit found them.

    Raises
    ------
    InputError
        If there is no such layer, it has other genes than the AnnData, or adjusted counts have taken the place of raw
        ones.
    """
    where = fit.layer if layer is None else layer
    source = open_own(adata, layer=where, among_others=True)  # raw keeps genes that were taken away
    for name, how in adata.uns[RECORD].get("adjusted", {}).items():
        if name in adata.layers and (where == name or _adjusted(source, adata, fit, name, how)):
            raise InputError(
                f"{source.description} holds the adjusted counts of layers[{name!r}], whose effects are taken out "
                "already: give the layer in which raw counts are (layer=...), or put them back"
            )
    return source


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
