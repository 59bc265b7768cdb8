"""Figure: effects of single genes with their intervals, technical families marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _rows, _style
from unbatch.pl._names import legible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_LONGEST = 16


def effect_intervals(table: pd.DataFrame, *, n_genes: int = 30, ax: Axes | None = None) -> Axes:
    """Draw effects of genes with their 95 % intervals, coloured by the family of genes that they belong to.

    Parameters
    ----------
    table
        One row per gene and batch, with columns ``gene``, ``batch``, ``log_delta``, ``lower``, ``upper`` (natural log)
        and ``family`` ("" for none).
    n_genes
        How many rows to show, those whose interval is furthest from 0 first; a larger number adds weaker effects.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, on the log2 scale; the batch is named in each row if there are several.
    """
    if table.empty:
        return _style.say(ax, "no batch effect is known")
    lower, upper, log_delta = (table[n].to_numpy(dtype=np.float64) for n in ("lower", "upper", "log_delta"))
    nearer = np.where(log_delta > 0, lower, -upper)
    order = np.argsort(-nearer, kind="stable")[:n_genes]
    shown = table.iloc[order]
    genes, batches = shown["gene"].astype(str).tolist(), shown["batch"].astype(str).tolist()
    several = len(set(table["batch"].astype(str))) > 1
    names = (
        [
            f"{legible(gene, longest=_LONGEST)} · {legible(batch, longest=_LONGEST)}"
            for gene, batch in zip(genes, batches, strict=True)
        ]
        if several
        else genes
    )
    ax = _rows.axes_for_rows(ax, names, width=6.0, longest=2 * _LONGEST + 3)
    _rows.intervals(
        ax,
        *(values[order] / np.log(2) for values in (log_delta, lower, upper)),
        groups=shown["family"].fillna("").astype(str).tolist(),
        title="family",
    )
    ax.set_xlabel(r"batch effect ($\log_2\,\delta$, 95 % interval)")
    ax.set_ylabel("gene · batch" if several else "gene")
    return ax
