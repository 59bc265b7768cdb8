"""Figure: mean counts of every gene in every batch against the mean that the batch would have without its effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray


def batch_means(
    means: FloatArray, true_mean: FloatArray, *, batches: Sequence[str], title: str, ax: Axes | None = None
) -> Axes:
    """Draw mean counts per batch against the true mean, both on log axes; a grey line joins the batches of a gene.

    Where batch effects are gone, the batches of a gene lie on one another and the grey lines vanish. They need not lie
    on the line of equality: a factor that all batches of a gene share is not identifiable.

    Parameters
    ----------
    means
        (n_genes, n_batches), mean counts, observed or adjusted.
    true_mean
        (n_genes, n_batches), mean of the batch-free expression over the cells of each batch.
    batches
        Names of the batches.
    title
        What the means are of.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Genes of mean 0 in a batch are left out there. The title gives the median over genes of the fold between
    the highest and the lowest batch, each relative to the true mean.
    """
    from matplotlib.collections import LineCollection

    ax = _style.given_or_new_axes(ax, figsize=(4.2, 3.4))
    ax.set(
        xscale="log", yscale="log", xlabel="true batch-free mean (counts per cell)", ylabel="mean counts in the batch"
    )
    shown = (means > 0) & (true_mean > 0)
    complete = shown.all(axis=1)
    paths = np.stack([true_mean[complete], means[complete]], axis=-1)
    ax.add_collection(LineCollection(list(paths), colors=_style.MISSING, linewidths=0.6, zorder=0))
    for k, (colour, marker) in enumerate(_style.category_styles(len(batches), ink=_style.ink(ax))):
        ax.scatter(
            true_mean[shown[:, k], k],
            means[shown[:, k], k],
            s=8,
            color=colour,
            marker=marker,
            alpha=0.6,
            linewidths=0,
            rasterized=_style.rasterise(int(shown.sum())),
        )
    lowest, highest = float(true_mean[shown].min()), float(true_mean[shown].max())
    ax.plot([lowest, highest], [lowest, highest], color=_style.ink(ax), linewidth=0.8, linestyle="--")
    spread = np.ptp(np.log(means[complete] / true_mean[complete]), axis=1)
    ax.set_title(
        f"{title}: median fold between batches {np.exp(np.median(spread)):.2f}", fontsize="medium", parse_math=False
    )
    _style.legend_of_levels(ax, batches, title="batch")
    _style.open_frame(ax)
    return ax
