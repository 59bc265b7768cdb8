"""What is left of the difference in composition inside a state: a factor model of the state-by-batch rates."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from unbatch._types import FloatArray, IntArray
from unbatch.core.alignment import alignment
from unbatch.core.effects import Effects
from unbatch.core.factor_model import FactorModel, FactorStart, loadings_of_all
from unbatch.core.kernels.factors import held_out, ratios
from unbatch.core.keyed import order_of
from unbatch.core.parallel import in_ranges
from unbatch.core.plain import of_genes
from unbatch.core.state_table import StateCounts, StateTable

_FACTORS = (3, 4, 5, 6, 8, 12)
_TRAIN = 0.7
_UPDATES, _TRIAL_UPDATES = 180, 120
_EARLY_UPDATES = (5, 10)
"""Between which a model is asked whether it loses, and more and more: it is given up then. Of graded states a model may
begin with a loss, but makes it good from the first updates on."""
_HELD_OUT_UPDATES, _PRIOR_COUNTS = 5, 5.0
_GENES = 128
"""Genes treated in one go of a thread."""
_MOST_RATIO = 20.0
_TINY = 1e-12
_CLEAR = 2.0
"""Standard errors that a correction must gain, and that a model loses that is given up."""
_NOISE_DRAWS, _LEAST_EXCESS = 2, 1e-6
"""Sets of counts without composition that are drawn, and the least that a dispersion exceeds 1 by in them."""
_LEAST_ALIGNED = 0.42
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
    table: StateCounts,
    log_delta: FloatArray,
    choice: CompositionChoice,
    *,
    prior_sd: FloatArray,
    genes: IntArray,
    seed: int,
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
    log_delta
        Present estimate of the log effects, (n_genes, n_batches).
    choice
        Number of factors and the power kappa.
    prior_sd
        Widths of their priors, (n_batches,).
    genes
        Genes from which the activities theta are found, (n_chosen,); the loadings beta follow for all genes.
    seed
        Start of the factor model.

    Returns
    -------
    (n_genes, n_states, n_batches); all ones if the choice is not to correct.
    """
    if choice.strength == 0:
        return np.ones((len(table.counts), *table.exposure.shape))
    start = FactorStart.of(log_delta[genes], prior_sd, seed=seed)
    model = FactorModel(table.counts[genes], table.exposure, start, n_factors=choice.n_factors)
    model.converge(_UPDATES)
    theta, delta = model.theta, np.exp(log_delta)
    beta = loadings_of_all(table.counts, table.exposure, delta, theta)
    return _ratio(beta, theta, table.exposure, delta, strength=choice.strength)


