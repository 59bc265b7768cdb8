"""Figure: the cells of a fitted AnnData in the plane, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from unbatch import slots
from unbatch._check import InputError
from unbatch._levels import MISSING, levels_of
from unbatch.pl import _record, _style
from unbatch.pl._cells import cells, cells_by_value
from unbatch.pl._fitted import batch_of_cells, check_kind
from unbatch.pl._layout import tsne
from unbatch.pl._names import legible
from unbatch.sampled_cells import find_sampled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from unbatch._types import FloatArray, IntArray

LAID_OUT = 5000
"""Cells that t-SNE lays out at most; of more, a sample is drawn."""
_KEPT = ("before", "after")
_MOST_ACROSS = 3
_PANEL = (4.4, 3.4)


def embedding(
    adata: AnnData,
    color: str | Sequence[str] | None = None,
    *,
    basis: str | Sequence[str] = slots.EMBEDDING,
    layout: Literal["dimensions", "tsne"] = "dimensions",
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw the cells in the plane, a panel for each colouring and each embedding.

    Parameters
    ----------
    adata
        Annotated data with an embedding; for ``"before"`` and ``"after"`` a fit with diagnostics.
    color
        Columns of ``obs``: numbers get a colour bar, everything else a legend, with categories in their order, other
        labels by name, and cells without a label as ``(missing)``. A categorical column has the colours of
        ``uns["<column>_colors"]``, one for each category, where scanpy or you have put them there. None for the batches
        of the fit, each in the colour that it has in every figure.
    basis
        Names of ``obsm``; ``"X_unbatch"``, the default, has no batch in it. ``"before"`` and ``"after"`` are the
        coordinates, without correction and with it, of the cells that the diagnostics sampled (at most 5,000):
        ``basis=["before", "after"]`` draws them side by side, one row per colouring. So does
        ``basis=["X_pca", "X_umap"]``.
    layout
        ``"dimensions"``: the first two. ``"tsne"``: an embedding of more than two is laid out by t-SNE, which takes
        about half a minute for 5,000 cells; of more, 5,000 are drawn at random. The same on every machine.
    ax
        Axes to draw on, as many as there are panels; a new figure by default.

    Returns
    -------
    One axes per panel, row by row.

    Raises
    ------
    InputError
        If an embedding or a column does not exist, cells were taken away since the diagnostics were made, or there are
        more or fewer axes than panels.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> axes = ub.pl.embedding(adata, ["batch", "cell_type"], basis=["before", "after"])
    >>> len(axes)
    4
    """
    check_kind(layout, ("dimensions", "tsne"))
    columns: list[str | None] = [color] if color is None or isinstance(color, str) else list(color)
    bases = [basis] if isinstance(basis, str) else list(basis)
    lost = [column for column in columns if column is not None and column not in adata.obs]
    if lost:
        raise InputError(f"obs has no column {lost[0]!r}; it has {sorted(map(str, adata.obs.columns))}")
    panels = _panels(ax, n_rows=len(columns), n_columns=len(bases))
    shown = {name: _places(adata, name, layout=layout, columns=columns) for name in dict.fromkeys(bases)}
    for row, column in enumerate(columns):
        for place, name in enumerate(bases):
            here = panels[row * len(bases) + place]
            places, rows, axis = shown[name]
            _draw(adata, column, name, places, rows, ax=here)
            if len(bases) > 1:
                above = here.get_title()
                here.set_title(legible(name) + (f": {above}" if above else ""), parse_math=False)
            here.set_xlabel(f"{axis} 1", parse_math=False)
            here.set_ylabel(f"{axis} 2", parse_math=False)
            legend = here.get_legend()
            if legend is not None and place < len(bases) - 1:
                legend.remove()
    if ax is None:
        _style.widen_for_legends(panels[0])
    return panels


