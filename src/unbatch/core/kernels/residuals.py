"""How far counts lie from the log-linear model: around their states, and the states around the model."""

import math

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

_TINY = 1e-300


def _chi_squares(
    squares: FloatArray,
    total: FloatArray,
    exposure: FloatArray,
    scale: FloatArray,
    factor: FloatArray,
    delta: FloatArray,
    chi2: FloatArray,
) -> None:
    # squares: (n_genes, n_states, n_batches), sums of Y^2 / l. total: (n_genes, n_states). scale: (n_batches,).
    # factor: (n_genes or 1, n_states or 1, n_batches). chi2: (n_genes,), written.
    # With means m = r l of the counts, the sum of (Y - m)^2 / m is that of Y^2 / (r l), less that of Y.
    n_genes, n_states, n_batches = squares.shape
    for g in range(n_genes):
        chi2[g] = 0.0
        along = factor[g if factor.shape[0] > 1 else 0]
        for s in range(n_states):
            if total[g, s] > 0:
                weight, ratio = 0.0, 0.0
                for k in range(n_batches):
                    per_size = delta[g, k] * scale[k] * along[s if along.shape[0] > 1 else 0, k]
                    weight += exposure[s, k] * per_size
                    if squares[g, s, k] > 0 and per_size > 0:
                        ratio += squares[g, s, k] / per_size
                chi2[g] += ratio * weight / total[g, s] - total[g, s]


chi_squares = compiled(_chi_squares)
"""Sum the squared Pearson residuals of all cells, by gene."""


def _state_chi_squares(
    counts: FloatArray,
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    delta: FloatArray,
    dispersion: FloatArray,
    enough: float,
    chi2: FloatArray,
    freedom: FloatArray,
    by_state: FloatArray,
) -> None:
    # counts: (n_genes, n_states, n_batches). chi2 and freedom: (n_genes,), written.
    # by_state: (2, n_states, n_batches), chi2 and freedom over genes, added to.
    n_genes, n_states, n_batches = counts.shape
    for g in range(n_genes):
        chi2[g] = freedom[g] = 0.0
        along = factor[g if factor.shape[0] > 1 else 0]
        for s in range(n_states):
            if total[g, s] > enough:
                weight, here = 0.0, along[s if along.shape[0] > 1 else 0]
                for k in range(n_batches):
                    weight += exposure[s, k] * here[k] * delta[g, k]
                for k in range(n_batches):
                    share = exposure[s, k] * here[k] * delta[g, k] / max(weight, _TINY)
                    expected = total[g, s] * share
                    if expected > enough:
                        square = (counts[g, s, k] - expected) ** 2 / (expected * dispersion[g])
                        chi2[g] += square
                        freedom[g] += 1 - share
                        by_state[0, s, k] += square
                        by_state[1, s, k] += 1 - share


state_chi_squares = compiled(_state_chi_squares)
"""Sum the squared Pearson residuals of the counts of states, and their expectations, where enough is expected."""


def _kind_chi_squares(
    counts: FloatArray,
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    delta: FloatArray,
    dispersion: FloatArray,
    kind: IntArray,
    enough: float,
    scratch: FloatArray,
    chi2: FloatArray,
    freedom: FloatArray,
) -> None:
    # kind: (n_states,). scratch: (2, n_kinds, n_batches). chi2 and freedom: (n_genes,), written.
    # What states of a kind have too much of is added up before it is squared; of all kinds together it is about 0.
    n_genes, n_states, n_batches = counts.shape
    excess, variance = scratch[0], scratch[1]
    for g in range(n_genes):
        chi2[g] = freedom[g] = 0.0
        excess[:], variance[:] = 0.0, 0.0
        along = factor[g if factor.shape[0] > 1 else 0]
        for s in range(n_states):
            if total[g, s] > 0:
                weight, here = 0.0, along[s if along.shape[0] > 1 else 0]
                for k in range(n_batches):
                    weight += exposure[s, k] * here[k] * delta[g, k]
                for k in range(n_batches):
                    share = exposure[s, k] * here[k] * delta[g, k] / max(weight, _TINY)
                    excess[kind[s], k] += counts[g, s, k] - total[g, s] * share
                    variance[kind[s], k] += total[g, s] * share * (1 - share)
        for k in range(n_batches):
            whole = 0.0
            for h in range(variance.shape[0]):
                whole += variance[h, k]
            for h in range(variance.shape[0]):
                if variance[h, k] > enough:
                    chi2[g] += excess[h, k] ** 2 / (variance[h, k] * dispersion[g])
                    freedom[g] += 1 - variance[h, k] / whole


kind_chi_squares = compiled(_kind_chi_squares)
"""Sum the squared residuals of the counts of kinds of states, and their expectations, where enough is expected."""


def _likelihoods(
    counts: FloatArray,
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    delta: FloatArray,
    rate: FloatArray,
    likelihood: FloatArray,
) -> None:
    # rate: (n_genes, n_states) and likelihood: (n_genes,), written.
    n_genes, n_states, n_batches = counts.shape
    for g in range(n_genes):
        likelihood[g] = 0.0
        along = factor[g if factor.shape[0] > 1 else 0]
        for s in range(n_states):
            rate[g, s] = 0.0
            if total[g, s] > 0:
                here = along[s if along.shape[0] > 1 else 0]
                weight = 0.0
                for k in range(n_batches):
                    weight += exposure[s, k] * here[k] * delta[g, k]
                if weight > 0:
                    rate[g, s] = total[g, s] / weight
                for k in range(n_batches):
                    if counts[g, s, k] > 0:
                        share = exposure[s, k] * here[k] * delta[g, k] / max(weight, _TINY)
                        likelihood[g] += counts[g, s, k] * math.log(max(share, _TINY))


likelihoods = compiled(_likelihoods)
"""Find the rates of states, and the log-likelihood of the shares of batches in their counts, by gene."""
