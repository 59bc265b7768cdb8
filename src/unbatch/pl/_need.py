"""Figures of the need for a correction: variance explained by batch, against batches that were permuted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _rows, _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from unbatch._types import BoolArray, FloatArray

_FLOOR = 0.01
"""Per cent: smaller shares are drawn there."""
_EXPLAINED = "variance explained by batch (%)"


def explained_variance(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much of the variance batches explain, beside what permuted batches explain.

    Parameters
    ----------
    table
        One row per space, with columns ``space``, ``explained``, ``null`` (mean over permutations) and ``null_upper``
        (95 % of the permutations lie below): shares of variance, from 0 to 1.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes: a dot per space, in grey what chance gives.
    """
    if table.empty:
        return _style.say(ax, "no variance was measured")
    explained, null, upper = (
        100 * table[column].to_numpy(dtype=np.float64) for column in ("explained", "null", "null_upper")
    )
    ax = _rows.axes_for_rows(ax, table["space"].astype(str).tolist(), width=5.6)
    rows = np.arange(len(table))
    ax.barh(rows, upper, height=0.6, color=_style.NEUTRAL, alpha=0.4, label="95 % of the permutations", zorder=1)
    _rows.ticks(ax, null, label="mean of the permutations")
    ax.scatter(explained, rows, s=44, color=_style.AFTER, zorder=3, label="batches")
    for row, value in enumerate(explained.tolist()):
        if np.isfinite(value):
            ax.annotate(f"{value:.2g}", (value, row), xytext=(6, 0), textcoords="offset points", va="center")
    highest = np.nanmax(np.concatenate([explained, upper, [1e-9]]))
    ax.set_xlim(0, 1.15 * float(highest))
    ax.set_xlabel(_EXPLAINED)
    ax.legend()
    _style.place_legend(ax)
    return ax


def explained_by_gene(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how much of the variance of each gene batches explain, before across and after up, on log axes.

    Parameters
    ----------
    table
        One row per gene, with columns ``explained_before``, ``explained_after`` and ``null_upper``: shares of the
        variance of log counts, from 0 to 1. 95 % of permuted batches explain less than ``null_upper``.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Dots below the diagonal have got better. Blue ones are within what chance gives after; orange ones were
    within it before and are not after; the others are still beyond it. Shares below 0.01 % are drawn there.
    """
    from matplotlib.ticker import StrMethodFormatter

    before, after, upper = (
        100 * table[column].to_numpy(dtype=np.float64)
        for column in ("explained_before", "explained_after", "null_upper")
    )
    known = np.isfinite(before) & np.isfinite(after)
    if not known.any():
        return _style.say(ax, "no gene was measured before and after")
    before, after, upper = (np.maximum(values[known], _FLOOR) for values in (before, after, upper))
    within, was_within = after <= upper, before <= upper
    ax = _style.given_or_new_axes(ax, figsize=(6.4, 3.9))
    limits = (_FLOOR / 1.3, 1.3 * max(float(before.max()), float(after.max()), 1.0))
    ax.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for chosen, colour, marker, label in (
        (~within & ~was_within, _style.NEUTRAL, "s", "beyond chance, before and after"),
        (within, _style.AFTER, "o", "within chance after"),
        (~within & was_within, _style.BEFORE, "^", "beyond chance after only"),
    ):
        _dots(ax, before, after, chosen, colour=colour, marker=marker, label=f"{label}: {int(chosen.sum()):,}")
    ax.plot(limits, limits, color=_style.ink(ax), linewidth=0.8, linestyle="--", label="no change")
    ax.set_xlabel(f"before: {_EXPLAINED}")
    ax.set_ylabel(f"after: {_EXPLAINED}")
    _style.open_frame(ax)
    ax.legend(title="genes")
    _style.place_legend(ax)
    return ax


def _dots(ax: Axes, x: FloatArray, y: FloatArray, chosen: BoolArray, *, colour: str, marker: str, label: str) -> None:
    ax.scatter(
        x[chosen],
        y[chosen],
        s=max(_style.dot_size(int(chosen.sum())), 3.0),
        color=colour,
        marker=marker,
        alpha=0.6,
        linewidths=0,
        label=label,
        rasterized=_style.rasterise(int(chosen.sum())),
    )
