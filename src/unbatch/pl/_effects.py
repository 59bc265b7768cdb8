"""Figure: heat map of the strongest batch effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray, IntArray

CERTAIN = 1.96
"""Standard errors between the estimate and the nearer end of its 95 % interval."""


def strongest(log_delta: FloatArray, standard_error: FloatArray, *, n_genes: int = 30) -> IntArray:
    """Find the genes with the strongest certain effect, strongest first.

    Genes are ranked by the largest over batches of ``|log delta| - 1.96 se``, the end of the 95 % interval that is
    nearer to no effect: a large estimate from a handful of counts does not come first.

    Parameters
    ----------
    log_delta, standard_error
        (n_genes, n_batches), natural log; a standard error of infinity marks an effect that nothing is known about.
    n_genes
        How many genes to keep; a larger number adds weaker effects.

    Returns
    -------
    Indices of at most ``n_genes`` genes, those with a known effect in at least one batch.
    """
    nearer = np.where(np.isfinite(standard_error), np.abs(log_delta) - CERTAIN * standard_error, -np.inf).max(axis=1)
    order = np.argsort(-nearer, kind="stable")[:n_genes]
    kept: IntArray = order[np.isfinite(nearer[order])]
    return kept


def effects_heatmap(
    log_delta: FloatArray,
    standard_error: FloatArray,
    *,
    genes: Sequence[str],
    batches: Sequence[str],
    n_genes: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Draw the strongest batch effects as a heat map of log2 delta, genes down, batches across.

    Parameters
    ----------
    log_delta, standard_error
        (n_genes, n_batches), natural log of delta and its standard error; infinity where nothing is known.
    genes, batches
        Names.
    n_genes
        How many genes to show; see :func:`strongest`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Genes are grouped by the batch of their largest effect; unknown effects are grey.
    """
    chosen = strongest(log_delta, standard_error, n_genes=n_genes)
    if not len(chosen):
        ax = _style.given_or_new_axes(ax, figsize=(3.0, 1.0))
        ax.text(0.5, 0.5, "no batch effect is known", transform=ax.transAxes, ha="center", va="center")
        ax.set_axis_off()
        return ax
    shown = np.where(np.isfinite(standard_error[chosen]), log_delta[chosen] / np.log(2), np.nan)
    size = np.nan_to_num(shown)
    where = np.abs(size).round(9).argmax(axis=1)
    peak = size[np.arange(len(chosen)), where]
    order = np.lexsort((-peak, where))
    ax = _style.given_or_new_axes(ax, figsize=(1.8 + 0.45 * len(batches), 1.2 + 0.17 * len(chosen)))
    limit = max(float(np.abs(size).max()), 1e-9)
    cmap = _style.colour_map(_style.DIVERGING)
    image = ax.imshow(shown[order], cmap=cmap, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(chosen)), [genes[g] for g in chosen[order]], fontsize="x-small")
    _style.name_columns(ax, batches)
    ax.set_xlabel("batch")
    ax.set_ylabel("gene")
    ax.figure.colorbar(image, ax=ax, shrink=0.6, pad=0.03).set_label(r"batch effect ($\log_2\,\delta$)")
    return ax
