"""Figure: the share of each gene programme in every cell, as stacked bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch._check import InputError
from unbatch._levels import levels_of, natural_order
from unbatch.pl import _style
from unbatch.pl._names import legible_names
from unbatch.programmes.slots import read_factors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from unbatch._types import FloatArray, IntArray

_BARS = 1500
_HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\")
_GAP = 0.012
_MOST_NAMES = 40


def structure(
    adata: AnnData, *, group_by: str | None = None, key: str = "factors", title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the share of each gene programme in every cell as stacked bars; see :func:`structure_bars`.

    Parameters
    ----------
    adata
        Data on which `unbatch.tl.factors` ran, or the file that ``unbatch factors`` wrote.
    group_by
        Column of ``obs``: its levels stand side by side, so that programmes that belong to a batch or a cell type are
        seen at once. Categories stand in their order, numbers by value, other labels by name; cells without a label
        are ``(missing)``, the last. None for all cells together.
    key
        The ``key_added`` of `unbatch.tl.factors`.
    title
        Heads the axes.
    ax
        Axes to draw on; a new figure by default.

    Raises
    ------
    InputError
        If `adata` holds no programmes, no such column, or no cell with counts.

    Examples
    --------
    >>> import unbatch as ub
    >>> adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    >>> ub.tl.batch_effects(adata, batch_key="batch")
    >>> ub.tl.factors(adata, n_factors=3)
    >>> ax = ub.pl.structure(adata, group_by="batch")
    """
    read_factors(adata, key=key)
    if group_by is not None and group_by not in adata.obs:
        raise InputError(f"obs has no column {group_by!r}; it has {sorted(adata.obs.columns)}")
    found = None if group_by is None else levels_of(adata.obs[group_by])
    return structure_bars(
        np.asarray(adata.obsm[f"X_{key}"], dtype=np.float64),
        groups=None if found is None else found.labels,
        levels=None if found is None else found.levels,
        title=title,
        ax=ax,
    )


def structure_bars(
    proportions: FloatArray,
    *,
    groups: Sequence[str] | None = None,
    levels: Sequence[str] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw proportions of cells as stacked bars, cells ordered by their dominant factor and by its share.

    Parameters
    ----------
    proportions
        (n_cells, n_factors); rows sum to 1. Rows of 0, of cells without counts, are left out.
    groups
        (n_cells,) what stands side by side, as wide as it has cells; None for one group.
    levels
        Groups from left to right, every one that has cells; sorted by name, numbers in them by size, by default. Those
        without cells are left out.
    title
        Heads the axes.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, factors from the bottom in their order. Of more than about 1,500 cells, neighbours in the order share a
    bar, which shows their mean: a million cells draw as fast as a thousand.

    Raises
    ------
    InputError
        If no cell has any proportion, or a group that has cells is not among the levels.
    """
    kept = np.flatnonzero(proportions.sum(axis=1) > 0)
    if not kept.size:
        raise InputError(f"none of {len(proportions)} cells has a share of any factor: there is nothing to draw")
    shares = proportions[kept]
    names = np.array(["" if groups is None else groups[cell] for cell in kept.tolist()], dtype=object)
    there = set(names.tolist())
    if levels is not None and (left_out := there - set(levels)):
        raise InputError(f"levels leave out {len(left_out)} groups with cells (first: {min(left_out)!r}): add them")
    order = [level for level in (natural_order(there) if levels is None else levels) if level in there]
    ax = _style.given_or_new_axes(ax, figsize=(7.2, 2.8))
    styles = _style.category_styles(shares.shape[1], ink=_style.ink(ax))
    gap = _GAP * len(kept)
    left, places = 0.0, []
    for level in order:
        mine = shares[names == level]
        edges, heights = _bars(mine[cell_order(mine)], n_bars=max(1, round(_BARS * len(mine) / len(kept))))
        _draw(ax, left + edges, heights, colours=[colour for colour, _ in styles])
        places.append(left + len(mine) / 2)
        left += len(mine) + gap
    ax.set(xlim=(0, left - gap), ylim=(0, 1), ylabel="share of counts")
    ax.set_title(title, parse_math=False)
    if groups is None or len(order) > _MOST_NAMES:
        ax.set_xticks([])
        n_groups = "" if groups is None else f" in {len(order)} groups"
        ax.set_xlabel(f"{len(kept):,} cells{n_groups}, by dominant factor")
    else:
        ax.set_xticks(places)
        _name_groups(ax, order)
    ax.spines[:].set_visible(False)
    _legend(ax, [colour for colour, _ in styles])
    return ax


def cell_order(proportions: FloatArray) -> IntArray:
    """Order cells by their dominant factor, and those of one factor by its falling share, (n_cells,)."""
    return np.lexsort((-proportions.max(axis=1), proportions.argmax(axis=1)))


def _bars(shares: FloatArray, *, n_bars: int) -> tuple[FloatArray, FloatArray]:
    """Edges (n_bars + 1,) and mean shares (n_bars, n_factors) of runs of cells, nearly equal in length."""
    edges = np.unique(np.linspace(0, len(shares), min(n_bars, len(shares)) + 1).round().astype(np.int64))
    means = np.add.reduceat(shares, edges[:-1], axis=0) / np.diff(edges)[:, None]
    return edges.astype(np.float64), means / means.sum(axis=1, keepdims=True)


def _draw(ax: Axes, edges: FloatArray, heights: FloatArray, *, colours: Sequence[str]) -> None:
    upper = np.vstack([np.zeros(len(heights)), np.cumsum(heights, axis=1).T])
    upper = np.hstack([upper, upper[:, -1:]])
    for t, colour in enumerate(colours):
        ax.fill_between(
            edges,
            upper[t],
            upper[t + 1],
            step="post",
            facecolor=colour,
            hatch=_hatch(t) or None,
            edgecolor="white" if _hatch(t) else "none",
            linewidth=0,
        )


def _hatch(factor: int) -> str:
    """Give factors beyond the eight colours a hatch."""
    return _HATCHES[(factor // len(_style.COLOURS)) % len(_HATCHES)]


def _name_groups(ax: Axes, names: Sequence[str]) -> None:
    short = legible_names(names, longest=20)
    long = max(map(len, short)) * len(short) > 80  # noqa: PLR2004 - letters that fit below the axes
    ax.tick_params(axis="x", length=0)
    for label in ax.set_xticklabels(short, fontsize=_style.name_size(len(short)), parse_math=False):
        label.set(rotation=45 if long else 0, ha="right" if long else "center", rotation_mode="anchor")


def _legend(ax: Axes, colours: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, hatch=_hatch(t) or None, edgecolor="white" if _hatch(t) else "none", linewidth=0)
        for t, colour in enumerate(colours)
    ]
    if len(handles) > _style.MAX_LEGEND:
        return
    ax.legend(
        handles=handles,
        labels=[f"{t + 1}" for t in range(len(handles))],
        title="factor",
        ncols=1 + (len(handles) - 1) // 10,
    )
    _style.place_legend(ax)
