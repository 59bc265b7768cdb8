"""Figures of what the effects leave over: departures of single states from the effect that all states share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch._levels import natural_order
from unbatch.pl import _rows, _style
from unbatch.pl._effects import CERTAIN
from unbatch.pl._names import legible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_WIDEST = 10.0
_LONGEST = 16


def departures(table: pd.DataFrame, *, n_genes: int = 25, ax: Axes | None = None) -> Axes:
    """Draw the genes whose counts in one state of one batch are furthest from what the effects say.

    Parameters
    ----------
    table
        One row per gene, state and batch, with columns ``gene``, ``state``, ``batch``, ``log_ratio`` (natural log of
        the counts over what the effects say), ``se`` and ``z``.
    n_genes
        How many rows to show, those of the largest ``|z|`` first; a larger number adds weaker ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with 95 % intervals, on the log2 scale.
    """
    if table.empty:
        return _style.say(ax, "no state departs from the effects")
    shown = table.iloc[np.argsort(-np.abs(table["z"].to_numpy(dtype=np.float64)), kind="stable")[:n_genes]]
    names = [
        f"{legible(gene, longest=_LONGEST)} · {legible(state, longest=_LONGEST)}"
        for gene, state in zip(shown["gene"].astype(str), shown["state"].astype(str), strict=True)
    ]
    ax = _rows.axes_for_rows(ax, names, width=6.0, longest=2 * _LONGEST + 3)
    ratio, spread = (shown[name].to_numpy(dtype=np.float64) / np.log(2) for name in ("log_ratio", "se"))
    _rows.intervals(
        ax,
        ratio,
        ratio - CERTAIN * spread,
        ratio + CERTAIN * spread,
        groups=shown["batch"].astype(str).tolist(),
        title="batch",
    )
    ax.set_xlabel(r"counts over expectation ($\log_2$, 95 % interval)")
    ax.set_ylabel("gene · state")
    return ax


def departures_heatmap(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how far each state of each batch departs from the effects, over all genes.

    Parameters
    ----------
    table
        One row per state and batch, with columns ``state``, ``batch`` and ``mean_square`` of the standardised
        departures: 1 where there is nothing but noise, 0 where nothing was compared.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes: log2 of the mean square, 0 (white) for noise alone; grey where nothing was compared.
    """
    if table.empty:
        return _style.say(ax, "no state is known")
    wide = table.assign(state=table["state"].astype(str), batch=table["batch"].astype(str)).pivot_table(
        index="state", columns="batch", values="mean_square", observed=True, sort=False
    )
    states = natural_order(wide.index)
    batches = list(dict.fromkeys(table["batch"].astype(str)))
    wide = wide.reindex(index=states, columns=batches)
    with np.errstate(divide="ignore"):
        square = wide.to_numpy(dtype=np.float64)
        shown = np.log2(np.where(square > 0, np.maximum(square, 1e-3), np.nan))
    limit = max(1.0, float(np.nanmax(np.abs(np.clip(shown, -1.0, None)), initial=1.0)))
    size = _style.heat_map_size(states, batches, cell=(0.4, 0.2), most=(_WIDEST, 8.0))
    ax = _style.given_or_new_axes(ax, figsize=size)
    cmap = _style.colour_map(_style.DIVERGING)
    image = ax.imshow(shown, cmap=cmap, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    _style.name_columns(ax, batches)
    _style.name_rows(ax, states)
    ax.set(xlabel="batch", ylabel="state")
    below = bool((np.nan_to_num(shown) < -limit).any())
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03, extend="min" if below else "neither")
    bar.set_label("mean square departure\n(log2; 0 = noise alone)")
    return ax
