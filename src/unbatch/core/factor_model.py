"""A Poisson factor model of counts by state and batch, whose batches have effects: activities, loadings and effects."""

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from scipy import sparse

from unbatch._types import Counts, FloatArray, IntArray
from unbatch.core.clustering import k_means
from unbatch.core.kernels.factors import fit_loadings, log_likelihoods, update
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.core.state_table import Sums

_LOADING_UPDATES, _LOADING_PRIOR = 50, 5.0
_GENES = 128
"""Genes treated in one go of a thread."""
_COUNTS = 50_000
"""Counts above 0 visited in one go of a thread."""
_GROUPINGS = 10
"""Starts of the grouping of states from which factors begin: of three, the best is often a poor one."""
_WATCHED = 3
"""Updates after which it is looked whether the likelihood has risen."""
_HEAVINESS = 8.0
"""After so many updates the next one goes on by half of the last step. Less: sooner, and sooner too far."""
_TINY, _LEAST = 1e-12, 1e-300
_LEAST_SD = 1e-2

_Values: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Activities, loadings and effects."""


@dataclass(frozen=True, eq=False)
class FactorStart:
    """Where the factor model begins: effects (n_genes, n_batches), their prior in counts, and the random start."""

    log_delta: FloatArray
    prior_counts: float
    seed: int

    @classmethod
    def of(cls, log_delta: FloatArray, prior_sd: FloatArray, *, seed: int) -> Self:
        """Begin from log effects, (n_genes, n_batches), with one prior for all: the mean precision of (n_batches,)."""
        return cls(log_delta, float(np.mean(1 / np.maximum(prior_sd, _LEAST_SD) ** 2)), seed)


class FactorModel:
    r"""A factor model of some genes, whose batch effects are found along with it.

    .. math:: Y_{gsk} \sim \mathrm{Poisson}\Big(E_{sk}\, \delta_{gk} \sum_t \beta_{gt} \theta_{t,sk}\Big)

    by multiplicative updates (Lee and Seung 2001), of which thousands would be needed: where states are graded, and
    batches have other parts of them, effects can stand in for composition to almost the same likelihood. So each
    update begins beyond the last one, in its direction (on logarithms: no number changes its sign), the farther the
    longer that has gone well (Nesterov 1983; begun anew where the likelihood falls, as by O'Donoghue and Candes 2015,
    Found. Comput. Math. 15:715-732), which takes a third to a tenth of them, and makes no more of what is rounded off.

    Attributes
    ----------
    beta
        Loadings, (n_genes, n_factors).
    """

    def __init__(self, counts: FloatArray, exposure: FloatArray, start: FactorStart, *, n_factors: int) -> None:
        n_genes, _, n_batches = counts.shape
        self._shape, self._there = exposure.shape, np.flatnonzero(exposure)
        state, self._batch = np.divmod(self._there, n_batches)
        self._by_gene = sparse.csr_array(counts.reshape(n_genes, -1)[:, self._there])
        self._by_pair, self._size = self._by_gene.T.tocsr(), exposure.ravel()[self._there]
        self._in_batch = np.zeros((n_batches, len(self._size)))
        self._in_batch[self._batch, np.arange(len(self._size))] = 1
        self._observed = (self._in_batch @ self._by_pair).T
        self._prior_counts = start.prior_counts
        self._delta = np.exp(start.log_delta)
        profile = counts.sum(axis=2) / np.maximum(self._delta @ exposure.T, _TINY)
        share = np.sqrt(profile / np.maximum(profile.sum(axis=0), _TINY)).T
        weight = exposure.sum(axis=1) + _TINY
        found = k_means(share, n_factors, weight=weight, n_starts=_GROUPINGS, seed=start.seed)
        names, group = np.unique(found, return_inverse=True)
        means = [np.average(profile[:, group == t], axis=1, weights=weight[group == t]) for t in range(len(names))]
        self.beta = np.stack(means, axis=1) + 1e-3 * profile.mean(axis=1, keepdims=True)
        self._theta = np.full((len(self._size), len(names)), 0.2 / len(names))
        self._theta[np.arange(len(self._size)), group[state]] += 0.8

    @property
    def theta(self) -> FloatArray:
        """Activities, (n_states * n_batches, n_factors), 0 where a batch has no cell."""
        everywhere = np.zeros((self._shape[0] * self._shape[1], self._theta.shape[1]))
        everywhere[self._there] = self._theta
        return everywhere

    @property
    def delta(self) -> FloatArray:
        """Effects, (n_genes, n_batches), of each gene with a geometric mean of 1."""
        return self._delta

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of the counts, and of effects by their prior, but for a constant."""
        return self._log_likelihood(self._values)

    def update(self, n_updates: int) -> None:
        """Go on with the fit by plain updates."""
        values = self._values
        for _ in range(n_updates):
            values = self._moved(values)
        self._values = values

    def converge(self, n_updates: int) -> None:
        """Go on with the fit by so many updates with momentum, of which half is lost where the likelihood falls."""
        best = last = now = self._values
        likelihood, steps = self._log_likelihood(best), 0
        for _ in range(n_updates // _WATCHED):
            for _ in range(_WATCHED):
                last, now = now, self._moved(_beyond(last, now, steps / (steps + _HEAVINESS)))
                steps += 1
            found = self._log_likelihood(now)
            if found >= likelihood:
                best, likelihood = now, found
            else:
                last = now = best
                steps //= 2
        self._values = best

    @property
    def _values(self) -> _Values:
        return self._theta, self.beta, self._delta

    @_values.setter
    def _values(self, values: _Values) -> None:
        self._theta, self.beta, self._delta = values

    def _moved(self, values: _Values) -> _Values:
        theta, beta, delta = values
        genes, alike = np.arange(len(beta)), np.ones(len(beta))
        theta = _updated(self._by_pair, theta, beta, delta.T @ beta, group=self._batch, size=self._size)
        of_batch = self._of_batch(theta)
        beta = _updated(self._by_gene, beta, theta, delta @ of_batch, group=genes, size=alike)
        delta = (self._observed + self._prior_counts) / (beta @ of_batch.T + self._prior_counts)
        level = np.exp(np.log(delta).mean(axis=1, keepdims=True))
        return theta, beta * level, delta / level

    def _of_batch(self, theta: FloatArray) -> FloatArray:
        return np.asarray(self._in_batch @ (self._size[:, None] * theta))

    def _log_likelihood(self, values: _Values) -> float:
        theta, beta, delta = values
        found = np.zeros(len(beta))

        def some(first: int, stop: int) -> None:
            log_likelihoods(*rows_of(self._by_gene, first, stop), beta[first:stop], theta, found[first:stop])

        in_ranges(some, len(beta), step=_GENES)
        prior, of_batch = self._prior_counts, self._of_batch(theta)
        effects = (self._observed + prior) * np.log(delta) - delta * (beta @ of_batch.T + prior)
        return float(found.sum() + effects.sum())


def _beyond(last: _Values, now: _Values, share: float) -> _Values:
    """Go on by a share of the last step, on logarithms; what is 0 stays so."""
    theta, beta, delta = (
        b * (np.maximum(b, _LEAST) / np.maximum(a, _LEAST)) ** share for a, b in zip(last, now, strict=True)
    )
    return theta, beta, delta


def _updated(
    counts: Counts, rows: FloatArray, columns: FloatArray, expected: FloatArray, *, group: IntArray, size: FloatArray
) -> FloatArray:
    """Update the factors of the rows of a table, given those of its columns and what a row of each group expects."""
    updated = np.empty_like(rows)

    def some(first: int, stop: int) -> None:
        mine = slice(first, stop)
        update(*rows_of(counts, first, stop), rows[mine], columns, expected, group[mine], size[mine], updated[mine])

    in_ranges(some, len(rows), step=max(1, _COUNTS * len(rows) // max(counts.nnz, 1)))
    return updated


def loadings_of_all(counts: Sums, exposure: FloatArray, delta: FloatArray, theta: FloatArray) -> FloatArray:
    """Given the activities, fit the loadings of all genes, (n_genes, n_factors)."""
    n_genes, _, n_batches = counts.shape
    there = np.flatnonzero(exposure)
    batch, activity = there % n_batches, theta[there]
    of_batch = np.zeros((n_batches, activity.shape[1]))
    np.add.at(of_batch, batch, exposure.ravel()[there, None] * activity)
    beta, moved = np.empty((n_genes, activity.shape[1])), delta.copy()

    def some(first: int, stop: int) -> None:
        mine = slice(first, stop)
        fit_loadings(
            counts[mine].reshape(stop - first, -1),
            batch,
            activity,
            of_batch,
            _LOADING_PRIOR,
            _LOADING_UPDATES,
            there,
            moved[mine],
            np.empty(len(there)),
            np.empty(len(there), dtype=np.int64),
            np.empty(n_batches),
            np.empty(activity.shape[1]),
            beta[mine],
        )

    in_ranges(some, n_genes, step=_GENES)
    return beta
