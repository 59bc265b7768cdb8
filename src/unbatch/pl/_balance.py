"""Figures of balance: standardised mean differences of matched cells before and after, as in causal inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _rows, _style
from unbatch.pl._names import legible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

THRESHOLD = 0.1
"""Standardised mean differences below that count as balanced (Austin, Statistics in Medicine 28, 3083, 2009)."""
_DIFFERENCE = "absolute standardised mean difference\n(standard deviations)"
_LONGEST_OF_TWO = 14


def love_plot(table: pd.DataFrame, *, n_names: int = 25, ax: Axes | None = None) -> Axes:
    """Draw how far matched cells of two batches differ in each gene or dimension, before and after.

    Parameters
    ----------
    table
        One row per gene or dimension, with columns ``name``, ``before`` and ``after``: standardised mean differences.
    n_names
        How many to show, those of the largest difference before or after first; a larger number adds smaller ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Left of the dashed line, at 0.1, cells are balanced.
    """
    if table.empty:
        return _style.say(ax, "no cells of the two batches were matched")
    before, after = (np.abs(table[column].to_numpy(dtype=np.float64)) for column in ("before", "after"))
    order = np.argsort(-np.nan_to_num(np.fmax(before, after)), kind="stable")[:n_names]
    names = table["name"].astype(str).to_numpy()[order]
    ax = _rows.axes_for_rows(ax, names.tolist())
    _dumbbells(ax, before[order], after[order])
    return ax


def balance_summary(table: pd.DataFrame, *, n_pairs: int = _style.MAX_ROWS, ax: Axes | None = None) -> Axes:
    """Draw how far matched cells of each pair of batches differ in the mean over genes, before and after.

    Parameters
    ----------
    table
        One row per pair, with columns ``batch``, ``other`` ("" for all others), ``mean_before`` and ``mean_after``:
        mean absolute standardised differences.
    n_pairs
        How many pairs to show, those of the largest difference after first; a larger number adds better ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Left of the dashed line, at 0.1, cells are balanced.
    """
    if table.empty:
        return _style.say(ax, "no cells of different batches were matched")
    before, after = (table[f"mean_{when}"].to_numpy(dtype=np.float64) for when in ("before", "after"))
    order = np.argsort(-np.nan_to_num(after, nan=-1.0), kind="stable")
    order, what = _rows.first_rows(order, what="pair of batches", most=n_pairs, by="largest after first")
    pairs = table.iloc[order]
    names = [pair_name(*pair) for pair in zip(pairs["batch"].astype(str), pairs["other"].astype(str), strict=True)]
    ax = _rows.axes_for_rows(ax, names, longest=2 * _LONGEST_OF_TWO + 3)
    _dumbbells(ax, before[order], after[order])
    ax.set_xlabel("absolute standardised mean difference,\nmean over genes (standard deviations)")
    ax.set_ylabel(what)
    return ax


def pair_name(batch: str, other: str) -> str:
    """Name a pair of batches, each shortened so that the pair still fits beside the axes."""
    against = legible(other, longest=_LONGEST_OF_TWO) if other else "all others"
    return f"{legible(batch, longest=_LONGEST_OF_TWO)} – {against}"  # noqa: RUF001 - a dash between names


def _dumbbells(ax: Axes, before: np.ndarray, after: np.ndarray) -> None:
    _rows.change(ax, before, after)
    known = np.concatenate([before[np.isfinite(before)], after[np.isfinite(after)], [1.5 * THRESHOLD]])
    highest = float(known.max())
    ax.set_xlim(-0.015 * highest, 1.06 * highest)
    ax.axvline(THRESHOLD, color=_style.ink(ax), linewidth=0.8, linestyle="--", label=f"balanced: {THRESHOLD}", zorder=1)
    ax.set_xlabel(_DIFFERENCE)
    ax.legend()
    _style.place_legend(ax)
