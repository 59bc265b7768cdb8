"""Heat maps of where an estimate can be trusted: between batches, in states, in pseudobulk samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray

_WRITTEN = 12
"""Rows and columns of a heat map whose numbers can be read, at most."""
_WIDEST, _SQUARE = 10.0, 7.6


def support_heatmap(support: FloatArray, *, batches: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw how much of each batch is found in each other batch.

    Parameters
    ----------
    support
        (n_batches, n_batches): row a, column b is the share of the cells of a that have a counterpart in b; the
        diagonal says nothing and is left grey.
    batches
        Names.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with the shares written in for at most 12 batches.
    """
    ax = _pairs(support, batches, label="share of cells", limits=(0.0, 1.0), ax=ax)
    ax.set_xlabel("have a counterpart in batch")
    return ax


def distance_heatmap(ratio: FloatArray, *, batches: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw how far the nearest cell in each other batch is, in steps of the distance within the own batch.

    Parameters
    ----------
    ratio
        (n_batches, n_batches): row a, column b is the median over the cells of a of the distance to the nearest cell of
        b, over that to the nearest cell of a: 1 where batches lie on one another. nan where nothing is known; the
        diagonal is left grey.
    batches
        Names.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with the ratios written in for at most 12 batches. The colours end at 4.
    """
    ax = _pairs(ratio, batches, label="distance ratio", limits=(1.0, 4.0), ax=ax)
    ax.set_xlabel("to the nearest cell of batch\n(1: as near as within the own batch)")
    return ax


def state_heatmap(
    share: FloatArray,
    *,
    states: Sequence[str],
    batches: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Draw from which batches the cells of each state come.

    Parameters
    ----------
    share
        (n_states, n_batches), p(batch | state): rows sum to 1. A row with a single 1 is a state that stands alone.
    states, batches
        Names.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, states down in the given order.
    """
    if not len(states):
        return _style.say(ax, "no state is known")
    size = _style.heat_map_size(states, batches, cell=(0.4, 0.2), most=(_WIDEST, 8.0))
    ax = _style.given_or_new_axes(ax, figsize=size)
    image = ax.imshow(
        share, cmap=_style.colour_map(_style.SEQUENTIAL), vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    _style.name_columns(ax, batches)
    _style.name_rows(ax, states)
    ax.set(xlabel="batch", ylabel="state")
    ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03).set_label("share of the cells\nof the state")
    return ax


def balance_heatmap(cell_counts: FloatArray, *, batches: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw whether every pseudobulk sample holds the batches in the proportion of the whole data.

    Parameters
    ----------
    cell_counts
        (n_batches, n_samples): n_sk, number of cells of batch k in sample s. Samples without cells are left out.
    batches
        Names.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes: log2 of the batch's share of the sample over its share of all cells, 0 (white) where balanced, cut at -3
    and 3, samples from the largest to the smallest.
    """
    sizes = cell_counts.sum(axis=0)
    if not sizes.any():
        return _style.say(ax, "no cell took part")
    order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    share = cell_counts[:, order] / sizes[order]
    overall = cell_counts.sum(axis=1, keepdims=True) / cell_counts.sum()
    ratio = np.divide(share, overall, out=np.ones_like(share), where=overall > 0)
    shown = np.clip(np.log2(np.maximum(ratio, 2.0**-3)), -3, 3)
    width, height = _style.heat_map_size(batches, [], cell=(0.0, 0.3), most=(0.0, 6.0))
    ax = _style.given_or_new_axes(ax, figsize=(width + 3.6, height))
    image = ax.imshow(shown, cmap=_style.DIVERGING, vmin=-3, vmax=3, aspect="auto", interpolation="nearest")
    ax.set_xticks([])
    _style.name_rows(ax, batches)
    ax.set_xlabel(f"{len(order)} pseudobulk samples, largest first")
    ax.set_ylabel("batch")
    bar = ax.figure.colorbar(image, ax=ax, extend="both", pad=0.02)
    bar.set_label("share of the sample /\nshare of all cells (log2)")
    return ax


def _pairs(
    values: FloatArray, batches: Sequence[str], *, label: str, limits: tuple[float, float], ax: Axes | None
) -> Axes:
    n = len(batches)
    shown = np.where(np.eye(n, dtype=bool), np.nan, values)
    size = _style.heat_map_size(batches, batches, cell=(0.5, 0.5), most=(_SQUARE, _SQUARE))
    ax = _style.given_or_new_axes(ax, figsize=size)
    above = bool((np.nan_to_num(shown) > limits[1]).any())
    image = ax.imshow(
        shown,
        cmap=_style.colour_map(_style.SEQUENTIAL),
        vmin=limits[0],
        vmax=limits[1],
        aspect="equal",
        interpolation="nearest",
    )
    if n <= _WRITTEN:
        _style.write_values(ax, image, [["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in shown])
    _style.name_columns(ax, batches)
    _style.name_rows(ax, batches)
    ax.set_ylabel("cells of batch")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03, extend="max" if above else "neither")
    bar.set_label(label)
    return ax
