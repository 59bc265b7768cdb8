"""The figures of the published analysis, on simulated counts whose truth is known."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from matplotlib.figure import Figure

from unbatch import pl, slots
from unbatch._types import FloatArray
from unbatch.core.adjust import adjust_counts
from unbatch.core.projection import project
from unbatch.demo.drawing import map_grid, new_figure
from unbatch.demo.fitting import Fitted
from unbatch.demo.measures import (
    Mixing,
    Recovery,
    batch_means,
    in_convention,
    log1p_pca,
    mixing,
    naive_log_delta,
    recovery,
)
from unbatch.pl import tsne
from unbatch.pl._style import category_styles

TRUTH = "log_delta_true"


@dataclass(frozen=True)
class ToyNumbers:
    """Recovery of the planted effects by two methods and by the plain log ratio of batch means, and mixing."""

    fitted: Recovery
    """By the published method."""
    other: Recovery
    """By the method of the cell lines."""
    other_method: str
    naive: Recovery
    mixing: Mixing
    planted: Mixing
    """The same after dividing by the planted effects themselves: as far as dividing goes."""


@dataclass(frozen=True, eq=False)
class Toy:
    """A fit to simulated counts together with its truth."""

    fitted: Fitted
    truth: FloatArray
    """(n_genes, n_batches), natural log, as planted."""
    theta: FloatArray
    beta: FloatArray
    before: FloatArray
    """Principal components of log(1 + counts), (n_cells, 20)."""
    after: FloatArray

    @property
    def true_means(self) -> FloatArray:
        """Mean over the cells of each batch of the expression without batch effects, (n_genes, n_batches)."""
        members = np.arange(len(self.fitted.batches))[:, None] == self.fitted.batch
        means: FloatArray = self.beta @ ((members @ self.theta) / members.sum(axis=1, keepdims=True)).T
        return means


def with_truth(fitted: Fitted, simulated: AnnData) -> Toy:
    """Put a fit beside the truth that `unbatch.simulate` left in its AnnData."""
    size = simulated.obs["size_factor_true"].to_numpy()[:, None]
    return Toy(
        fitted=fitted,
        truth=np.asarray(simulated.varm[TRUTH]),
        theta=np.asarray(simulated.obsm["theta_true"]) * size,
        beta=np.asarray(simulated.varm["beta_true"]),
        before=log1p_pca(fitted.counts, size_normalised=False),
        after=log1p_pca(fitted.adjusted, size_normalised=False),
    )


def numbers(toy: Toy, other: Fitted) -> ToyNumbers:
    """Measure the recovery of the planted effects, also by another fit of the counts, and the mixing of the batches."""
    fitted = toy.fitted
    ideal = adjust_counts(fitted.counts, np.exp(in_convention(toy.truth, fitted.totals)), fitted.batch)
    naive = naive_log_delta(batch_means(fitted.counts, fitted.batch, len(fitted.batches)))
    return ToyNumbers(
        fitted=recovery(fitted.log_delta, toy.truth, totals=fitted.totals),
        other=recovery(other.log_delta, toy.truth, totals=other.totals),
        other_method=str(other.adata.uns[slots.RECORD]["method"]),
        naive=recovery(naive, toy.truth, totals=fitted.totals),
        mixing=mixing(toy.before, toy.after, fitted.batch),
        planted=mixing(toy.before, log1p_pca(ideal, size_normalised=False), fitted.batch),
    )


def figures(toy: Toy, *, seed: int) -> Iterator[tuple[str, Figure]]:
    """Draw one figure after the other, each with the name it goes by."""
    yield "1-projection", _projection(toy.fitted)
    yield "2-recovery", _recovery(toy)
    yield "3-effect-against-mean", _against_mean(toy)
    yield "4-batch-means", _batch_means(toy)
    yield "5-tsne", _maps(toy, seed=seed)
    yield "6-counts", _counts(toy)


def _projection(fitted: Fitted) -> Figure:
    record = fitted.adata.uns[slots.RECORD]
    raw = project(fitted.counts, np.asarray(record["basis"]))
    regressed = np.asarray(fitted.adata.obsm[slots.EMBEDDING], dtype=np.float64)
    figure = new_figure(8.4, 2.6, title="Correlation of the projected counts Q with the batch")
    for ax, values, title in zip(figure.subplots(1, 2), (raw, regressed), ("before", "after"), strict=True):
        pl.correlation_table(values, fitted.batch, batches=fitted.batches, ax=ax)
        ax.set_title(f"{title} regressing out the batch")
    return figure


def _recovery(toy: Toy) -> Figure:
    fitted = toy.fitted
    n_batches = len(fitted.batches)
    figure = new_figure(
        3.4 * n_batches,
        7.2,
        title="Estimated against planted batch effects\n(a factor that all batches share cannot be known)",
    )
    axes = figure.subplots(2, n_batches, squeeze=False)
    fixed = in_convention(toy.truth, fitted.totals)
    for k, (batch, (colour, _)) in enumerate(zip(fitted.batches, category_styles(n_batches), strict=True)):
        pl.effect_recovery(fitted.log_delta[:, k], fixed[:, k], title=batch, ax=axes[0, k], colour=colour)
        pl.effect_recovery(fitted.log_delta[:, k], toy.truth[:, k], title=batch, ax=axes[1, k], colour=colour)
        axes[0, k].set_xlabel("true $\\log\\,\\delta$, centred per gene")
        axes[1, k].set_xlabel("true $\\log\\,\\delta$ as planted")
    return figure


def _against_mean(toy: Toy) -> Figure:
    fitted = toy.fitted
    n_batches = len(fitted.batches)
    figure = new_figure(
        3.6 * n_batches, 3.4, title="Estimated effects against expression: a sound estimate is unrelated"
    )
    for k, ax in enumerate(figure.subplots(1, n_batches, squeeze=False)[0]):
        colour = category_styles(n_batches)[k][0]
        pl.effect_against_mean(
            fitted.log_delta[:, k], toy.true_means[:, k], title=fitted.batches[k], ax=ax, colour=colour
        )
    return figure


def _batch_means(toy: Toy) -> Figure:
    fitted = toy.fitted
    figure = new_figure(
        9.0, 3.8, title="Mean counts of each gene in each batch; a grey line joins the batches of a gene"
    )
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, counts, title in zip(axes, (fitted.counts, fitted.adjusted), ("observed", "adjusted"), strict=True):
        means = batch_means(counts, fitted.batch, len(fitted.batches))
        pl.batch_means(means, toy.true_means, batches=fitted.batches, title=title, ax=ax)
    axes[0].get_legend().remove()
    return figure


def _maps(toy: Toy, *, seed: int) -> Figure:
    factor = [f"{t + 1}" for t in toy.theta.argmax(axis=1)]
    maps = [tsne(values, seed=seed) for values in (toy.before, toy.after)]
    return map_grid(
        maps,
        {"batch": list(toy.fitted.adata.obs["batch"].astype(str)), "dominant factor": factor},
        title="t-SNE of log(1 + counts)",
    )


def _counts(toy: Toy) -> Figure:
    fitted = toy.fitted
    figure = new_figure(9.6, 4.4, title="Counts, cells and genes ordered by their dominant factor")
    for ax, counts, title in zip(
        figure.subplots(1, 2), (fitted.counts, fitted.adjusted), ("observed", "adjusted"), strict=True
    ):
        pl.counts_by_factor(counts, toy.theta, toy.beta, ax=ax)
        ax.set_title(title)
    return figure
