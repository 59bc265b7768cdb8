"""How far an estimate is from the truth."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from accuracy.problem import Estimate, Problem
from unbatch._types import BoolArray, FloatArray

CLASSES: dict[str, tuple[float, float]] = {">200": (200, np.inf), ">50": (50, np.inf), "50-200": (50, 200)}
"""Genes by their total count: above the first bound, at most the second."""


@dataclass(frozen=True)
class Score:
    """Scores of one estimate over one class of genes, identifiable batches only.

    rmse: of centred log delta; correlation; slope of estimate on truth; coverage: of 95% intervals;
    called: share of genes and batches called at FDR 5%; unidentifiable_rms: of the log delta, as given, of the batches
    that share nothing with the others. NaN where a score does not apply.
    """

    n_genes: int
    rmse: float
    correlation: float
    slope: float
    coverage: float
    called: float
    unidentifiable_rms: float


def score(problem: Problem, estimate: Estimate) -> dict[str, Score]:
    """Score an estimate over each class of genes."""
    totals = np.asarray(problem.counts.sum(axis=0)).ravel()
    return {
        name: _score_genes(problem, estimate, (totals > low) & (totals <= high))
        for name, (low, high) in CLASSES.items()
    }


def _score_genes(problem: Problem, estimate: Estimate, genes: BoolArray) -> Score:
    nan, inside = float("nan"), problem.identifiable
    outside = estimate.log_delta[:, ~inside][genes]
    unidentifiable = float(np.sqrt(np.mean(outside**2))) if outside.size else nan
    if not genes.any():
        return Score(0, nan, nan, nan, nan, nan, unidentifiable)
    truth = centre(problem.log_delta_true[:, inside], genes)
    guess = centre(estimate.log_delta[:, inside], genes)
    error, spread = guess - truth, float(np.sum(truth**2))
    coverage = called = nan
    if estimate.se is not None:
        se = estimate.se[:, inside][genes]
        finite = np.isfinite(se)
        coverage = float(np.mean(np.abs(error[finite]) <= stats.norm.ppf(0.975) * se[finite])) if finite.any() else nan
        called = called_share(guess, se)
    varies = spread > 0 and float(np.ptp(guess)) > 0
    return Score(
        n_genes=int(genes.sum()),
        rmse=float(np.sqrt(np.mean(error**2))),
        correlation=float(np.corrcoef(guess.ravel(), truth.ravel())[0, 1]) if varies else nan,
        slope=float(np.sum(guess * truth)) / spread if spread > 0 else nan,
        coverage=coverage,
        called=called,
        unidentifiable_rms=unidentifiable,
    )


def centre(log_delta: FloatArray, genes: BoolArray) -> FloatArray:
    """Remove each gene's mean over batches, then each batch's median over the chosen genes."""
    centred = log_delta[genes] - log_delta[genes].mean(axis=1, keepdims=True)
    result: FloatArray = centred - np.median(centred, axis=0)
    return result


def called_share(log_delta: FloatArray, se: FloatArray, *, level: float = 0.05) -> float:
    """Share of effects that differ from 0 at false discovery rate `level` (Benjamini-Hochberg)."""
    z = np.where(se > 0, np.abs(log_delta) / np.where(se > 0, se, 1.0), 0.0)
    p = np.sort(2 * stats.norm.sf(z).ravel())
    below = np.flatnonzero(p <= level * np.arange(1, p.size + 1) / p.size)
    return float(below[-1] + 1) / p.size if below.size else 0.0


def gap_closed(rmse: float, *, naive: float, oracle: float) -> float:
    """Share of the distance from the naive estimate to the oracle that a method covers."""
    return (naive - rmse) / (naive - oracle)
