"""What is left of the difference in composition inside a state: a factor model of the state-by-batch rates."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import FloatArray, IntArray
from unbatch.core.clustering import k_means
from unbatch.core.effects import Effects
from unbatch.core.state_table import StateTable

_FACTORS = (3, 4, 5, 6, 8, 12)
_STRENGTHS = (0.5, 1.0)
_TRAIN = 0.7
_UPDATES, _TRIAL_UPDATES, _LOADING_UPDATES = 150, 80, 50
_CHUNK = 2_000_000
_MOST_RATIO = 20.0
_TINY = 1e-12
_LEAST_SD = 1e-2
_CLEAR = 2.0
_PATIENCE = 2


@dataclass(frozen=True)
class CompositionChoice:
    """How far to trust the factor model, judged on counts held out from the fit.

    Attributes
    ----------
    n_factors
        Number of factors.
    strength
        Power of the correction: 0 ignores the factor model, 1 takes it at its word.
    gain
        Held-out log-likelihood over that of no correction.
    """

    n_factors: int
    strength: float
    gain: float


NO_COMPOSITION = CompositionChoice(n_factors=0, strength=0.0, gain=0.0)


def composition_ratio(
    table: StateTable, effects: Effects, choice: CompositionChoice, *, genes: IntArray, seed: int
) -> FloatArray:
    r"""Expect by how much a batch's cells of a state differ from all cells of the state, but for the batch effect.

    Where states are graded rather than separate, the cells that two batches have in one state still differ a little.
    As in bias-corrected matching (Abadie & Imbens 2011, J. Bus. Econ. Stat. 29:1-11), the difference that is to be
    expected from their positions is taken out. The expectation comes from a Poisson factor model of the state-by-batch
    rates, :math:`Y_{gsk} \sim \mathrm{Poisson}(E_{sk} \delta_{gk} \sum_t \beta_{gt} \theta_{t,sk})`, whose factors
    the batches share:

    .. math:: c_{gsk} = \left( \frac{(\beta\theta)_{g,sk}}
              {\sum_m w_{gsm} (\beta\theta)_{g,sm}} \right)^{\kappa}, \qquad w_{gsm} \propto E_{sm} \delta_{gm} .

    Parameters
    ----------
    table
        Sums by state and batch.
    effects
        Present estimate of the effects.
    choice
        Number of factors and the power kappa.
    genes
        Genes from which the activities theta are found, (n_chosen,); the loadings beta follow for all genes.
    seed
        Start of the factor model.

    Returns
    -------
    (n_genes, n_states, n_batches); all ones if the choice is not to correct.
    """
    if choice.strength == 0:
        return np.ones_like(table.counts)
    theta, _ = _fit_factors(
        table.counts[genes],
        table.exposure,
        _Start.of(effects, genes, seed=seed),
        n_factors=choice.n_factors,
        updates=_UPDATES,
    )
    n_genes, n_states, n_batches = table.counts.shape
    ratio = np.ones_like(table.counts)
    step = max(1, _CHUNK // (n_states * n_batches))
    for first in range(0, n_genes, step):
        chunk = slice(first, min(first + step, n_genes))
        mean = _loadings(table.counts[chunk], table.exposure, effects.log_delta[chunk], theta)
        ratio[chunk] = _ratio(mean, table.exposure, effects.log_delta[chunk]) ** choice.strength
    return ratio


def choose_composition(table: StateTable, effects: Effects, *, genes: IntArray, seed: int) -> CompositionChoice:
    """Choose the number of factors and the strength of the correction by the likelihood of held-out counts.

    The sums are split at random into a part that the factor model sees and a part that judges it (binomial thinning:
    under a Poisson model the two are independent). A correction is chosen only if its gain exceeds twice the standard
    error over genes: data with separate states choose none.

    Parameters
    ----------
    table
        Sums by state and batch.
    effects
        Present estimate of the effects.
    genes
        Genes to judge by, (n_chosen,).
    seed
        Start of all random numbers.

    Returns
    -------
    CompositionChoice
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    counts, log_delta = table.counts[genes], effects.log_delta[genes]
    seen = rng.binomial(np.rint(counts).astype(np.int64), _TRAIN).astype(np.float64)
    held = counts - seen
    exposure = table.exposure
    plain = _held_out(seen, held, exposure[None] * np.ones_like(counts), log_delta)
    best, worse = NO_COMPOSITION, 0
    start = _Start.of(effects, genes, seed=seed)
    n_pseudobulks = int((exposure > 0).sum())
    for n_factors in _FACTORS:
        if 2 * n_factors > n_pseudobulks or n_factors > len(exposure):
            break
        theta, beta = _fit_factors(seen, exposure * _TRAIN, start, n_factors=n_factors, updates=_TRIAL_UPDATES)
        ratio = _ratio(_mean(beta, theta, exposure.shape), exposure, log_delta)
        improved = False
        for strength in _STRENGTHS:
            gains = _held_out(seen, held, exposure[None] * ratio**strength, log_delta) - plain
            gain = float(gains.sum())
            clear = gain > _CLEAR * float(np.std(gains)) * np.sqrt(len(gains))
            if clear and gain > best.gain:
                best, improved = CompositionChoice(n_factors, strength, gain), True
        worse = 0 if improved else worse + 1
        if worse >= _PATIENCE:
            break
    return best


