"""How sums by state and batch scatter around a model in which a batch acts alike on every state."""

from unbatch._types import FloatArray
from unbatch.core.kernels._compile import compiled


def _fit_margins(counts: FloatArray, steps: int, mean: FloatArray) -> None:
    # counts, mean: (n_states, n_batches) of one gene. mean, to begin with the exposure, 0 where a batch takes no part
    # and counts are 0 too, is multiplied by a number per state and one per batch until it has the margins of counts
    # (iterative proportional fitting).
    n_states, n_batches = counts.shape
    for _ in range(steps):
        for k in range(n_batches):
            seen, expected = 0.0, 0.0
            for s in range(n_states):
                seen += counts[s, k]
                expected += mean[s, k]
            for s in range(n_states):
                mean[s, k] *= seen / expected if expected > 0.0 else 0.0
        for s in range(n_states):
            seen, expected = 0.0, 0.0
            for k in range(n_batches):
                seen += counts[s, k]
                expected += mean[s, k]
            for k in range(n_batches):
                mean[s, k] *= seen / expected if expected > 0.0 else 0.0


fit_margins = compiled(_fit_margins)
"""Fit a number per state and one per batch to the sums of a gene."""


def _scatter(counts: FloatArray, mean: FloatArray, dispersion: FloatArray, enough: float, out: FloatArray) -> None:
    # counts, mean, dispersion: (n_states, n_batches). out: chi-square of the entries with more than `enough` expected,
    # what it is without effects of states, its degrees of freedom, and how it grows with the variance of such effects.
    n_states, n_batches = counts.shape
    squares, noise, free, gain, compared = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n_batches):
        here = 0
        for s in range(n_states):
            if mean[s, k] > enough:
                here = 1
        compared += here
    for s in range(n_states):
        total, of_squares = 0.0, 0.0
        for k in range(n_batches):
            total += mean[s, k]
            of_squares += mean[s, k] ** 2
        for k in range(n_batches):
            if mean[s, k] > enough:
                rest = 1.0 - mean[s, k] / total
                squares += (counts[s, k] - mean[s, k]) ** 2 / mean[s, k]
                noise += dispersion[s, k] * rest
                free += rest
                gain += mean[s, k] * (rest**2 + (of_squares - mean[s, k] ** 2) / total**2)
    left = max(free - max(compared - 1.0, 0.0), 0.0)
    kept = left / free if free > 0.0 else 0.0
    out[0], out[1], out[2], out[3] = squares, noise * kept, left, gain * kept


scatter = compiled(_scatter)
"""Measure how far the sums of a gene scatter around the fit of their margins."""
