"""The published updates: a Poisson model of pseudobulk counts and of their counterfactuals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from unbatch._check import InputError
from unbatch._types import BoolArray, FloatArray
from unbatch.core.statistics import SampleStatistics

EPSILON = 1e-8
"""Added to each denominator, as published."""

StopReason: TypeAlias = Literal["converged", "max_iter"]


@dataclass(frozen=True)
class ConceptTrace:
    """One number per iteration.

    Attributes
    ----------
    max_change
        (n_iter,) largest change of log delta, after centring each gene over the batches that counted it: the stopping
        rule looks at this.
    drift
        (n_iter,) largest change of a gene's mean log delta, which the data do not determine.
    log_likelihood
        (n_iter,) Poisson log-likelihood of Y and Z, without terms that depend on the data alone.
    objective
        (n_iter,) log_likelihood less what `EPSILON` adds to it; no update can lower it.
    """

    max_change: FloatArray
    drift: FloatArray
    log_likelihood: FloatArray
    objective: FloatArray


@dataclass(frozen=True)
class ConceptFit:
    """Result of `fit_concept`.

    Attributes
    ----------
    delta
        (n_genes, n_batches) multiplicative batch effect, up to one factor per gene; exactly 1 where not informative.
    mu
        (n_genes, n_samples) batch-free expression rate, counts per cell.
    gamma
        (n_genes, n_samples) multiplicative effect carried by the counterfactuals.
    informative
        (n_genes, n_batches) whether the batch has any count of the gene.
    trace
        How the iterations went.
    n_iter
        Iterations made.
    stop_reason
        "converged" or "max_iter".
    """

    delta: FloatArray
    mu: FloatArray
    gamma: FloatArray
    informative: BoolArray
    trace: ConceptTrace
    n_iter: int
    stop_reason: StopReason


@dataclass(frozen=True)
class _State:
    delta: FloatArray
    mu: FloatArray
    gamma: FloatArray
    exposure: FloatArray  # (n_genes, n_samples) sum_k delta_gk p_sk


def fit_concept(stats: SampleStatistics, *, max_iter: int = 1000, tol: float = 1e-6) -> ConceptFit:
    r"""Fit batch effects to pseudobulk statistics by the published updates.

    From :math:`\delta = \gamma = 1`, repeat

    .. math::

        \mu_{gs} &= \frac{\bar Y_{gs} + \bar Z_{gs}}{\sum_k \delta_{gk} p_{sk} + \gamma_{gs} + \epsilon} \\
        \gamma_{gs} &= \frac{\bar Z_{gs}}{\mu_{gs} + \epsilon} \\
        \delta_{gk} &= \frac{S_{gk}}{\sum_s \mu_{gs} n_{sk} + \epsilon}

    Each update is the exact maximum, over its own parameters, of

    .. math::

        \sum_{gk} S_{gk} \log \delta_{gk} + \sum_{gs} n_s \left[(\bar Y_{gs} + \bar Z_{gs}) \log \mu_{gs}
        + \bar Z_{gs} \log \gamma_{gs} - \mu_{gs} (\textstyle\sum_k \delta_{gk} p_{sk} + \gamma_{gs})\right]
        - \epsilon \left[\sum_{gs} n_s (\mu_{gs} + \gamma_{gs}) + \sum_{gk} \delta_{gk}\right],

    the log-likelihood of Y and Z less a penalty that stands for the published constant :math:`\epsilon = 10^{-8}`, so
    the objective never falls. The factor of a gene shared by all its delta and taken back by mu is held by the penalty
    alone and drifts slowly; the stopping rule does not look at it.

    A batch without any count of a gene, measured or not, has :math:`\delta_{gk} = 0` during the iterations: its cells
    then bear on no other estimate of the gene. Its delta is returned as 1, and not informative.

    Parameters
    ----------
    stats
        Statistics of the pseudobulk samples.
    max_iter
        Iterations at most (published: 100). More of them cost time in proportion; none are made after convergence.
    tol
        Stop when no gene-centred log delta changes by more than this in one iteration. Larger values stop earlier, with
        estimates that still depend on Z; 0 always makes max_iter iterations.

    Returns
    -------
    ConceptFit

    Raises
    ------
    InputError
        If max_iter is below 1 or tol is negative.
    """
    if max_iter < 1 or not tol >= 0:
        raise InputError(f"{max_iter=} and {tol=}: give at least 1 iteration and a tolerance of 0 or more")
    informative = stats.s_gk > 0
    trace = np.empty((4, max_iter))
    objective = _Objective(stats)
    before = _centre(np.ones_like(stats.s_gk), informative)
    n_iter: int = 0
    stop_reason: StopReason = "max_iter"
    for state in _iterate(stats):
        after = _centre(state.delta, informative)
        change, drift = (np.abs(new - old).max(initial=0.0) for new, old in zip(after, before, strict=True))
        trace[:, n_iter] = change, drift, *objective(state)
        n_iter, before = n_iter + 1, after
        if change <= tol and tol > 0:
            stop_reason = "converged"
        if stop_reason == "converged" or n_iter == max_iter:
            break
    return ConceptFit(
        delta=np.where(informative, state.delta, 1.0),
        mu=state.mu,
        gamma=state.gamma,
        informative=informative,
        trace=ConceptTrace(*trace[:, :n_iter]),
        n_iter=n_iter,
        stop_reason=stop_reason,
    )


def _iterate(stats: SampleStatistics) -> Iterator[_State]:
    p_sk, both = stats.p_sk, stats.ybar + stats.zbar
    gamma = np.ones_like(stats.ybar)
    exposure = np.ones_like(stats.s_gk) @ p_sk
    while True:
        mu = both / (exposure + gamma + EPSILON)
        gamma = stats.zbar / (mu + EPSILON)
        delta = stats.s_gk / (mu @ stats.n_sk.T + EPSILON)
        exposure = delta @ p_sk
        yield _State(delta, mu, gamma, exposure)


def _centre(delta: FloatArray, informative: BoolArray) -> tuple[FloatArray, FloatArray]:
    log_delta = np.log(np.where(informative, delta, 1.0))
    mean = log_delta.sum(axis=1) / np.maximum(informative.sum(axis=1), 1)
    return (log_delta - mean[:, None]) * informative, mean


def _dot(a: FloatArray, b: FloatArray) -> float:
    return float(np.einsum("ij,ij->", a, b))  # not np.vdot: starting BLAS threads costs 1000 times the sum itself


class _Objective:
    def __init__(self, stats: SampleStatistics) -> None:
        self.s_gk, self.n_s = stats.s_gk, stats.n_s
        self.both_counts = (stats.ybar + stats.zbar) * self.n_s
        self.z_counts = stats.zbar * self.n_s
        # a rate is 0 exactly where its counts are: 1 in its place makes 0 log 0 = 0
        self.delta_pad = np.asarray(self.s_gk == 0, dtype=np.float64)
        self.mu_pad = np.asarray(stats.ybar + stats.zbar == 0, dtype=np.float64)
        self.gamma_pad = np.asarray(stats.zbar == 0, dtype=np.float64)

    def __call__(self, state: _State) -> tuple[float, float]:
        delta, mu, gamma = state.delta, state.mu, state.gamma
        log_likelihood = (
            _dot(self.s_gk, np.log(delta + self.delta_pad))
            + _dot(self.both_counts, np.log(mu + self.mu_pad))
            + _dot(self.z_counts, np.log(gamma + self.gamma_pad))
            - np.einsum("gs,gs,s->", mu, state.exposure + gamma, self.n_s)
        )
        penalty = EPSILON * (np.einsum("gs,s->", mu + gamma, self.n_s) + delta.sum())
        return float(log_likelihood), float(log_likelihood - penalty)
