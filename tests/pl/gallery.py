"""Every figure once, as it is compared with its stored picture.

``make pictures`` draws the stored ones anew; look at each before it is committed.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd

mpl.use("agg")

from example import fitted
from PIL import Image

from unbatch import pl
from unbatch.programmes.result import HELD_OUT, FactorFit
from unbatch.programmes.slots import write_factors

BASELINE = Path(__file__).parent / "baseline"
PINNED = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "figure.dpi": 60,
    "text.hinting": "none",
}
"""What would differ from machine to machine, or from user to user."""


def _with_programmes(adata):
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([0.4] * 5, adata.n_obs).astype(np.float32)
    found = FactorFit(
        proportions=shares,
        beta=np.full((adata.n_vars, 5), 1 / adata.n_vars),
        counts=np.ones(5),
        deviance=np.ones(1),
        stop_reason="converged",
        unconverged=0,
        held_out=pd.DataFrame(columns=HELD_OUT),
        n_pseudobulks=2,
        parameters={},
        versions={},
    )
    write_factors(adata, found, key="factors")
    return adata


def _three():
    return fitted(3)


def _toy_counts():
    from scipy import sparse

    rng = np.random.default_rng(4)
    theta, beta = rng.dirichlet([0.2] * 3, 80) * 60, rng.dirichlet([0.3] * 40, 3).T
    return sparse.csr_array(rng.poisson(theta @ beta.T).astype(np.float32)), theta, beta


def _batch_means():
    rng = np.random.default_rng(6)
    true = np.exp(rng.normal(0, 1, (60, 1))) * np.ones((1, 2))
    return pl.batch_means(true * np.exp(rng.normal(0, 0.3, (60, 2))), true, batches=["a", "b"], title="observed")


def _correlation_table():
    rng = np.random.default_rng(1)
    batch = rng.integers(0, 3, 60).astype(np.int32)
    values = rng.normal(size=(60, 5)) + (batch == 1)[:, None] * np.array([3.0, -3.0, 0.0, 0.0, 1.0])
    return pl.correlation_table(values, batch, batches=["a", "b", "c"])


def _against_mean():
    rng = np.random.default_rng(3)
    return pl.effect_against_mean(rng.normal(size=80), np.exp(rng.normal(0, 2, 80)), title="batch 2")


FIGURES = {
    "batch_effects": lambda: pl.batch_effects(_three()),
    "volcano": lambda: pl.batch_effects(_three(), kind="volcano"),
    "volcano-crowded": lambda: pl.batch_effects(fitted(12, n_genes=3000), kind="volcano"),
    "strongest": lambda: pl.strongest(_three(), n_genes=20),
    "strongest-of-one": lambda: pl.strongest(_three(), batch="batch 2", n_genes=10),
    "need": lambda: pl.need(_three()),
    "need-genes": lambda: pl.need(fitted(3, n_genes=400), kind="genes"),
    "overlap": lambda: pl.overlap(_three()),
    "overlap-distances": lambda: pl.overlap(_three(), kind="distances"),
    "overlap-states": lambda: pl.overlap(_three(), kind="states"),
    "overlap-cells": lambda: pl.overlap(_three(), kind="cells"),
    "balance": lambda: pl.balance(_three()),
    "balance-dimensions": lambda: pl.balance(_three(), kind="dimensions"),
    "balance-pairs": lambda: pl.balance(_three(), kind="pairs"),
    "pseudobulk_balance": lambda: pl.pseudobulk_balance(_three()),
    "embedding": lambda: pl.embedding(_three(), ["batch", "cell_type"], basis=["before", "after"])[0],
    "embedding-number": lambda: pl.embedding(_three(), "unbatch_overlap")[0],
    "mixing": lambda: pl.mixing(_three()),
    "remainder": lambda: pl.remainder(_three()),
    "remainder-genes": lambda: pl.remainder(_three(), kind="genes", n_genes=15),
    "trace": lambda: pl.trace(_three()),
    "recovery": lambda: pl.recovery(_three()),
    "structure": lambda: pl.structure(_with_programmes(_three()), group_by="batch"),
    "counts_by_factor": lambda: pl.counts_by_factor(*_toy_counts()),
    "batch_means": _batch_means,
    "correlation_table": _correlation_table,
    "effect_against_mean": _against_mean,
    "many-batch_effects": lambda: pl.batch_effects(fitted(200, n_genes=40)),
    "many-overlap": lambda: pl.overlap(fitted(60, n_genes=20)),
    "many-mixing": lambda: pl.mixing(fitted(200, n_genes=20)),
    "hostile-batch_effects": lambda: pl.batch_effects(fitted(12, hostile=True), n_genes=12),
    "hostile-volcano": lambda: pl.batch_effects(fitted(4, hostile=True), kind="volcano"),
    "hostile-strongest": lambda: pl.strongest(fitted(12, hostile=True), n_genes=15),
    "hostile-balance-pairs": lambda: pl.balance(fitted(4, hostile=True), kind="pairs"),
    "hostile-embedding": lambda: pl.embedding(fitted(12, hostile=True))[0],
}


DARK = ("volcano", "need", "balance", "embedding", "overlap-cells", "recovery")
"""Figures that are drawn on a dark ground, too."""
PICTURES = (*FIGURES, *(f"dark-{name}" for name in DARK))


def draw(picture):
    """The figure of a picture as pinned, and its pixels."""
    style = ["default", "dark_background"] if picture.startswith("dark-") else ["default"]
    with mpl.style.context(style), mpl.rc_context(PINNED):
        figure = FIGURES[picture.removeprefix("dark-")]().figure
        return figure, pixels(figure)


def pixels(figure):
    """A figure as it is drawn now, (height, width, 3), from 0 to 255."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def main(pictures):
    import matplotlib.pyplot as plt

    BASELINE.mkdir(exist_ok=True)
    for picture in pictures or PICTURES:
        Image.fromarray(draw(picture)[1]).save(BASELINE / f"{picture}.png", optimize=True)
        plt.close("all")


if __name__ == "__main__":
    main(sys.argv[1:])
