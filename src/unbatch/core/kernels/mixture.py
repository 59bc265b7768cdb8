"""A prior of several widths for the effects of a batch: the shares of the widths, and what they make of an effect."""

import math

from unbatch._types import BoolArray, FloatArray
from unbatch.core.kernels._compile import compiled

_TINY = 1e-300


def _weigh_widths(
    observed: FloatArray, variance: FloatArray, known: BoolArray, width2: FloatArray, likelihood: FloatArray
) -> None:
    # observed and variance: (n_genes,), an effect and its error without a prior. width2: (n_widths,), variances of the
    # prior. Written: likelihood, (n_genes, n_widths), over its largest; 0 for genes that are not known.
    for g in range(observed.size):
        here, most = likelihood[g], -math.inf
        for m in range(width2.size):
            total = width2[m] + variance[g]
            here[m] = -0.5 * (math.log(total) + observed[g] * observed[g] / total)
            most = max(most, here[m])
        for m in range(width2.size):
            here[m] = math.exp(here[m] - most) if known[g] else 0.0


weigh_widths = compiled(_weigh_widths)
"""Find how likely each effect is by each width."""


def _update_shares(
    likelihood: FloatArray, prior: FloatArray, n_updates: int, short: float, new: FloatArray, share: FloatArray
) -> None:
    # likelihood: (n_genes, n_widths). prior: (n_widths,), effects that were seen of each width beforehand.
    # new: (n_widths,), scratch. share: (n_widths,), moved, until no share changes by more than `short`.
    for _ in range(n_updates):
        total, moved = 0.0, 0.0
        for m in range(share.size):
            new[m] = prior[m]
        for g in range(likelihood.shape[0]):
            here, whole = likelihood[g], 0.0
            for m in range(share.size):
                whole += share[m] * here[m]
            per_whole = 1.0 / max(whole, _TINY)
            for m in range(share.size):
                new[m] += share[m] * here[m] * per_whole
        for m in range(share.size):
            total += new[m]
        for m in range(share.size):
            moved = max(moved, abs(new[m] / total - share[m]))
            share[m] = new[m] / total
        if moved < short:
            break


update_shares = compiled(_update_shares)
"""Find the shares of the widths by expectation maximisation."""


def _moments(
    observed: FloatArray,
    variance: FloatArray,
    width2: FloatArray,
    likelihood: FloatArray,
    share: FloatArray,
    kept: FloatArray,
    spread: FloatArray,
) -> None:
    # As above. Written, (n_genes,): kept, what is left of an effect in its posterior mean, and its posterior variance.
    # Where nothing is known, the prior's.
    for g in range(observed.size):
        whole, mean, square = 0.0, 0.0, 0.0
        for m in range(width2.size):
            whole += share[m] * likelihood[g, m]
        for m in range(width2.size):
            weight = share[m] * likelihood[g, m] / whole if whole > 0 else share[m]
            part = width2[m] / (width2[m] + variance[g])
            mean += weight * part
            square += weight * (part * variance[g] + (part * observed[g]) ** 2)
        kept[g] = mean
        spread[g] = square - (mean * observed[g]) ** 2


moments = compiled(_moments)
"""Give the posterior mean, as a part of what is observed, and the variance of each effect."""
