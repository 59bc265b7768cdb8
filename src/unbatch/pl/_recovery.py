"""Figures of estimated effects of one batch: against the planted truth, and against the expression of the gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unbatch._types import FloatArray


def effect_recovery(
    log_delta: FloatArray, truth: FloatArray, *, title: str, ax: Axes | None = None, colour: str = _style.COLOURS[0]
) -> Axes:
    """Draw estimated against true log delta of one batch, a dot per gene, with the line of equality.

    Only contrasts between batches are identifiable: bring both to one convention first (for each gene, mean over
    batches 0), or the part of the truth that all batches share shows as scatter.

    Parameters
    ----------
    log_delta, truth
        (n_genes,), estimated and true natural log of delta.
    title
        What is shown, the batch as a rule.
    ax
        Axes to draw on; a new figure by default.
    colour
        Colour of the dots.

    Returns
    -------
    The axes, with the Pearson correlation r and the root mean square error (RMSE) in the title.
    """
    if not len(truth):
        return _style.say(ax, "no batch effect is known")
    ax = _style.given_or_new_axes(ax, figsize=(3.8, 3.6))
    _dots(ax, truth, log_delta, colour=colour)
    limit = max(1.05 * float(np.abs(truth).max()), 1.05 * float(np.abs(log_delta).max()), 1e-3)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    ax.locator_params(nbins=5)
    ax.axline((0, 0), slope=1, color=_style.ink(ax), linewidth=0.8, linestyle="--")
    rmse = float(np.sqrt(np.mean((log_delta - truth) ** 2)))
    ax.set_title(
        f"{title}: r = {correlation(truth, log_delta):.3f}, RMSE = {rmse:.3f}", fontsize="medium", parse_math=False
    )
    ax.set_xlabel(r"true $\log\,\delta$ (natural log)")
    ax.set_ylabel(r"estimated $\log\,\delta$ (natural log)")
    return ax


def effect_against_mean(
    log_delta: FloatArray, mean: FloatArray, *, title: str, ax: Axes | None = None, colour: str = _style.COLOURS[0]
) -> Axes:
    """Draw log delta of one batch against the mean expression of the gene, which a sound estimate is unrelated to.

    Parameters
    ----------
    log_delta
        (n_genes,), estimated natural log of delta.
    mean
        (n_genes,), mean expression without batch effects, in counts per cell; on a log axis, so genes of mean 0 are
        left out.
    title
        What is shown, the batch as a rule.
    ax
        Axes to draw on; a new figure by default.
    colour
        Colour of the dots.

    Returns
    -------
    The axes, with the Pearson correlation of log delta and log mean in the title.
    """
    shown = mean > 0
    ax = _style.given_or_new_axes(ax, figsize=(3.4, 3.2))
    ax.set_xscale("log")
    _dots(ax, mean[shown], log_delta[shown], colour=colour)
    ax.axhline(0, color=_style.ink(ax), linewidth=0.8, linestyle="--")
    r = correlation(np.log(mean[shown]), log_delta[shown])
    ax.set_title(f"{title}: r = {r:.3f}", fontsize="medium", parse_math=False)
    ax.set_xlabel("true batch-free mean (counts per cell)")
    ax.set_ylabel(r"estimated $\log\,\delta$ (natural log)")
    return ax


def correlation(x: FloatArray, y: FloatArray) -> float:
    """Pearson correlation of two vectors, 0 where one of them does not vary."""
    left, right = x - x.mean(), y - y.mean()
    scale = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / scale if scale > 0 else 0.0


def _dots(ax: Axes, x: FloatArray, y: FloatArray, *, colour: str) -> None:
    kept = _style.keep_pixels(x, np.asarray(y))
    ax.scatter(x[kept], y[kept], s=10, color=colour, alpha=0.6, linewidths=0, rasterized=_style.rasterise(len(kept)))
    _style.open_frame(ax)
