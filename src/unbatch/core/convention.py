"""The convention that fixes what the data leave open: one factor per gene and one per batch."""

import numpy as np

from unbatch._types import BoolArray, FloatArray
from unbatch.core.parallel import in_ranges

MAX_PASSES = 200
"""With all genes measured in all batches the first pass settles it; missing genes couple the two conditions."""

SETTLED = 1e-12

_BATCHES = 8
"""Batches of which a thread finds the medians in one go."""


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """Take the median of weighted values: half of the weight lies below it and half above.

    Parameters
    ----------
    values
        (n,).
    weights
        (n,) not negative.

    Returns
    -------
    The median; the middle of the interval where half the weight falls between two values, 0 without weight.
    """
    order = np.argsort(values, kind="stable")
    order = order[weights[order] > 0]
    if not order.size:
        return 0.0
    below = np.cumsum(weights[order])
    half = below[-1] / 2
    tolerance = below[-1] * order.size * np.finfo(np.float64).eps
    lower = order[np.searchsorted(below, half - tolerance)]
    upper = order[min(np.searchsorted(below, half + tolerance), order.size - 1)]
    return float((values[lower] + values[upper]) / 2)


def centre_log_delta(log_delta: FloatArray, weights: FloatArray, measured: BoolArray) -> FloatArray:
    r"""Bring log delta into the convention of all outputs, ``L_gk - a_g - b_k``.

    Per gene, the mean over the batches that measured it is 0. Per batch, the weighted median over genes is 0 for two
    batches; for more, the medians of all batches are equal, because the n_batches conditions on medians stand against
    n_batches - 1 free contrasts. What is left in common is small if most genes have no effect.

    Parameters
    ----------
    log_delta
        (n_genes, n_batches) natural log.
    weights
        (n_genes,) expression of each gene, not negative.
    measured
        (n_genes, n_batches) which entries hold information. Others become 0, and so do genes that fewer than two
        batches measured.

    Returns
    -------
    (n_genes, n_batches)
    """
    free = measured & (measured.sum(axis=1, keepdims=True) > 1)
    centred = _centre_genes(np.where(free, log_delta, 0.0), free)
    for _ in range(MAX_PASSES):
        medians = _medians(centred, weights, free)
        previous, centred = centred, _centre_genes(np.where(free, centred - medians, 0.0), free)
        if np.abs(centred - previous).max(initial=0.0) <= SETTLED:
            break
    return centred


def _medians(log_delta: FloatArray, weights: FloatArray, free: BoolArray) -> FloatArray:
    medians = np.zeros(free.shape[1])

    def some(first: int, stop: int) -> None:
        for k in range(first, stop):
            medians[k] = weighted_median(log_delta[:, k], weights * free[:, k])

    in_ranges(some, len(medians), step=_BATCHES)
    return medians


def relate_log_delta(log_delta: FloatArray, weights: FloatArray, measured: BoolArray, *, reference: int) -> FloatArray:
    r"""Express log delta relative to one batch r, ``L_gk - L_gr - b_k``.

    In the reference it is 0 for every gene, and in every batch its weighted median over genes is 0.

    Parameters
    ----------
    log_delta
        (n_genes, n_batches) natural log.
    weights
        (n_genes,) expression of each gene, not negative.
    measured
        (n_genes, n_batches) which entries hold information. Others become 0, and so do genes that the reference did not
        measure: they have nothing to be relative to.
    reference
        Column of the reference.

    Returns
    -------
    (n_genes, n_batches)
    """
    free = measured & measured[:, [reference]]
    relative = np.where(free, log_delta - log_delta[:, [reference]], 0.0)
    medians = np.array([weighted_median(relative[:, k], weights * free[:, k]) for k in range(free.shape[1])])
    return np.where(free, relative - medians, 0.0)


def _centre_genes(values: FloatArray, free: BoolArray) -> FloatArray:
    means = values.sum(axis=1) / np.maximum(free.sum(axis=1), 1)
    return np.where(free, values - means[:, None], 0.0)
