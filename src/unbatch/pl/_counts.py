"""Figure: heat map of counts, cells and genes ordered by the factor that dominates them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unbatch._types import Counts, FloatArray, IntArray


def counts_by_factor(counts: Counts, theta: FloatArray, beta: FloatArray, *, ax: Axes | None = None) -> Axes:
    """Draw log(1 + counts) as a heat map, cells and genes grouped by their dominant factor.

    Parameters
    ----------
    counts
        (n_cells, n_genes); made dense, so meant for thousands of cells and genes, not for millions.
    theta
        (n_cells, n_factors), activity of every factor in every cell.
    beta
        (n_genes, n_factors), gene programme of every factor.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes: genes down, cells across, white lines between the groups, a colour bar that saturates at the 99.5 %
    quantile. Within a group, the share of the dominant factor falls.
    """
    ax = _style.given_or_new_axes(ax, figsize=(5.2, 4.2))
    cell_order, cell_group = _by_dominant(theta)
    gene_order, gene_group = _by_dominant(beta)
    shades = np.log1p(counts[cell_order].toarray().T[gene_order])
    image = ax.imshow(
        shades,
        aspect="auto",
        interpolation="nearest",
        cmap=_style.SEQUENTIAL,
        vmin=0,
        vmax=max(float(np.quantile(shades, 0.995)), 1e-9),
    )
    n_factors = theta.shape[1]
    ax.set_xticks(*_middles(cell_group, n_factors))
    ax.set_yticks(*_middles(gene_group, n_factors))
    for edge in np.flatnonzero(np.diff(cell_group)):
        ax.axvline(edge + 0.5, color="white", linewidth=1)
    for edge in np.flatnonzero(np.diff(gene_group)):
        ax.axhline(edge + 0.5, color="white", linewidth=1)
    ax.tick_params(length=0)
    ax.set_xlabel("cells by dominant factor")
    ax.set_ylabel("genes by dominant factor")
    bar = ax.figure.colorbar(image, ax=ax, extend="max", shrink=0.7, pad=0.02)
    bar.set_label("log(1 + counts)")
    return ax


def _by_dominant(weights: FloatArray) -> tuple[IntArray, IntArray]:
    """Order of the rows by dominant column, then by falling share of it; and the dominant column in that order."""
    total = weights.sum(axis=1, keepdims=True)
    share = np.divide(weights, total, out=np.zeros_like(weights, dtype=np.float64), where=total > 0)
    group = share.argmax(axis=1)
    order = np.lexsort((-share.max(axis=1), group))
    return order, group[order]


def _middles(group: IntArray, n_factors: int) -> tuple[list[float], list[str]]:
    """Tick position and name of each factor that dominates some row."""
    places = [(float(np.flatnonzero(group == t).mean()), f"{t + 1}") for t in range(n_factors) if (group == t).any()]
    return [place for place, _ in places], [name for _, name in places]