def _panels(ax: Axes | Sequence[Axes] | None, *, n_rows: int, n_columns: int) -> list[Axes]:
    n_panels = n_rows * n_columns
    if ax is None:
        import matplotlib.pyplot as plt

        if n_columns == 1:
            n_columns = min(n_panels, _MOST_ACROSS)
            n_rows = -(-n_panels // n_columns)
        size = (_PANEL[0] * n_columns, _PANEL[1] * n_rows)
        figure, grid = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
        _style.leave_margin(figure)
        made: list[Axes] = list(grid.ravel())
        for spare in made[n_panels:]:
            figure.delaxes(spare)
        return made[:n_panels]
    given = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(given) != n_panels:
        n_given = "one axes was" if len(given) == 1 else f"{len(given)} axes were"
        raise InputError(f"{n_given} given for {n_panels} panels: give as many as panels, or none")
    return given


def _places(
    adata: AnnData, basis: str, *, layout: str, columns: Sequence[str | None]
) -> tuple[FloatArray, IntArray, str]:
    """Coordinates of cells, (n_shown, 2), which sampled cells or rows of obs they are, and the name of the axes."""
    if basis in _KEPT:
        table = _record.read_table(adata, "cells")
        values = _record.read_array(adata, basis).reshape(len(table), -1)
        rows = np.arange(len(table))
        gone = int((_sampled_rows(adata) < 0).sum())
        if any(column is not None for column in columns) and gone:
            n_fitted = int(np.sum(slots.read_record(adata)["batch_sizes"]))
            raise InputError(
                f"the diagnostics sampled {len(rows)} of the {n_fitted} cells of the fit, of which {gone} "
                f"cannot be found by name among the {adata.n_obs} that are left: colour by None, the batches of the "
                "fit, or draw an embedding of obsm"
            )
    elif basis in adata.obsm:
        values, rows = np.asarray(adata.obsm[basis]), np.arange(adata.n_obs)
    else:
        cure = ": a fit of effects only does not place cells" if basis == slots.EMBEDDING else ""
        raise InputError(
            f"obsm has no embedding {basis!r}; it has {sorted(adata.obsm)}, and fits with diagnostics have 'before' "
            f"and 'after'{cure}"
        )
    if values.shape[1] < 2:  # noqa: PLR2004 - a plane has two
        raise InputError(f"the embedding {basis!r} has {values.shape[1]} dimensions: a figure needs 2")
    if layout == "tsne" and values.shape[1] > 2:  # noqa: PLR2004
        if len(values) > LAID_OUT:
            chosen = np.sort(np.random.default_rng(0).choice(len(values), LAID_OUT, replace=False))
            values, rows = values[chosen], rows[chosen]
        return tsne(np.asarray(values, dtype=np.float64), seed=0), rows, "t-SNE"
    return np.asarray(values[:, :2], dtype=np.float64), rows, basis if basis not in _KEPT else "dimension"


def _sampled_rows(adata: AnnData) -> IntArray:
    """Rows of obs of the cells that the diagnostics sampled; -1 for those that are gone."""
    n_fitted = int(np.sum(slots.read_record(adata)["batch_sizes"]))
    return find_sampled(_record.read_table(adata, "cells"), adata.obs_names, n_fitted=n_fitted)


def _draw(adata: AnnData, column: str | None, basis: str, places: FloatArray, shown: IntArray, *, ax: Axes) -> None:
    if column is None:
        cells(places, _batches(adata, basis, shown), title="batch", levels=_record.batches_of(adata), ax=ax)
        return
    rows = _sampled_rows(adata)[shown] if basis in _KEPT else shown
    values = adata.obs[column].iloc[rows]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        cells_by_value(places, values.to_numpy(dtype=np.float64), title=column, ax=ax)
        return
    found, batches = levels_of(adata.obs[column]), _record.batches_named_by(adata, column)
    levels = batches if set(found.labels) <= set(batches) else found.levels
    labels = [found.labels[row] for row in rows]
    cells(places, labels, title=column, levels=levels, colours=_kept_colours(adata, column), ax=ax)


def _kept_colours(adata: AnnData, column: str) -> dict[str, str]:
    """Colours that scanpy keeps of the categories of a column; none if they are not one colour for each of them."""
    from matplotlib.colors import is_color_like

    values, kept = adata.obs[column], adata.uns.get(f"{column}_colors")
    if kept is None or not isinstance(values.dtype, pd.CategoricalDtype):
        return {}
    categories, colours = values.cat.categories, [str(colour) for colour in np.ravel(kept)]
    if len(colours) < len(categories) or not all(map(is_color_like, colours)):
        return {}
    return {**{str(level): colour for level, colour in zip(categories, colours, strict=False)}, MISSING: _style.MISSING}


def _batches(adata: AnnData, basis: str, shown: IntArray) -> list[str]:
    """Batch of each cell shown, from the sample of the diagnostics or the columns of the fit."""
    if basis in _KEPT:
        table, batches = _record.read_table(adata, "cells"), _record.batches_of(adata)
        return [batches[code] for code in table["batch"].to_numpy(dtype=np.int64)[shown]]
    names = batch_of_cells(adata)
    return [names[row] for row in shown]
