"""What a fit expects of the logs of counts of cells that are shallower than its own."""

from dataclasses import replace
from functools import cache

import numpy as np
from scipy import special

from unbatch._types import BoolArray, Float32Array, FloatArray, IntArray
from unbatch.core.landmarks import Landmarks

_SIZES = 8
"""Quantiles that stand for all sizes."""
_POINTS, _LEAST, _SUMMED = 400, 1e-6, 40.0
"""Means of a Poisson distribution at which moments are summed: how many, the least, and the largest."""
_TINY = 1e-300


def at_depth(
    landmarks: Landmarks,
    rate: FloatArray,
    *,
    genes: BoolArray,
    bases: tuple[FloatArray, FloatArray],
    centre: FloatArray,
    sizes: FloatArray,
) -> Landmarks:
    r"""Look at the states of a fit as cells of other sizes see them.

    The mean of the log of a count depends on how deep the cell is, and not on its state alone:

    .. math:: m(p; l) = \mathrm{E} \log(1 + a Y / l), \qquad Y \sim \mathrm{Poisson}(l p),

    for a gene with a share p of the counts of a cell of size l, a being the counts to which cells are normalised. To
    mean logs is added the mean over sizes of :math:`m(p; l) - m(p; 2a)`, the difference from cells of the shallowest
    batch of the fit (`common_scale`); to covariances within states, that of the variances, where it is positive.

    Parameters
    ----------
    landmarks
        The states.
    rate
        (n_genes, n_states) batch-free rates, on the footing of the coordinates.
    genes
        Genes that make up the size factor, (n_genes,).
    bases
        Axes of the states, (n_genes, n_dims), and of the embedding, (n_genes, n_embedding_dims).
    centre
        What effects are relative to in the embedding, (n_genes,).
    sizes
        Size factors of the cells, above 0.

    Returns
    -------
    Landmarks
        The same with other `mean_logs`, `embedding_logs`, `spread` and `noise`.
    """
    basis = bases[0]
    used, along = (np.flatnonzero(np.any(axes != 0, axis=1)) for axes in bases)
    mean, variance = _differences(_shares(rate, genes)[used], sizes, landmarks.scale)
    of_embedding, _ = _differences(_shares(rate * np.exp(centre)[:, None], genes)[along], sizes, landmarks.scale)
    wider = np.einsum("gd,gs,ge->sde", basis[used], variance, basis[used], optimize=True)
    return replace(
        landmarks,
        mean_logs=_raised(landmarks.mean_logs, used, mean),
        embedding_logs=_raised(landmarks.embedding_logs, along, of_embedding),
        spread=landmarks.spread + wider,
        noise=landmarks.noise + float(variance.sum() / max(variance.size, 1)),
    )


def _raised(logs: Float32Array, genes: IntArray, by: FloatArray) -> Float32Array:
    raised = logs.copy()
    raised[genes] = np.maximum(raised[genes] + by, 0.0)
    return raised


def _shares(rate: FloatArray, genes: BoolArray) -> FloatArray:
    """Share of each gene in the counts that make up the size factor, (n_genes, n_states)."""
    return np.asarray(rate / np.maximum(rate[genes].sum(axis=0), _TINY))


def _differences(share: FloatArray, sizes: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """How mean and variance of logs differ from those of cells of size 2a, for shares (n_genes, n_states)."""
    some = np.quantile(sizes, (np.arange(_SIZES) + 0.5) / _SIZES)
    mean, variance = moments_of_logs(share, some, scale)
    usual = moments_of_logs(share, np.array([2 * scale]), scale)
    return mean - usual[0], np.maximum(variance - usual[1], 0.0)


def moments_of_logs(share: FloatArray, sizes: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    r"""Mean and variance of :math:`\log(1 + a Y / l)`, Y of Poisson distribution, over sizes l.

    Parameters
    ----------
    share
        Share p of a gene in the counts, of any shape: the mean of Y is l p.
    sizes
        Sizes l, each of which counts the same.
    scale
        Counts a.

    Returns
    -------
    mean, variance
        Of the shape of `share`; to 0.002 standard deviations, and to 4%.
    """
    mean, square = np.zeros_like(share), np.zeros_like(share)
    for size in sizes.tolist():
        first, second = _powers(size * share, scale / size)
        mean += first / len(sizes)
        square += second / len(sizes)
    return mean, np.maximum(square - mean**2, 0.0)


def _powers(expected: FloatArray, factor: float) -> tuple[FloatArray, FloatArray]:
    """Mean and mean square of log(1 + factor Y) for means of Y: summed at points and interpolated, or expanded."""
    points, chance = _chances()
    logs, at = np.log1p(factor * np.arange(chance.shape[1])), np.log(np.clip(expected, _LEAST, _SUMMED))
    first, second = (np.interp(at, points, chance @ power) for power in (logs, logs**2))
    vanishing = np.minimum(expected / _LEAST, 1.0)
    ratio, inverse = factor * expected / (1 + factor * expected), 1 / np.maximum(expected, _LEAST)
    log = np.log1p(factor * expected) - ratio**2 * inverse / 2
    large = expected > _SUMMED
    return np.where(large, log, vanishing * first), np.where(large, log**2 + ratio**2 * inverse, vanishing * second)


@cache
def _chances() -> tuple[FloatArray, FloatArray]:
    """Tabulate logs of Poisson means, (n_points,), and the chance of each count, (n_points, n_counts)."""
    points = np.geomspace(_LEAST, _SUMMED, _POINTS)[:, None]
    counts = np.arange(int(_SUMMED + 10 * np.sqrt(_SUMMED)))
    return np.log(points[:, 0]), np.exp(special.xlogy(counts, points) - points - special.gammaln(counts + 1))