def _held_out(seen: FloatArray, held: FloatArray, exposure: FloatArray, log_delta: FloatArray) -> FloatArray:
    """Log-likelihood of the held-out counts of each gene, given the seen total of each state: shares of batches."""
    by_batch = seen.sum(axis=1)
    for _ in range(5):
        weight = exposure * np.exp(log_delta)[:, None, :]
        expected = (weight * (seen.sum(axis=2) / np.maximum(weight.sum(axis=2), _TINY))[:, :, None]).sum(axis=1)
        log_delta = log_delta + np.log((by_batch + 5) / (expected + 5))
    weight = exposure * np.exp(log_delta)[:, None, :]
    share = weight / np.maximum(weight.sum(axis=2, keepdims=True), _TINY)
    result: FloatArray = (held * np.log(np.maximum(share, _TINY))).sum(axis=(1, 2))
    return result


def _mean(beta: FloatArray, theta: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    mean: FloatArray = (beta @ theta.T).reshape(len(beta), *shape)
    return mean


def _ratio(mean: FloatArray, exposure: FloatArray, log_delta: FloatArray) -> FloatArray:
    weight = exposure[None] * np.exp(log_delta)[:, None, :]
    pooled = (mean * weight).sum(axis=2) / np.maximum(weight.sum(axis=2), _TINY)
    known = (pooled[:, :, None] > 0) & (mean > 0)
    ratio = np.divide(mean, pooled[:, :, None], out=np.ones_like(mean), where=known)
    return np.asarray(np.clip(ratio, 1 / _MOST_RATIO, _MOST_RATIO))


@dataclass(frozen=True, eq=False)
class _Start:
    """Where the factor model begins: effects (n_genes, n_batches), their prior in counts, and the random start."""

    log_delta: FloatArray
    prior_counts: float
    seed: int

    @classmethod
    def of(cls, effects: Effects, genes: IntArray, *, seed: int) -> Self:
        prior_counts = float(np.mean(1 / np.maximum(effects.prior_sd, _LEAST_SD) ** 2))
        return cls(effects.log_delta[genes], prior_counts, seed)


def _fit_factors(
    counts: FloatArray, exposure: FloatArray, start: _Start, *, n_factors: int, updates: int
) -> tuple[FloatArray, FloatArray]:
    """Fit the factor model by multiplicative updates (Lee & Seung), the batch effects updated along with it.

    Return the activities (n_states * n_batches, n_factors), 0 where a batch has no cell, and the loadings
    (n_genes, n_factors).
    """
    n_genes, n_states, n_batches = counts.shape
    there = exposure.ravel() > 0
    batch, state = np.tile(np.arange(n_batches), n_states)[there], np.repeat(np.arange(n_states), n_batches)[there]
    sums, size = counts.reshape(n_genes, -1).T[there], exposure.ravel()[there]
    delta = np.exp(start.log_delta).T
    profile = counts.sum(axis=2) / np.maximum((exposure[None] * delta.T[:, None, :]).sum(axis=2), _TINY)
    share = np.sqrt(profile / np.maximum(profile.sum(axis=0), _TINY)).T
    weight = exposure.sum(axis=1) + _TINY
    found = k_means(share, n_factors, weight=weight, n_starts=3, seed=start.seed)
    names, group = np.unique(found, return_inverse=True)
    n_factors = len(names)
    beta = np.stack([np.average(profile[:, group == t], axis=1, weights=weight[group == t]) for t in range(n_factors)])
    beta = beta + 1e-3 * profile.mean(axis=1)
    theta = np.full((len(size), n_factors), 0.2 / n_factors)
    theta[np.arange(len(size)), group[state]] += 0.8
    in_batch = np.zeros((n_batches, len(size)))
    in_batch[batch, np.arange(len(size))] = 1
    observed = in_batch @ sums
    offset = size[:, None] * delta[batch]
    for _ in range(updates):
        ratio = sums / np.maximum(theta @ beta, _TINY)
        theta = theta * (ratio @ beta.T) / np.maximum(offset @ beta.T, _TINY)
        ratio = sums / np.maximum(theta @ beta, _TINY)
        beta = beta * (theta.T @ ratio) / np.maximum(theta.T @ offset, _TINY)
        expected = in_batch @ (size[:, None] * (theta @ beta))
        delta = (observed + start.prior_counts) / (expected + start.prior_counts)
        delta = delta / np.exp(np.log(delta).mean(axis=0))
        offset = size[:, None] * delta[batch]
    everywhere = np.zeros((len(there), n_factors))
    everywhere[there] = theta
    return everywhere, beta.T


def _loadings(counts: FloatArray, exposure: FloatArray, log_delta: FloatArray, theta: FloatArray) -> FloatArray:
    """Given the activities, fit the loadings of some genes and return their mean (n_genes, n_states, n_batches)."""
    there = exposure.ravel() > 0
    active, size = theta[there], exposure.ravel()[there]
    n_states, n_batches = exposure.shape
    batch = np.tile(np.arange(n_batches), n_states)[there]
    sums = counts.reshape(len(counts), -1)[:, there]
    in_batch = np.zeros((len(size), n_batches))
    in_batch[np.arange(len(size)), batch] = 1
    observed = sums @ in_batch
    delta = np.exp(log_delta)
    offset = size * delta[:, batch]
    level = sums.sum(axis=1) / np.maximum((offset * active.sum(axis=1)).sum(axis=1), _TINY)
    beta = np.repeat(level[:, None], active.shape[1], axis=1)
    for _ in range(_LOADING_UPDATES):
        ratio = sums / np.maximum(beta @ active.T, _TINY)
        beta = beta * (ratio @ active) / np.maximum(offset @ active, _TINY)
        expected = (size * (beta @ active.T)) @ in_batch
        delta = (observed + 5) / (expected + 5)
        offset = size * delta[:, batch]
    return _mean(beta, theta, exposure.shape)
