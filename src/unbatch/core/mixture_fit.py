"""Effects from cells as a mixture of states, where counts say that these are better than those by states of cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.composition import NO_COMPOSITION
from unbatch.core.effects import Effects
from unbatch.core.group_fit import GroupFit
from unbatch.core.keyed import evenly, gumbel
from unbatch.core.merging import merged
from unbatch.core.state_mixture import Guess, StateMixture, of_one
from unbatch.core.state_table import StateTable
from unbatch.core.states import kinds_among
from unbatch.core.uncertain_states import UncertainStates

FEW_COUNTS, FEW_GENES = 1000.0, 300.0
"""Counts of a cell, and genes with counts, up to which a mixture is tried. With more, states are as good as known."""
_NUMBERS = (2, 3, 4, 6, 8, 12, 18, 27, 40)
"""Of groups of states that are tried."""
_PATIENCE = 1
_TRIAL_COUNTS, _TRIAL_CELLS = 600_000, (2000, 10_000)
"""Counts above 0 by which mixtures are judged: of so many cells at least, and at most."""
_FOLDS = 3
"""Parts of these cells, of which each judges mixtures that are fitted to the others."""
_MATERIAL = 0.5
"""Standard errors by which effects must differ."""
_CLEAR = 2.0
"""Standard errors by which held-out cells must be likelier."""
_TRIAL_STEPS, _STEPS, _ROUNDS = 10, 20, 12
_MOST_CELLS = 10_000
"""Cells by which expectation maximisation begins; rounds with all cells follow."""
_SETTLED = 2e-3
"""Change of log effects, root mean square, from which on rounds end."""


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """Effects of all batches by a mixture of states.

    Attributes
    ----------
    effects
        Effects, with rates and residuals of the states of the mixture.
    n_states
        Number of its states.
    """

    effects: Effects
    n_states: int


@dataclass(frozen=True, eq=False)
class Start:
    """Where a mixture begins: log effects, (n_genes, n_batches), and states found by them.

    Attributes
    ----------
    log_delta
        (n_genes, n_batches)
    code, level
        (n_all_cells,) state of each cell; (n_states,) level of each state.
    """

    log_delta: FloatArray
    code: CodeArray
    level: CodeArray


@dataclass(frozen=True, eq=False)
class MixtureTrial:
    """A mixture that is to be tried on the cells of a fit.

    Attributes
    ----------
    mixture
        Cells that take part, and the genes by which they are told apart.
    keys
        (n_all_cells,) what the random numbers of each cell follow from.
    how
        How sums are fitted; all batches can be compared.
    seed
        Start of the random numbers.
    """

    mixture: StateMixture
    keys: KeyArray
    how: GroupFit
    seed: int

    def better(self, effects: Effects, fitted: Start, others: Sequence[Start]) -> MixtureFit | None:
        """Fit a mixture, and give it if held-out cells are likelier by its effects than by those of a fit.

        Where it begins, and of how many states, is that by which held-out cells are likeliest, where mixtures are
        fitted to the others. The mixture is then fitted to all cells. If its effects differ from those of the fit by
        half a standard error or more, root mean square, the two are compared by the likelihood of held-out cells, each
        third of them in turn, with rates and weights fitted to the others and effects as they are. These have been
        fitted to all cells, and what each likelihood owes to that is taken off (`_owed`). The difference must be above
        two standard errors over cells.

        Parameters
        ----------
        effects
            The fit, (n_genes, n_batches).
        fitted
            Its log effects and states.
        others
            Other places to begin from.

        Returns
        -------
        MixtureFit, or None.
        """
        folds = _Fold.all_of(self)
        here, *there = (_Begun.of(self, start) for start in (fitted, *others))
        begun, number = _chosen(folds[0], here, there)
        guess, how = begun.settled(self, number)
        louder, some = effects.of_genes(self.mixture.genes), how.of_genes(self.mixture.genes)
        found = louder

        def fit(table: StateTable) -> FloatArray:
            nonlocal found
            found = some.fit(table, found)[0]
            return found.log_delta

        guess, share = self._rounds(guess, fit)
        if _off(found, louder, some.genes) < _MATERIAL:
            return None
        after, gain = replace(begun, log_delta=guess.log_delta), np.zeros(0)
        owed = (_owed(found) - _owed(louder)) / len(self.mixture.cells)
        for fold in folds:
            gain = np.append(gain, fold.gain(here, after, _near(number)) - owed)
            if gain.sum() <= 0:
                return None
        if gain.sum() <= _CLEAR * np.sqrt(len(gain) * gain.var()):
            return None
        whole = how.fit(self.mixture.table(guess, share), effects)[0]
        return MixtureFit(replace(whole, se=whole.se * np.sqrt(self._inflation(guess, share, whole))), number)

    def from_other(self, start: Start, found: MixtureFit) -> FloatArray:
        """Find log effects, (n_genes, n_batches), by a mixture that begins elsewhere, of as many states.

        What was learned is kept: see `fit_log_delta`.
        """
        begun, effects = _Begun.of(self, start), found.effects
        guess, how = begun.settled(self, min(found.n_states, max(begun.groups)))
        some, like = how.of_genes(self.mixture.genes), effects.of_genes(self.mixture.genes)
        guess, share = self._rounds(guess, lambda table: some.fit_log_delta(table, like, [like])[0])
        return how.fit_log_delta(self.mixture.table(guess, share), effects, [effects])[0]

    def _rounds(self, guess: Guess, fit: Callable[[StateTable], FloatArray]) -> tuple[Guess, FloatArray]:
        """Share cells out, and fit effects of the genes that are looked at to their sums, in turns."""
        mixture = self.mixture
        share, _ = mixture.shares(guess)
        for _ in range(_ROUNDS):
            log_delta, before = mixture.levelled(fit(mixture.table(guess, share, whole=False))), guess.log_delta
            guess = mixture.learned(replace(guess, log_delta=log_delta), share, fixed=True)
            share, _ = mixture.shares(guess)
            if np.sqrt(np.mean((log_delta - before) ** 2)) < _SETTLED:
                break
        return guess, share

    def _inflation(self, guess: Guess, share: FloatArray, found: Effects) -> FloatArray:
        """Tell by how much variances grow since states are not known; of genes not looked at, as on average."""
        mixture, factor = self.mixture, np.ones_like(found.se)
        for k, mine in enumerate(mixture.of_batches):
            allowed = mixture.level[mixture.cells[mine]][:, None] == guess.level
            cells = UncertainStates(mixture.counts[mixture.cells[mine]][:, mixture.genes], guess.rate, allowed)
            of_genes = cells.inflation(
                guess.log_delta[:, k],
                share[mine],
                dispersion=found.dispersion[mixture.genes],
                width=found.width[mixture.genes, k],
            )
            factor[:, k] = of_genes.mean()
            factor[mixture.genes, k] = of_genes
        return factor


def _chosen(fold: "_Fold", here: "_Begun", there: Sequence["_Begun"]) -> tuple["_Begun", int]:
    """Choose by held-out cells from where to begin, and with how many groups of states."""
    number, likelihood = fold.judged(here, _NUMBERS)
    best, chosen = likelihood.sum(), (here, number)
    for other in there:
        of_other, likelihood = fold.judged(other, _near(number))
        if likelihood.sum() > best:
            best, chosen = likelihood.sum(), (other, of_other)
    return chosen


def _off(found: Effects, effects: Effects, genes: BoolArray) -> float:
    """Tell by how many standard errors effects differ from those of a fit, root mean square over genes.

    By none if a batch has no gene to tell it by.
    """
    known = genes[:, None] & np.isfinite(found.se) & np.isfinite(effects.se) & (effects.se > 0)
    if not known.any(axis=0).all():
        return 0.0
    off = np.where(known, found.log_delta - effects.log_delta, np.nan)
    return float(np.sqrt(np.nanmean((off - np.nanmedian(off, axis=0)) ** 2 / effects.se**2)))


def _owed(effects: Effects) -> float:
    r"""Tell by how much counts are likelier by effects than others are, since the effects were fitted to them.

    .. math:: \sum_{gk} \phi_g (1 - s_{gk}^2 / w_{gk}^2)

    in nats, with dispersions phi, errors s and widths w of the prior: the trace in the criterion of Takeuchi (1976), to
    which an effect that the prior holds at 0 adds nothing.
    """
    held = np.divide(effects.se, effects.width, out=np.ones_like(effects.se), where=effects.width > 0)
    return float((effects.dispersion[:, None] * (1 - np.minimum(held, 1.0) ** 2)).sum())


def _near(number: int) -> list[int]:
    """Choose numbers of groups from half to twice of one."""
    return [near for near in _NUMBERS if number / 2 <= near <= 2 * number] or [number]


@dataclass(frozen=True, eq=False)
class _Begun:
    """A `Start`, with its states in groups of those that counts without its effects tell least apart.

    log_delta: (n_looked_at, n_batches), without their common level. groups: by their number, (n_states,).
    """

    log_delta: FloatArray
    code: CodeArray
    level: CodeArray
    groups: dict[int, IntArray]

    @classmethod
    def of(cls, trial: MixtureTrial, start: Start) -> Self:
        mixture = trial.mixture
        mine = mixture.levelled(start.log_delta[mixture.genes])
        share = of_one(start.code[mixture.cells], len(start.level))
        sums = (mixture.sums(share) / np.exp(mine.T)[:, :, None]).sum(axis=0)
        return cls(mine, start.code, start.level, merged(sums, start.level))

    def among(self, numbers: Sequence[int]) -> list[int]:
        """Choose the numbers of groups that there are; that nearest to the first if there is none."""
        there = [number for number in numbers if number in self.groups]
        return there or [min(self.groups, key=lambda number: abs(number - numbers[0]))]

    def guess(self, mixture: StateMixture, number: int) -> Guess:
        """Describe so many groups by some of the cells."""
        group = self.groups[number]
        level = np.zeros(number, dtype=np.int32)
        level[group] = self.level
        return mixture.begin(group[self.code[mixture.cells]], level, self.log_delta)

    def settled(self, trial: MixtureTrial, number: int) -> tuple[Guess, GroupFit]:
        """Find a mixture of so many states, and tell fits to its sums which of them are of a kind."""
        cells = trial.mixture.of_cells(evenly(trial.keys[trial.mixture.cells], _MOST_CELLS))
        kinds = self.groups[self.among([kinds_among(number)])[0]]
        _, first = np.unique(self.groups[number], return_index=True)
        kind = np.unique(kinds[first], return_inverse=True)[1]
        guess = cells.settle(self.guess(cells, number), most=_STEPS)
        return guess, replace(trial.how, kind=kind, choice=NO_COMPOSITION)


@dataclass(frozen=True, eq=False)
class _Fold:
    """Cells to which mixtures are fitted on a trial, and those that judge them."""

    seen: StateMixture
    held_out: StateMixture

    @classmethod
    def all_of(cls, trial: MixtureTrial) -> list[Self]:
        """Hold each part of some of the cells out in turn."""
        mixture, keys = trial.mixture, trial.keys[trial.mixture.cells]
        stored = max(mixture.counts.nnz / max(mixture.counts.shape[0], 1), 1.0)
        some = evenly(keys, int(np.clip(_TRIAL_COUNTS / stored, *_TRIAL_CELLS)))
        part = np.empty(len(some), dtype=np.int64)
        part[np.argsort(gumbel(keys[some], trial.seed, 0), kind="stable")] = np.arange(len(some)) % _FOLDS
        return [cls(mixture.of_cells(some[part != out]), mixture.of_cells(some[part == out])) for out in range(_FOLDS)]

    def judged(self, begun: _Begun, numbers: Sequence[int], *, fixed: bool = False) -> tuple[int, FloatArray]:
        """Find the number of groups by which held-out cells are likeliest, and their log-likelihoods, (n_held_out,)."""
        best, most, worse = 0, None, 0
        for number in begun.among(numbers):
            guess = self.seen.settle(begun.guess(self.seen, number), most=_TRIAL_STEPS, fixed=fixed)
            _, likelihood = self.held_out.shares(guess)
            if most is None or likelihood.sum() > most.sum():
                best, most, worse = number, likelihood, 0
            else:
                worse += 1
            if worse > _PATIENCE:
                break
        assert most is not None
        return best, most

    def gain(self, before: _Begun, after: _Begun, numbers: Sequence[int]) -> FloatArray:
        """Tell by how much held-out cells are likelier by effects than by others, as they are, (n_held_out,)."""
        by_others, by_these = (self.judged(one, numbers, fixed=True)[1] for one in (before, after))
        return by_these - by_others
