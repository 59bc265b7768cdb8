"""Effects from sums by state and batch: each group of batches that can be compared is fitted by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.composition import NO_COMPOSITION, CompositionChoice, composition_ratio
from unbatch.core.effects import Effects
from unbatch.core.loglinear import fit_effects, fit_log_delta, with_effects
from unbatch.core.sampled_table import AnyTable
from unbatch.core.state_table import StateCounts


@dataclass(frozen=True, eq=False)
class GroupFit:
    """What a fit to sums needs to know besides the sums.

    Attributes
    ----------
    measured
        (n_genes, n_batches) genes that each batch measured.
    group
        (n_batches,) group of batches that can be compared; -1 for batches that cannot.
    kind
        (n_states,) which states are alike.
    choice
        The correction for graded states.
    loud
        Genes of the factor model behind that correction.
    genes
        (n_genes,) well-measured genes.
    seed
        Start of the random numbers of the factor model.
    """

    measured: BoolArray
    group: IntArray
    kind: IntArray
    choice: CompositionChoice
    loud: IntArray
    genes: BoolArray
    seed: int

    def of_genes(self, chosen: IntArray) -> Self:
        """Fit some of the genes only, (n_chosen,), without a factor model."""
        return replace(
            self,
            measured=self.measured[chosen],
            choice=NO_COMPOSITION,
            loud=np.arange(len(chosen)),
            genes=self.genes[chosen],
        )

    def fit(self, table: AnyTable, effects: Effects, dispersions: Sequence[FloatArray] | None = None) -> list[Effects]:
        """Fit each group, beginning from these effects of all batches; its dispersion, (n_genes,), may be known."""
        parts = self._parts(table, effects)
        known = [None] * len(self._groups()) if dispersions is None else dispersions
        return [
            fit_effects(part.table, kind=self.kind, composition=part.ratio, start=part.start, dispersion=dispersion)
            for part, dispersion in zip(parts, known, strict=True)
        ]

    def fit_log_delta(self, table: AnyTable, effects: Effects, found: list[Effects]) -> list[FloatArray]:
        """Find the log effects of each group from other sums over the cells that these were found from."""
        parts = self._parts(table, effects)
        return [
            fit_log_delta(part.table, like, composition=part.ratio) for part, like in zip(parts, found, strict=True)
        ]

    def given(self, known: Effects, table: AnyTable, effects: Effects) -> Effects:
        """Put known effects of all batches into a fit, and find the rates that go with them."""
        return with_effects(effects, known, table, composition=self.composition(table, effects))

    def composition(self, table: AnyTable, effects: Effects) -> FloatArray | None:
        """Give the factor on exposure that fits use, (n_genes, n_states or 1, n_batches); None if it is 1 everywhere.

        States that batches of several groups have take the factors of each group by itself.
        """
        if self.choice.strength == 0:
            return _unmeasured(self.measured)
        factor = np.zeros((len(self.measured), *table.exposure.shape))
        for mine, part in zip(self._groups(), self._parts(table, effects), strict=True):
            assert part.ratio is not None  # of a correction that was chosen
            factor[:, :, mine] = part.ratio
        return factor

    def together(self, found: list[Effects], others: Sequence[list[FloatArray]], effects: Effects) -> Effects:
        """Average each group over partitions, of whose others log effects are given, and put the groups together.

        Of several groups, each is relative to its own mean.
        """
        final = effects.among(np.zeros(len(self.group), dtype=bool))
        groups = self._groups()
        for number, mine in enumerate(groups):
            average = found[number].averaged([of_groups[number] for of_groups in others], genes=self.genes)
            if len(groups) > 1:
                average = average.centred(self.measured[:, mine])
            final = average if mine.all() else final.joined(average, mine)
        return final

    def _parts(self, table: AnyTable, effects: Effects) -> Iterator["_Part"]:
        for mine in self._groups():
            part, start, measured = table.of_batches(mine), effects.of_batches(mine), self.measured[:, mine]
            yield _Part(
                part,
                start,
                _ratio(part, start, choice=self.choice, measured=measured, loud=self.loud, seed=self.seed),
            )

    def _groups(self) -> list[BoolArray]:
        return [self.group == number for number in range(int(self.group.max()) + 1)]


@dataclass(frozen=True, eq=False)
class _Part:
    """A group of batches: its sums, where its fit begins, and the factor on exposure."""

    table: AnyTable
    start: Effects
    ratio: FloatArray | None


@dataclass(frozen=True, eq=False)
class Refit:
    """A fit of some cells, ready to be done again with the sums over more cells of the same states.

    Attributes
    ----------
    how
        How sums are fitted.
    start
        Effects of all batches to begin from.
    first
        Log effects of each group of batches by the states of the first cells, by which more cells are summed.
    dispersions
        Dispersion of each group's cells around these states, (n_genes,) each.
    others
        The same by other partitions of the first cells into states, (n_partitions, n_groups).
    mixture
        Effects of all batches by a mixture of states, as the states of the first cells are not known: see `MixtureFit`.
    """

    how: GroupFit
    start: Effects
    first: list[FloatArray]
    dispersions: list[FloatArray]
    others: Sequence[list[FloatArray]]
    mixture: Effects | None = None

    def effects(self, table: AnyTable) -> Effects:
        """Fit effects to sums over more cells.

        How other partitions, or a mixture, differ from the first is taken from the first cells: the difference is that
        of the same cells in other groups, and has little noise. So is how far cells scatter around their states, which
        is the same however many they are, and would take squares of all counts.
        """
        with one_thread():
            found = self.how.fit(table, self.start, self.dispersions)
            if self.mixture is not None:
                log_delta = found[0].log_delta + (self.mixture.log_delta - self.first[0])
                known, wider = np.isfinite(self.start.se), np.ones_like(log_delta)
                np.divide(self.mixture.se, self.start.se, out=wider, where=known)
                known_effects = replace(self.mixture, log_delta=log_delta, se=found[0].se * wider)
                return self.how.given(known_effects, table, found[0])
        moved = [
            [new.log_delta + (there - here) for new, here, there in zip(found, self.first, other, strict=True)]
            for other in self.others
        ]
        return self.how.together(found, moved, self.start)


def fit_table(
    table: AnyTable,
    effects: Effects | None,
    *,
    kind: IntArray,
    choice: CompositionChoice,
    measured: BoolArray,
    loud: IntArray,
    seed: int,
) -> Effects:
    """Fit effects, with the factor on exposure that the factor model and unmeasured genes call for.

    Parameters
    ----------
    table
        The sums.
    effects
        Effects to begin from.
    kind, choice, measured, loud, seed
        See `GroupFit`.

    Returns
    -------
    Effects
    """
    ratio = _ratio(table, effects, choice=choice, measured=measured, loud=loud, seed=seed)
    return fit_effects(table, kind=kind, composition=ratio, start=effects)


def _ratio(
    table: AnyTable,
    effects: Effects | None,
    *,
    choice: CompositionChoice,
    measured: BoolArray,
    loud: IntArray,
    seed: int,
) -> FloatArray | None:
    """Give the factor on exposure that the factor model and unmeasured genes call for; None if it is 1."""
    known = _unmeasured(measured)
    if effects is None or choice.strength == 0:
        return known
    assert isinstance(table, StateCounts)  # a factor model is of states in batches
    ratio = composition_ratio(table, effects.log_delta, choice, prior_sd=effects.prior_sd, genes=loud, seed=seed)
    return ratio if known is None else np.multiply(ratio, known, out=ratio)


def _unmeasured(measured: BoolArray) -> FloatArray | None:
    """Give the factor on exposure, (n_genes, 1, n_batches), that is 0 for genes that a batch lacks."""
    return None if measured.all() else measured[:, None, :].astype(np.float64)
