"""Gene programmes: a Poisson factorisation of pseudobulks, with batch effects as offsets."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._threads import one_thread
from unbatch._types import Counts, FloatArray, IntArray
from unbatch.core.activity import fit_cells
from unbatch.core.clustering import k_means
from unbatch.core.parallel import in_ranges

_GENES = 3000
_STARTS, _SHORT = 5, 40
_LOOK = 10
_OWN = 0.8
_CHUNK = 250
_TINY = 1e-300
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class Pseudobulks:
    """Sums over groups of like cells.

    Attributes
    ----------
    counts
        (n_groups, n_genes) summed counts.
    size
        (n_groups, n_batches) summed size factors of the cells of each batch.
    """

    counts: FloatArray
    size: FloatArray


@dataclass(frozen=True, eq=False)
class Programmes:
    """Result of `factorise`.

    Attributes
    ----------
    beta
        (n_genes, n_factors) share of each gene in the counts of a factor: columns sum to 1, and none is 0.
    counts
        (n_factors,) adjusted counts of all pseudobulks that each factor makes, falling.
    deviance
        (n_looks,) Poisson deviance of the genes that were factorised, after every tenth update.
    stop_reason
        "converged" or "max_iter".
    """

    beta: FloatArray
    counts: FloatArray
    deviance: FloatArray
    stop_reason: str


def factorise(
    pseudobulks: Pseudobulks,
    delta: FloatArray,
    *,
    n_factors: int,
    seed: int,
    max_iter: int = 500,
    tol: float = 1e-4,
) -> Programmes:
    r"""Find programmes whose mixtures make the counts of all pseudobulks most likely.

    .. math:: Y_{gp} \sim \mathrm{Poisson}\Big(\sum_k \delta_{gk} n_{pk}\ \sum_t \beta_{gt} \theta_{tp}\Big)

    That is the factorisation of the adjusted rates :math:`\mu_{gp} = Y_{gp} / \sum_k \delta_{gk} n_{pk}` by
    Kullback-Leibler divergence, each rate weighted by the counts it stands for. Multiplicative updates (Lee and Seung,
    1999, Nature 401:788-791) of the 3,000 genes with most counts begin at groups of like pseudobulks; of five starts
    the one that is best after 40 updates goes on. Given the activities, the programmes of all genes are the exact
    maximum. At last each factor is given one count more, spread like all counts, so that none denies a gene.

    Parameters
    ----------
    pseudobulks
        Sums over groups of like cells.
    delta
        (n_genes, n_batches) multiplicative effects; 0 for a gene that the batch does not measure.
    n_factors
        Number of programmes. More split them, into halves of one or into a common and a rare one.
    seed
        Start of the random numbers.
    max_iter
        Most updates. More let programmes that are much alike come apart.
    tol
        Updates end when ten of them lower the deviance by less than this part of it. A larger one ends earlier.

    Returns
    -------
    Programmes

    Raises
    ------
    InputError
        If there are fewer pseudobulks with counts than factors.
    """
    filled = (pseudobulks.counts.sum(axis=1) > 0) & (pseudobulks.size.sum(axis=1) > 0)
    counts, size = pseudobulks.counts[filled], pseudobulks.size[filled]
    if len(counts) < n_factors:
        raise InputError(
            f"{n_factors} factors cannot be told apart by {len(counts)} pseudobulks: ask for fewer factors, or for "
            "more pseudobulks if there are cells enough"
        )
    loudest = np.sort(np.argsort(-counts.sum(axis=0), kind="stable")[:_GENES])
    problem = _Problem(np.ascontiguousarray(counts[:, loudest], dtype=np.float64), size, delta[loudest])
    with one_thread():
        theta, deviance, stop_reason = _best_of_starts(
            problem, n_factors=n_factors, seed=seed, max_iter=max_iter, tol=tol
        )
    beta = loadings(counts, theta, size=size, delta=delta)
    total = beta.sum(axis=0)
    beta, made = beta / np.maximum(total, _TINY), (theta * total).T @ size.sum(axis=1)
    overall = counts.sum(axis=0) + 0.5
    beta = (beta * made + (overall / overall.sum())[:, None]) / (made + 1.0)
    order = np.argsort(-made, kind="stable")
    return Programmes(
        np.ascontiguousarray(beta[:, order]), made[order], np.array(deviance, dtype=np.float64), stop_reason
    )


def loadings(counts: FloatArray, theta: FloatArray, *, size: FloatArray, delta: FloatArray) -> FloatArray:
    """Find the programmes of all genes that make their counts most likely, given activities of pseudobulks.

    Parameters
    ----------
    counts
        (n_groups, n_genes).
    theta
        (n_groups, n_factors).
    size
        (n_groups, n_batches) size factors.
    delta
        (n_genes, n_batches) effects.

    Returns
    -------
    (n_genes, n_factors)
    """
    expected = delta @ (size.T @ theta)
    by_gene = Counts(sparse.csr_array(counts.T, dtype=np.float64))
    genes = np.arange(len(delta), dtype=np.int32)
    return fit_cells(by_gene, batch=genes, beta=np.ascontiguousarray(theta), expected=expected).theta


@dataclass(frozen=True, eq=False)
class _Problem:
    """Counts of some genes, (n_groups, n_genes), sizes (n_groups, n_batches) and effects (n_genes, n_batches)."""

    counts: FloatArray
    size: FloatArray
    delta: FloatArray

    def exposure(self) -> FloatArray:
        return np.asarray(self.size @ self.delta.T)

    def update(self, beta: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Update activities, then programmes."""
        parts = np.empty((len(range(0, len(beta), _CHUNK)), *theta.shape))

        def pull_theta(start: int, stop: int) -> None:
            there = beta[start:stop]
            ratio = self.counts[:, start:stop] / np.maximum(theta @ there.T, _TINY)
            np.matmul(ratio, there, out=parts[start // _CHUNK])

        in_ranges(pull_theta, len(beta), step=_CHUNK)
        pull = parts[0]
        for part in parts[1:]:
            pull += part
        theta = theta * pull / np.maximum(self.size @ (self.delta.T @ beta), _TINY)
        weight = self.delta @ (self.size.T @ theta)
        new = np.empty_like(beta)

        def pull_beta(start: int, stop: int) -> None:
            there = beta[start:stop]
            ratio = self.counts[:, start:stop] / np.maximum(theta @ there.T, _TINY)
            new[start:stop] = there * (ratio.T @ theta) / np.maximum(weight[start:stop], _TINY)

        in_ranges(pull_beta, len(beta), step=_CHUNK)
        return new, theta

    def deviance(self, beta: FloatArray, theta: FloatArray) -> float:
        r"""Twice the sum of :math:`y \log(y / m) - y + m`."""
        parts = np.empty(len(range(0, len(beta), _CHUNK)))

        def some(start: int, stop: int) -> None:
            here = self.counts[:, start:stop]
            mean = (theta @ beta[start:stop].T) * (self.size @ self.delta[start:stop].T)
            parts[start // _CHUNK] = poisson_deviance(here, mean).sum()

        in_ranges(some, len(beta), step=_CHUNK)
        return float(parts.sum())


def poisson_deviance(counts: FloatArray, mean: FloatArray) -> FloatArray:
    r"""Give :math:`2 (y \log(y / m) - y + m)` of each count, 0 where it is what was expected."""
    ratio = np.where(counts > 0, counts, 1.0) / np.where(counts > 0, np.maximum(mean, _TINY), 1.0)
    return np.asarray(2.0 * (counts * np.log(ratio) - counts + mean))


def _best_of_starts(
    problem: _Problem, *, n_factors: int, seed: int, max_iter: int, tol: float
) -> tuple[FloatArray, list[float], str]:
    """Give the activities (n_groups, n_factors), the deviances and why the updates ended."""
    best: tuple[float, FloatArray, FloatArray] | None = None
    for beta, theta in _starts(problem, n_factors, seed):
        for _ in range(min(_SHORT, max_iter)):
            beta, theta = problem.update(beta, theta)  # noqa: PLW2901 - moved from where it starts
        deviance = problem.deviance(beta, theta)
        if best is None or deviance < best[0]:
            best = deviance, beta, theta
    assert best is not None  # there is at least one start
    deviances, beta, theta = [best[0]], best[1], best[2]
    for number in range(_SHORT + 1, max_iter + 1):
        beta, theta = problem.update(beta, theta)
        if number % _LOOK:
            continue
        deviances.append(problem.deviance(beta, theta))
        if deviances[-2] - deviances[-1] <= tol * deviances[-1]:
            return theta, deviances, "converged"
    return theta, deviances, "max_iter"


def _starts(problem: _Problem, n_factors: int, seed: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Begin at groups of pseudobulks: each factor is the mean of a group, with a little of all."""
    exposure = np.maximum(problem.exposure(), _TINY)
    rate = problem.counts / exposure
    points = np.sqrt(rate / np.maximum(rate.sum(axis=1, keepdims=True), _TINY))
    weight = problem.counts.sum(axis=1)
    overall = problem.counts.sum(axis=0) / np.maximum(exposure.sum(axis=0), _TINY)
    tries = _STARTS if 1 < n_factors < len(points) else 1
    for number in range(tries):
        code: IntArray = k_means(points, n_factors, weight=weight, seed=seed + number).astype(np.int64)
        member = np.asarray(code[:, None] == np.arange(n_factors), dtype=np.float64)
        means = (problem.counts.T @ member) / np.maximum(exposure.T @ member, _TINY)
        beta = (1 - _LEAST_SHARE) * means + _LEAST_SHARE * overall[:, None]
        theta = (1 - _OWN) / n_factors + _OWN * member
        yield np.ascontiguousarray(beta), theta