def choose_composition(table: StateTable, effects: Effects, *, genes: IntArray, seed: int) -> CompositionChoice:
    """Choose whether to correct, and the number of factors, by the likelihood of held-out counts.

    A correction is considered only if batches differ inside states along the directions in which states differ: see
    `alignment`. The sums are split at random into a part that the factor model sees and a part that judges it (binomial
    thinning: under a Poisson model the two are independent). A correction is chosen only if its gain exceeds twice the
    standard error over genes: data with separate states choose none as a rule, and most models of them lose as much
    after ten updates already, and more than after five, when they are given up. Where cells scatter by more than
    Poisson counts do, both parts have that in common, and a model that follows it gains: what such a model gains of
    counts that are drawn anew, without composition but with as much scatter, is taken off first.

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
    trial = _Trial.of(table, effects, genes=genes, seed=seed)
    parts = table.exposure * _TRAIN, table.exposure * (1 - _TRAIN)
    if alignment((trial.seen, trial.held), parts, table.cells, trial.delta) < _LEAST_ALIGNED:
        return NO_COMPOSITION
    start = FactorStart.of(effects.log_delta[genes], effects.prior_sd, seed=seed)
    n_pseudobulks, n_states = int((table.exposure > 0).sum()), len(table.exposure)
    best, best_gains, worse = NO_COMPOSITION, np.zeros(len(genes)), 0
    for n_factors in _FACTORS:
        if 2 * n_factors > n_pseudobulks or n_factors > n_states:
            break
        model = FactorModel(trial.seen, table.exposure * _TRAIN, start, n_factors=n_factors)
        improved = False
        if not _losing(model, trial):
            model.converge(_TRIAL_UPDATES)
            gains = trial.gains(model)
            if _in_errors(gains) > _CLEAR and gains.sum() > best.gain:
                best, best_gains, improved = CompositionChoice(n_factors, 1.0, float(gains.sum())), gains, True
        worse = 0 if improved or best.strength == 0 else worse + 1  # too few factors may lose much
        if worse >= _PATIENCE:
            break
    if best.strength == 0:
        return best
    noise = [_Trial.of_noise(table, effects, genes=genes, seed=seed, draw=draw) for draw in range(_NOISE_DRAWS)]
    by_chance = max(_mean_gain(noise, start, n_factors=best.n_factors), 0.0)
    return best if _in_errors(best_gains, less=by_chance) > _CLEAR else NO_COMPOSITION


def _mean_gain(trials: "list[_Trial]", start: FactorStart, *, n_factors: int) -> float:
    """Find what models of so many factors gain together over all genes, on average over trials."""
    gains = []
    for trial in trials:
        model = FactorModel(trial.seen, trial.exposure * _TRAIN, start, n_factors=n_factors)
        model.converge(_TRIAL_UPDATES)
        gains.append(float(trial.gains(model).sum()))
    return float(np.mean(gains))


def _losing(model: FactorModel, trial: "_Trial") -> bool:
    """Update a model a few times, and tell whether it loses twice the standard error and more than it did before."""
    model.update(_EARLY_UPDATES[0])
    before = trial.gains(model)
    model.update(_EARLY_UPDATES[1] - _EARLY_UPDATES[0])
    gains = trial.gains(model)
    return _in_errors(gains) < -_CLEAR and float(gains.sum()) < float(before.sum())


def _in_errors(gains: FloatArray, *, less: float = 0.0) -> float:
    """Divide what genes gain together, (n_genes,), less something, by its standard error."""
    return float((gains.sum() - less) / max(float(np.std(gains)) * np.sqrt(len(gains)), _TINY))


@dataclass(frozen=True, eq=False)
class _Trial:
    """Counts that a factor model sees and counts that judge it, (n_genes, n_states, n_batches) both."""

    seen: FloatArray
    held: FloatArray
    exposure: FloatArray
    delta: FloatArray

    @classmethod
    def of(cls, table: StateTable, effects: Effects, *, genes: IntArray, seed: int) -> Self:
        """Split the counts of some genes at random."""
        counts, delta = table.counts[genes], np.exp(effects.log_delta[genes])
        seen = _thinned(counts, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,))))
        return cls(seen, counts - seen, table.exposure, delta)

    @classmethod
    def of_noise(cls, table: StateTable, effects: Effects, *, genes: IntArray, seed: int, draw: int) -> Self:
        r"""Draw counts of some genes without composition, that scatter as cells around their states do, and split them.

        They are Poisson with gamma means, of the variance :math:`\phi_g \mu_{gs} E_{sk} \delta_{gk}`.
        """
        counts, delta = table.counts[genes], np.exp(effects.log_delta[genes])
        rate = counts.sum(axis=2) / np.maximum(delta @ table.exposure.T, _TINY)
        mean = rate[:, :, None] * table.exposure * delta[:, None, :]
        excess = np.maximum(effects.dispersion[genes] - 1, _LEAST_EXCESS)[:, None, None]
        at, rng = _in_order(counts), np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7, draw)))
        drawn, seen = np.empty(counts.shape), np.empty(counts.shape)
        whole = rng.poisson(rng.gamma(np.maximum(mean / excess, _TINY)[at], excess[at[0].ravel()]))
        drawn[at], seen[at] = whole, rng.binomial(whole, _TRAIN)
        return cls(seen, drawn - seen, table.exposure, delta)

    @cached_property
    def plain(self) -> FloatArray:
        """Log-likelihood without a correction, (n_genes,)."""
        nothing = np.ones((1, 1, self.delta.shape[1]))
        return _held_out(self.seen, self.held, self.exposure, self.delta, factor=nothing)

    def gains(self, model: FactorModel) -> FloatArray:
        """Log-likelihood of the counts that judge, over that without a correction, (n_genes,)."""
        plain, ratio = self.plain, _ratio(model.beta, model.theta, self.exposure, self.delta, strength=1.0)
        return _held_out(self.seen, self.held, self.exposure, self.delta, factor=ratio) - plain


def _thinned(counts: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Keep each count with a fixed chance, whatever the order of genes and batches, (n_genes, n_states, n_batches)."""
    at, seen = _in_order(counts), np.empty(counts.shape)
    seen[at] = rng.binomial(np.rint(counts[at]).astype(np.int64), _TRAIN)
    return seen


def _in_order(counts: FloatArray) -> tuple[IntArray, ...]:
    """Index counts, (n_genes, n_states, n_batches), so that genes and batches come in an order that is theirs."""
    whole = np.rint(counts).astype(np.int64)
    n_genes, n_states, n_batches = whole.shape
    gene, batch = order_of(whole.reshape(n_genes, -1)), order_of(whole.transpose(2, 0, 1).reshape(n_batches, -1))
    return np.ix_(gene, np.arange(n_states), batch)


def _held_out(
    seen: FloatArray, held: FloatArray, exposure: FloatArray, delta: FloatArray, *, factor: FloatArray
) -> FloatArray:
    """Log-likelihood of the held-out counts of each gene, given the seen total of each state: shares of batches."""
    likelihood, moved, n_batches = np.zeros(len(seen)), delta.copy(), exposure.shape[1]

    def some(first: int, stop: int) -> None:
        mine = slice(first, stop)
        held_out(
            seen[mine],
            held[mine],
            exposure,
            of_genes(factor, mine),
            _PRIOR_COUNTS,
            _HELD_OUT_UPDATES,
            moved[mine],
            np.empty(exposure.shape),
            np.empty(n_batches),
            np.empty(n_batches),
            likelihood[mine],
        )

    in_ranges(some, len(seen), step=_GENES)
    return likelihood


def _ratio(
    beta: FloatArray, theta: FloatArray, exposure: FloatArray, delta: FloatArray, *, strength: float
) -> FloatArray:
    """Divide the mean in each batch of a state by that of the state, to a power, (n_genes, n_states, n_batches)."""
    ratio, activity = np.empty((len(beta), *exposure.shape)), theta.reshape(*exposure.shape, -1)

    def some(first: int, stop: int) -> None:
        mine = slice(first, stop)
        ratios(beta[mine], activity, exposure, delta[mine], _MOST_RATIO, strength, ratio[mine])

    in_ranges(some, len(beta), step=_GENES)
    return ratio
