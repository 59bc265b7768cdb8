"""The published updates: a Poisson model of pseudobulk counts and of their counterfactuals."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self, TypeAlias

import numpy as np

from unbatch._check import InputError
from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.statistics import SampleStatistics

EPSILON = 1e-8
"""Added to each denominator, as published."""

CHECK_EVERY = 100
"""Iterations between looks at the tolerance: no gene gets fewer than the published number."""

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
    converged
        (n_genes,) whether the gene met the tolerance.
    trace
        How the iterations went.
    n_iter
        Iterations made for the last gene.
    stop_reason
        "converged" if all genes met the tolerance, or "max_iter".
    """

    delta: FloatArray
    mu: FloatArray
    gamma: FloatArray
    informative: BoolArray
    converged: BoolArray
    trace: ConceptTrace
    n_iter: int
    stop_reason: StopReason


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

    Genes do not touch each other: every `CHECK_EVERY` iterations, those that meet the tolerance are done.

    A batch without any count of a gene, measured or not, has :math:`\delta_{gk} = 0` during the iterations: its cells
    then bear on no other estimate of the gene. Its delta is returned as 1, and not informative.

    Parameters
    ----------
    stats
        Statistics of the pseudobulk samples.
    max_iter
        Iterations at most (published: 100). More of them let slow genes come closer to the fixed point, at a cost in
        proportion to the genes that are left.
    tol
        A gene is done when none of its centred log delta changed by as much as this in the last iteration. Larger
        values stop earlier, with estimates that still depend on Z; 0 always makes max_iter iterations.

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
    # batches without cells would change sums in their last bits
    present, n_batches = stats.n_sk.any(axis=1), len(stats.n_sk)
    stats = replace(stats, s_gk=stats.s_gk[:, present], n_sk=stats.n_sk[present])
    delta, mu, gamma = np.ones_like(stats.s_gk), np.empty_like(stats.ybar), np.ones_like(stats.ybar)
    converged = np.zeros(len(delta), dtype=np.bool_)
    finished = np.zeros(2)  # log-likelihood and objective of the genes that are done
    trace: list[tuple[float, ...]] = []
    while len(trace) < max_iter and not converged.all():
        genes = np.flatnonzero(~converged)
        part = _Genes.of(stats, genes)
        state = delta[genes], mu[genes], gamma[genes]
        log_delta = part.log_delta(state[0])
        for _ in range(min(CHECK_EVERY, max_iter - len(trace))):
            state = part.update(*state)
            before, log_delta = log_delta, part.log_delta(state[0])
            change, drift = part.changes(log_delta - before)
            fit = part.objective(log_delta, *state)
            trace.append((change.max(initial=0.0), drift.max(initial=0.0), *(finished + fit.sum(axis=1))))
        delta[genes], mu[genes], gamma[genes] = state
        converged[genes] = change < tol
        finished += fit[:, change < tol].sum(axis=1)
    informative, whole = np.zeros((len(mu), n_batches), dtype=np.bool_), np.ones((len(mu), n_batches))
    informative[:, present] = stats.s_gk > 0
    whole[:, present] = delta
    return ConceptFit(
        delta=np.where(informative, whole, 1.0),
        mu=mu,
        gamma=gamma,
        informative=informative,
        converged=converged,
        trace=ConceptTrace(*np.array(trace).reshape(-1, 4).T.copy()),
        n_iter=len(trace),
        stop_reason="converged" if converged.all() else "max_iter",
    )


@dataclass(frozen=True)
class _Genes:
    """The statistics of some genes and the steps on them."""

    ybar: FloatArray
    zbar: FloatArray
    s_gk: FloatArray
    n_sk: FloatArray
    p_sk: FloatArray

    @classmethod
    def of(cls, stats: SampleStatistics, genes: IntArray) -> Self:
        return cls(stats.ybar[genes], stats.zbar[genes], stats.s_gk[genes], stats.n_sk, stats.p_sk)

    @cached_property
    def both(self) -> FloatArray:
        return self.ybar + self.zbar

    @cached_property
    def n_s(self) -> FloatArray:
        return np.asarray(self.n_sk.sum(axis=0), dtype=np.float64)

    @cached_property
    def counted(self) -> FloatArray:
        return np.asarray(self.s_gk > 0, dtype=np.float64)

    @cached_property
    def pads(self) -> tuple[FloatArray, FloatArray]:
        # a rate is 0 exactly where its counts are: 1 in its place makes 0 log 0 = 0
        return np.asarray(self.both == 0, dtype=np.float64), np.asarray(self.zbar == 0, dtype=np.float64)

    def update(self, delta: FloatArray, mu: FloatArray, gamma: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        mu = self.both / (delta @ self.p_sk + gamma + EPSILON)
        gamma = self.zbar / (mu + EPSILON)
        delta = self.s_gk / (mu @ self.n_sk.T + EPSILON)
        return delta, mu, gamma

    def log_delta(self, delta: FloatArray) -> FloatArray:
        """(n_genes, n_batches), 0 where nothing was counted."""
        return np.log(delta * self.counted + (1 - self.counted))

    def changes(self, moved: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n_genes,) largest change about the gene's mean, and change of the mean."""
        drift = moved.sum(axis=1) / np.maximum(self.counted.sum(axis=1), 1)
        return np.abs((moved - drift[:, None]) * self.counted).max(axis=1, initial=0.0), np.abs(drift)

    def objective(self, log_delta: FloatArray, delta: FloatArray, mu: FloatArray, gamma: FloatArray) -> FloatArray:
        """(2, n_genes) log-likelihood and objective."""
        mu_pad, gamma_pad = self.pads
        per_cell = self.both * np.log(mu + mu_pad) + self.zbar * np.log(gamma + gamma_pad)
        per_cell -= mu * (delta @ self.p_sk + gamma)
        log_likelihood = per_cell @ self.n_s + (self.s_gk * log_delta).sum(axis=1)
        penalty = EPSILON * ((mu + gamma) @ self.n_s + delta.sum(axis=1))
        return np.stack([log_likelihood, log_likelihood - penalty])
