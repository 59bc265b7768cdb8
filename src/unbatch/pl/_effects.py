"""Figures of the strongest batch effects: a heat map, and a volcano."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.core.contrasts import normal_tests
from unbatch.pl import _style
from unbatch.pl._labels import write_beside
from unbatch.pl._names import legible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import BoolArray, FloatArray, IntArray

CERTAIN = 1.96
"""Standard errors between the estimate and the nearer end of its 95 % interval."""
NOTHING = "no batch effect is known"
MOST_EXPONENT = 50.0
"""Height of a volcano: surer effects are drawn at its rim."""
_SURE = 0.05
_LONGEST = 12
_WIDEST = 12.0


def strongest_genes(log_delta: FloatArray, standard_error: FloatArray, *, n_genes: int = 30) -> IntArray:
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
    known = np.isfinite(standard_error)
    nearer = np.full(len(log_delta), -np.inf)
    if log_delta.shape[1]:
        spread = CERTAIN * np.where(known, standard_error, 0.0)
        nearer = np.where(known, np.abs(log_delta) - spread, -np.inf).max(axis=1)
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
        How many genes to show; a larger number adds weaker effects. See :func:`strongest_genes`.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Genes are grouped by the batch of their largest effect; unknown effects are grey.
    """
    chosen = strongest_genes(log_delta, standard_error, n_genes=n_genes)
    if not len(chosen):
        return _style.say(ax, NOTHING)
    shown = np.where(np.isfinite(standard_error[chosen]), log_delta[chosen] / np.log(2), np.nan)
    size = np.nan_to_num(shown)
    where = np.abs(size).round(9).argmax(axis=1)
    peak = size[np.arange(len(chosen)), where]
    order = np.lexsort((-peak, where))
    names = [str(genes[g]) for g in chosen[order]]
    size_of_it = _style.heat_map_size(names, batches, cell=(0.45, 0.17), most=(_WIDEST, 40.0))
    ax = _style.given_or_new_axes(ax, figsize=size_of_it)
    limit = max(float(np.abs(size).max()), 1e-9)
    cmap = _style.colour_map(_style.DIVERGING)
    image = ax.imshow(shown[order], cmap=cmap, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    _style.name_rows(ax, names)
    _style.name_columns(ax, batches)
    ax.set_xlabel("batch")
    ax.set_ylabel("gene")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.6, pad=0.03)
    bar.set_label(r"batch effect ($\log_2\,\delta$)")
    return ax


def effects_volcano(
    log_delta: FloatArray,
    standard_error: FloatArray,
    *,
    genes: Sequence[str],
    batches: Sequence[str],
    places: Sequence[int] | None = None,
    n_genes: int = 10,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw how sure effects are against how strong they are, a dot per gene and batch.

    Up goes :math:`-\log_{10} q`, with q the Benjamini-Hochberg value over all dots, of two-sided normal tests of
    log delta over its standard error; at most 50, where surer effects lie at the rim as triangles.

    Parameters
    ----------
    log_delta, standard_error
        (n_genes, n_batches), natural log of delta and its standard error; infinity where nothing is known, 0 in a
        reference: neither is drawn.
    genes, batches
        Names.
    places
        Place of each batch among all of the fit, from which it has its colour: the same in every figure. None if these
        are all.
    n_genes
        How many dots to name, those of the strongest certain effects first; a larger number names weaker ones. Names
        that would cover others are left out.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Effects with q < 0.05 are coloured, by their batch if each has a colour of its own (there are eight).
    """
    tested = np.isfinite(standard_error) & (standard_error > 0)
    if not tested.any():
        return _style.say(ax, NOTHING)
    gene, batch = np.nonzero(tested)
    effect, error = log_delta[tested], standard_error[tested]
    doubt = np.maximum(normal_tests(effect, error).qvalue, 10.0 ** -(2 * MOST_EXPONENT))
    x, height = effect / np.log(2), -np.log10(doubt)
    y = np.minimum(height, MOST_EXPONENT)
    sure = doubt < _SURE
    ax = _style.given_or_new_axes(ax, figsize=(5.2, 4.0))
    colours = _colours(range(len(batches)) if places is None else places, ink=_style.ink(ax))
    by_batch = len(set(colours)) == len(batches)
    limit = max(1.08 * float(np.abs(x).max()), 0.1)
    top = max(1.15 * float(y.max()), 2.0)
    ax.set(xlim=(-limit, limit), ylim=(-0.02 * top, top))
    _dots(ax, x, y, ~sure, colour=_style.NEUTRAL, rim=height > MOST_EXPONENT)
    for code, colour in enumerate(colours if by_batch else _style.COLOURS[:1]):
        _dots(ax, x, y, sure & ((batch == code) | (not by_batch)), colour=colour, rim=height > MOST_EXPONENT)
    ax.axhline(-np.log10(_SURE), color=_style.ink(ax), linewidth=0.8, linestyle="--")
    ax.axvline(0, color=_style.ink(ax), linewidth=0.8)
    ax.set_xlabel(r"batch effect ($\log_2\,\delta$)")
    ax.set_ylabel(r"$-\log_{10}\,q$" + (f" (at most {MOST_EXPONENT:.0f})" if y.max() >= MOST_EXPONENT else ""))
    ax.locator_params(axis="x", nbins=6)
    _style.open_frame(ax)
    if by_batch:
        _style.legend_of_levels(ax, batches, title="batch", styles=[(colour, "o") for colour in colours])
    ax.set_title(
        f"{int(sure.sum()):,} of {len(sure):,} effects with q < {_SURE} (dashed)", fontsize="medium", parse_math=False
    )
    nearer = np.where(sure, np.abs(effect) - CERTAIN * error, -np.inf)
    named = np.argpartition(-nearer, min(n_genes, len(nearer) - 1))[:n_genes]
    named = named[np.lexsort((named, -nearer[named]))]
    named = named[sure[named]]
    labels = [str(genes[g]) for g in gene[named]]
    if not by_batch:
        labels = [
            f"{legible(label, longest=_LONGEST)} · {legible(str(batches[k]), longest=_LONGEST)}"
            for label, k in zip(labels, batch[named], strict=True)
        ]
    write_beside(ax, x[named], y[named], labels)
    return ax


def _colours(places: Sequence[int], *, ink: str) -> list[str]:
    """Colour of each batch by its place in the fit."""
    styles = _style.category_styles(max(places, default=-1) + 1, ink=ink)
    return [styles[place][0] for place in places]


def _dots(ax: Axes, x: FloatArray, y: FloatArray, chosen: BoolArray, *, colour: str, rim: BoolArray) -> None:
    for among, marker in ((chosen & ~rim, "o"), (chosen & rim, "^")):
        if not among.any():
            continue
        across, up = x[among], y[among]
        kept = _style.keep_pixels(across, up)
        ax.scatter(
            across[kept],
            up[kept],
            s=_style.dot_size(len(kept)),
            color=colour,
            marker=marker,
            alpha=0.7 if len(kept) == len(across) else 1.0,
            linewidths=0,
            rasterized=_style.rasterise(len(kept)),
        )
