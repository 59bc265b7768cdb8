"""Figures with one line per batch: how well it is mixed with the others, and how much its cells overlap with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _rows, _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from unbatch._types import CodeArray, FloatArray

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def neighbour_share(table: pd.DataFrame, *, n_batches: int = _style.MAX_ROWS, ax: Axes | None = None) -> Axes:
    """Draw which share of the neighbours of its cells come from the batch itself, before, after, and as expected.

    Parameters
    ----------
    table
        One row per batch, with columns ``batch``, ``before``, ``after`` and ``expected`` (the share if batches were
        mixed as well as their cells allow), from 0 to 1.
    n_batches
        How many batches to show, those furthest from their expectation after first; a larger number adds better ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Right of the expectation, a batch still keeps to itself; left of it, it was mixed more than its cells
    allow.
    """
    if table.empty:
        return _style.say(ax, "no batch has neighbours")
    before, after, expected = (table[name].to_numpy(dtype=np.float64) for name in ("before", "after", "expected"))
    order = np.argsort(-np.nan_to_num(np.abs(after - expected), nan=-1.0), kind="stable")
    order, what = _rows.first_rows(order, what="batch", most=n_batches, by="worst first")
    ax = _rows.axes_for_rows(ax, table["batch"].astype(str).to_numpy()[order].tolist())
    _rows.ticks(ax, expected[order], label="expected")
    _rows.change(ax, before[order], after[order])
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("share of neighbours from the same batch")
    ax.set_ylabel(what)
    ax.legend()
    _style.place_legend(ax)
    return ax


def cell_overlap(
    own: FloatArray,
    batch: CodeArray,
    *,
    batches: Sequence[str],
    n_batches: int = _style.MAX_ROWS,
    ax: Axes | None = None,
) -> Axes:
    """Draw how probable the own batch of cells is, given their state: 1 for cells that stand alone.

    Parameters
    ----------
    own
        (n_cells,), p(own batch | state), from 0 to 1; nan where it is not known.
    batch
        (n_cells,), batch of each cell as an index into ``batches``.
    batches
        Names.
    n_batches
        How many batches to show, those with the highest median first; a larger number adds better ones.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes: median, middle half (thick) and middle 90 % (thin) of the cells of each batch.
    """
    spread = np.full((len(batches), len(_QUANTILES)), np.nan)
    for code in range(len(batches)):
        mine = own[(batch == code) & np.isfinite(own)]
        if mine.size:
            spread[code] = np.quantile(mine, _QUANTILES)
    known = np.flatnonzero(np.isfinite(spread[:, 0]))
    if not known.size:
        return _style.say(ax, "no cell has a state")
    order = known[np.argsort(-spread[known, 2], kind="stable")]
    order, what = _rows.first_rows(order, what="batch", most=n_batches, by="highest first")
    ax = _rows.axes_for_rows(ax, [str(batches[code]) for code in order])
    rows, shown = np.arange(len(order)), spread[order]
    ax.hlines(rows, shown[:, 0], shown[:, 4], color=_style.AFTER, linewidth=1.2, label="90 % of the cells")
    ax.hlines(rows, shown[:, 1], shown[:, 3], color=_style.AFTER, linewidth=5.0, alpha=0.5, label="50 %")
    ax.scatter(shown[:, 2], rows, s=30, color=_style.AFTER, zorder=3, label="median")
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("probability of the own batch, given the state")
    ax.set_ylabel(what)
    ax.legend()
    _style.place_legend(ax)
    return ax
