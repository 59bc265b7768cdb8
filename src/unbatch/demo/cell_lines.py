"""The figures of the shipped data: three cancer cell lines, each measured on three platforms."""

from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from unbatch import pl
from unbatch._types import FloatArray
from unbatch.demo.drawing import map_grid, new_figure
from unbatch.demo.fitting import Fitted
from unbatch.demo.measures import Mixing, log1p_pca, mixing
from unbatch.pl import tsne

LINE_KEY = "cell_type"
N_EFFECTS = 30


@dataclass(frozen=True, eq=False)
class CellLines:
    """A fit, with principal components of log(1 + size-normalised counts): (n_cells, 20) each."""

    fitted: Fitted
    before: FloatArray
    after: FloatArray


def with_components(fitted: Fitted) -> CellLines:
    """Add the principal components before and after adjustment.

    Counts are brought to one size per cell first: platforms differ in depth, and delta leaves depth to size factors.
    """
    return CellLines(
        fitted=fitted,
        before=log1p_pca(fitted.counts, size_normalised=True),
        after=log1p_pca(fitted.adjusted, size_normalised=True),
    )


def numbers(lines: CellLines) -> Mixing:
    """Measure the mixing of the platforms before and after adjustment."""
    return mixing(lines.before, lines.after, lines.fitted.batch)


def figures(lines: CellLines, *, seed: int) -> Iterator[tuple[str, Figure]]:
    """Draw one figure after the other, each with the name it goes by."""
    yield "1-tsne", _maps(lines, seed=seed)
    yield "2-strongest-effects", _effects(lines.fitted)
    yield "3-overlap-and-balance", _trust(lines.fitted)


def _maps(lines: CellLines, *, seed: int) -> Figure:
    obs = lines.fitted.adata.obs
    return map_grid(
        [tsne(values, seed=seed) for values in (lines.before, lines.after)],
        {"batch": obs["batch"].astype(str).tolist(), "cell line": obs[LINE_KEY].astype(str).tolist()},
        title="Cell lines on three platforms: t-SNE of log(1 + size-normalised counts)",
    )


def _effects(fitted: Fitted) -> Figure:
    figure = new_figure(4.6, 7.0, title="Strongest batch effects")
    pl.batch_effects(fitted.adata, n_genes=N_EFFECTS, ax=figure.subplots())
    return figure


def _trust(fitted: Fitted) -> Figure:
    figure = new_figure(9.4, 3.4, title="Can the estimate be trusted?")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.4))
    pl.overlap(fitted.adata, ax=left)
    pl.pseudobulk_balance(fitted.adata, ax=right)
    left.set_title("overlap: share of cells with a counterpart")
    right.set_title("balance of the batches in each pseudobulk sample")
    return figure
