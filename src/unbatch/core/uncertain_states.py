"""Cells whose counts leave open which state of a reference they are of: a share of each cell goes to each state."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import special

from unbatch._types import BoolArray, Counts, FloatArray, IntArray
from unbatch.core.convention import weighted_median
from unbatch.core.state_mixture import smoothed
from unbatch.core.state_table import StateTable

_STEPS, _SETTLED = 60, 1e-3
_WEIGHINGS = 10
_PRIOR_CELLS = 1.0
"""Cells of each state taken as seen beforehand, which keeps states that look alike from trading cells without end."""
_PRIOR_COUNTS = 4.0
"""Counts of no effect while a start is looked for: a prior of standard deviation 0.5."""
_START_WIDTH = 0.5
_MOST_LOST = 0.05
"""By how much the variance of effects may grow, on average over genes, for states to be taken as known."""
_LEAST_KEPT = 1e-2
"""Least part of the information on any combination of effects that is taken to be left."""
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class UncertainStates:
    r"""New cells as a mixture of the states of a reference.

    Given the counts of a cell, :math:`L_j` together, those of its genes are shared out at random,

    .. math:: Y_{\cdot j} \mid s \sim \mathrm{Multinomial}(L_j, p_s), \qquad
              p_{gs} = \frac{\mu_{gs} \delta_g}{\sum_i \mu_{is} \delta_i}, \qquad P(s) = \pi_s,

    over the genes that were measured. Where these are many, a cell is of one state as good as surely; where they are
    few, cells of two states are taken for each other, in numbers that go with how many there are of each. To put every
    cell into its likeliest state then makes of the difference of the two an effect. Shares
    :math:`r_{js} = P(s \mid Y_{\cdot j})` do not: with effects fitted to sums in which each cell counts by its shares,
    in turns, they are expectation maximisation (Dempster, Laird and Rubin 1977), which ends where the likelihood of the
    mixture is largest.

    Attributes
    ----------
    counts
        Counts of the genes that were measured, (n_cells, n_seen).
    rate
        (n_seen, n_states) rates of the reference, above 0.
    allowed
        (n_cells, n_states) states that a cell may be of.
    """

    counts: Counts
    rate: FloatArray
    allowed: BoolArray

    @classmethod
    def of(cls, counts: Counts, rate: FloatArray, exposure: FloatArray, allowed: BoolArray) -> Self:
        """Prepare rates, (n_seen, n_states), of counts over exposure: one count of the usual rate is added to each."""
        return cls(counts.tocsr(), smoothed(rate * exposure, exposure), allowed)

    @cached_property
    def totals(self) -> FloatArray:
        """Counts of each cell, (n_cells,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def among(self, cells: IntArray, states: BoolArray) -> Self:
        """Keep some cells, which are of some of the states only."""
        return type(self)(self.counts[cells], self.rate, self.allowed[cells] & states)

    def shares(self, log_delta: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
        """Share each cell out to the states, (n_cells, n_states), by effects and the weight pi of each state.

        The log-likelihood of the cells comes second.
        """
        mean = self.rate * np.exp(log_delta)[:, None]
        log = np.asarray(self.counts @ np.log(mean / mean.sum(axis=0))) + np.log(np.maximum(weight, _TINY))
        log = np.where(self.allowed, log, -np.inf)
        whole = special.logsumexp(log, axis=1, keepdims=True)
        there = np.isfinite(whole)
        return np.where(there, np.exp(log - np.where(there, whole, 0.0)), 0.0), float(whole[there].sum())

    def sizes(self, log_delta: FloatArray) -> FloatArray:
        """Give the size factor that each cell would have in each state, (n_cells, n_states)."""
        return np.outer(self.totals, 1 / (self.rate * np.exp(log_delta)[:, None]).sum(axis=0))

    def settle(self, log_delta: FloatArray) -> tuple[FloatArray, float]:
        """Find effects by expectation maximisation from a start, (n_seen,).

        Returns
        -------
        log_delta
            (n_seen,)
        objective
            Log-likelihood, plus the log prior of the effects.
        """
        seen = np.asarray(self.counts.sum(axis=0), dtype=np.float64).ravel()
        weight, objective = self.evenly(), -np.inf
        for _ in range(_STEPS):
            share, likelihood = self.shares(log_delta, weight)
            objective = likelihood - _PRIOR_COUNTS * float((np.exp(log_delta) - 1 - log_delta).sum())
            expected = self.rate @ (share * self.sizes(log_delta)).sum(axis=0)
            weight, before = self._weights(share), log_delta
            log_delta = np.log((seen + _PRIOR_COUNTS) / (expected + _PRIOR_COUNTS))
            log_delta = log_delta - weighted_median(log_delta, seen)
            if np.abs(log_delta - before).max(initial=0.0) < _SETTLED:
                break
        return log_delta, objective

    def weighed(self, log_delta: FloatArray) -> FloatArray:
        """Share cells out by effects, (n_seen,), and by the weights of states that go with them."""
        weight = self.evenly()
        for _ in range(_WEIGHINGS):
            share, _ = self.shares(log_delta, weight)
            weight = self._weights(share)
        return self.shares(log_delta, weight)[0]

    def _weights(self, share: FloatArray) -> FloatArray:
        """Find the weights of states from the shares of cells."""
        cells = share.sum(axis=0) + _PRIOR_CELLS * self.allowed.any(axis=0)
        return np.asarray(cells / max(float(cells.sum()), _TINY))

    def evenly(self) -> FloatArray:
        """Give all states that any cell may be of the same weight, (n_states,)."""
        there = self.allowed.any(axis=0)
        return np.asarray(there / max(int(there.sum()), 1))

    def are_open(self, log_delta: FloatArray, dispersion: FloatArray) -> bool:
        """Tell whether cells leave their states open, by effects, (n_seen,): see `inflation`, a twentieth or more."""
        width = np.full(len(log_delta), _START_WIDTH)
        factor = self.inflation(log_delta, self.weighed(log_delta), dispersion=dispersion, width=width)
        return float(factor.mean()) > 1 + _MOST_LOST

    def table(self, counts: Counts, log_delta: FloatArray, share: FloatArray) -> StateTable:
        """Sum counts of any genes of the cells, (n_cells, n_genes), by their shares: a `StateTable` of one batch."""
        size = self.sizes(log_delta)
        return StateTable(
            counts=np.asarray(counts.T @ share)[:, :, None],
            squares=np.asarray(counts.power(2).T @ (share / np.maximum(size, _TINY)))[:, :, None],
            exposure=(share * size).sum(axis=0)[:, None],
            cells=share.sum(axis=0)[:, None],
        )

    def inflation(
        self,
        log_delta: FloatArray,
        share: FloatArray,
        *,
        dispersion: FloatArray,
        width: FloatArray,
    ) -> FloatArray:
        r"""Tell by how much the variance of each effect grows because the states of cells are not known, (n_seen,).

        The information on effects is that of known states less the variance of the scores over states (Louis 1982).
        With :math:`W_q = \sum_j L_j^q (\mathrm{diag}(r_j) - r_j r_j^\top)`, and the weights of states profiled out,

        .. math:: H = A - \Phi^{-1/2} P \big(W_2 + W_1 (n (\mathrm{diag}(\pi) - \pi \pi^\top) - W_0 + I)^+ W_1\big)
                  P^\top \Phi^{-1/2}, \qquad A_g = \frac{1}{\phi_g} \sum_{js} r_{js} L_j p_{gs} + \frac{1}{w_g^2},

        and the factor is :math:`(H^{-1})_{gg} A_g`, at least 1. The identity I, less its mean, is the cell of each
        state that is taken as seen beforehand.

        Parameters
        ----------
        log_delta
            Effects, (n_seen,).
        share
            Shares of cells, (n_cells, n_states).
        dispersion, width
            Variance over that of Poisson counts, and standard deviation of the prior, (n_seen,).
        """
        mean = self.rate * np.exp(log_delta)[:, None]
        part, totals = mean / mean.sum(axis=0), self.totals
        zeroth, first, second = (
            np.diag(weight @ share) - (share * weight[:, None]).T @ share for weight in (totals**0, totals, totals**2)
        )
        pi = share.sum(axis=0)
        free = np.diag(pi) - np.outer(pi, pi) / max(float(pi.sum()), 1.0) - zeroth
        free += _PRIOR_CELLS * (np.eye(len(pi)) - 1 / len(pi))
        lost = second + first @ np.linalg.pinv(free, rcond=1e-6, hermitian=True) @ first
        known = part @ (totals @ share) / dispersion + 1 / width**2
        axes = part / np.sqrt(dispersion * known)[:, None]
        values, vectors = np.linalg.eigh(lost)
        root = axes @ (vectors * np.sqrt(np.maximum(values, 0.0)))
        left, kept, _ = np.linalg.svd(root, full_matrices=False)  # H in units of A is 1 - root root'
        of_axis = 1 / np.maximum(1 - kept**2, _LEAST_KEPT) - 1
        return np.asarray(1 + (left**2) @ of_axis)
