"""The figures of a fitted AnnData: read the slots, draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unbatch import slots
from unbatch._check import InputError
from unbatch.pl import _style
from unbatch.pl._cells import cells, cells_by_value
from unbatch.pl._effects import effects_heatmap
from unbatch.pl._support import balance_heatmap, support_heatmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

BETWEEN_KEYS = " | "
"""What joins the levels of several batch columns to the name of a batch."""


def batch_effects(adata: AnnData, *, n_genes: int = 30, ax: Axes | None = None) -> Axes:
    """Draw the strongest effects as a heat map of log2 delta; see :func:`effects_heatmap`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.
    n_genes
        How many genes to show; a larger number adds weaker effects.
    ax
        Axes to draw on; a new figure by default.

    Raises
    ------
    InputError
        If `adata` holds no fit.
    """
    record = slots.read_record(adata)
    return effects_heatmap(
        np.asarray(adata.varm[slots.EFFECTS], dtype=np.float64),
        np.asarray(adata.varm[slots.ERRORS], dtype=np.float64),
        genes=[str(gene) for gene in adata.var_names],
        batches=[str(batch) for batch in record["batches"]],
        n_genes=n_genes,
        ax=ax,
    )


def overlap(adata: AnnData, *, ax: Axes | None = None) -> Axes:
    """Draw how much of each batch has counterparts in each other batch; see :func:`support_heatmap`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote.
    ax
        Axes to draw on; a new figure by default.

    Raises
    ------
    InputError
        If `adata` holds no fit.
    """
    record = slots.read_record(adata)
    return support_heatmap(
        np.asarray(record["support"], dtype=np.float64), batches=[str(batch) for batch in record["batches"]], ax=ax
    )


def balance(adata: AnnData, *, ax: Axes | None = None) -> Axes:
    """Draw whether each pseudobulk sample holds the batches in the proportion of the data; see :func:`balance_heatmap`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.batch_effects` ran, or the file that ``unbatch fit`` wrote, with the batch columns of
        the fit still in ``obs``.
    ax
        Axes to draw on; a new figure by default.

    Raises
    ------
    InputError
        If `adata` holds no fit, or the batch columns of the fit are not in ``obs``.
    """
    record = slots.read_record(adata)
    batches = [str(name) for name in record["batches"]]
    batch = _batch_of_cells(adata, [str(key) for key in record["batch_key"]], batches)
    took_part = adata.obs[slots.SAMPLE].to_numpy() >= 0
    table = pd.crosstab(pd.Categorical(batch, batches)[took_part], adata.obs[slots.SAMPLE][took_part].to_numpy())
    cell_counts = table.reindex(batches, fill_value=0).to_numpy(dtype=np.float64)
    return balance_heatmap(cell_counts, batches=batches, ax=ax)


def embedding(
    adata: AnnData, color: str | Sequence[str], *, basis: str = slots.EMBEDDING, ax: Axes | None = None
) -> list[Axes]:
    """Draw the cells on the first two dimensions of an embedding, one axes per column of ``obs``.

    Parameters
    ----------
    adata
        Annotated data with ``obsm[basis]``.
    color
        Columns of ``obs``: numbers get a colour bar, everything else a legend.
    basis
        Which embedding; ``"X_unbatch"``, the default, has no batch in it. For a map of all its dimensions compute
        neighbours on it and draw ``"X_umap"``.
    ax
        Axes to draw on, for a single column; a new figure by default.

    Returns
    -------
    One axes per column.

    Raises
    ------
    InputError
        If the embedding or a column does not exist, or one axes is given for several columns.
    """
    columns = [color] if isinstance(color, str) else list(color)
    if basis not in adata.obsm:
        raise InputError(f"obsm has no embedding {basis!r}; it has {sorted(adata.obsm)}")
    lost = [column for column in columns if column not in adata.obs]
    if lost:
        raise InputError(f"obs has no column {lost[0]!r}; it has {sorted(adata.obs.columns)}")
    if ax is not None and len(columns) > 1:
        raise InputError(f"one axes was given for {len(columns)} columns: give one column, or no axes")
    places = np.asarray(adata.obsm[basis])[:, :2]
    axes = []
    for column in columns:
        here = _style.given_or_new_axes(ax, figsize=(4.4, 3.4))
        values = adata.obs[column]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            cells_by_value(places, values.to_numpy(dtype=np.float64), title=column, ax=here)
        else:
            cells(places, values.astype(str).tolist(), title=column, ax=here)
        here.set(xlabel=f"{basis} 1", ylabel=f"{basis} 2")
        axes.append(here)
    return axes


def _batch_of_cells(adata: AnnData, keys: list[str], batches: list[str]) -> list[str]:
    """Name of the batch of each cell, from the columns that the fit took it from."""
    if not keys:
        raise InputError("the fit took its batches from files or labels, not from obs: balance needs columns of obs")
    lost = [key for key in keys if key not in adata.obs]
    if lost:
        raise InputError(
            f"obs has no column {lost[0]!r}, which the fit took its batches from: put it back or fit again"
        )
    columns = [adata.obs[key].astype(str) for key in keys]
    names = [BETWEEN_KEYS.join(labels) for labels in zip(*columns, strict=True)]
    strangers = sorted(set(names) - set(batches))
    if strangers:
        raise InputError(
            f"obs has {len(strangers)} batches that the fit did not see (first: {strangers[0]!r}): fit again"
        )
    return names
