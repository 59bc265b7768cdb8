"""Figures of where an estimate can be trusted: support between batches, and balance of the pseudobulk samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray


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
    n = len(batches)
    shown = np.where(np.eye(n, dtype=bool), np.nan, support)
    ax = _style.given_or_new_axes(ax, figsize=(2.4 + 0.4 * min(n, 20), 1.4 + 0.4 * min(n, 20)))
    image = ax.imshow(
        shown, cmap=_style.colour_map(_style.SEQUENTIAL), vmin=0, vmax=1, aspect="equal", interpolation="nearest"
    )
    if n <= 12:  # noqa: PLR2004 - more numbers than that cannot be read
        _style.write_values(ax, image, [["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in shown])
    _style.name_columns(ax, batches)
    ax.set_yticks(range(n), list(batches), fontsize=_style.name_size(n))
    ax.set_ylabel("cells of batch")
    ax.set_xlabel("have a counterpart in batch")
    ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03).set_label("share of cells")
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
    order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    share = cell_counts[:, order] / sizes[order]
    overall = cell_counts.sum(axis=1, keepdims=True) / cell_counts.sum()
    ratio = np.divide(share, overall, out=np.ones_like(share), where=overall > 0)
    shown = np.clip(np.log2(np.maximum(ratio, 2.0**-3)), -3, 3)
    ax = _style.given_or_new_axes(ax, figsize=(6.0, 1.5 + 0.3 * min(len(batches), 20)))
    image = ax.imshow(shown, cmap=_style.DIVERGING, vmin=-3, vmax=3, aspect="auto", interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks(range(len(batches)), list(batches), fontsize=_style.name_size(len(batches)))
    ax.set_xlabel(f"{len(order)} pseudobulk samples, largest first")
    ax.set_ylabel("batch")
    bar = ax.figure.colorbar(image, ax=ax, extend="both", pad=0.02)
    bar.set_label("share of the sample /\nshare of all cells (log2)")
    return ax
