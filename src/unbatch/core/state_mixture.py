"""Cells of all batches as a mixture of states: rates, effects and shares of cells by expectation maximisation."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.convention import weighted_median
from unbatch.core.kernels.sharing import share_out, sum_shared
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.core.state_table import StateTable

_CELLS = 1024
"""Cells shared out in one go of a thread."""
_PRIOR_CELLS = 1.0
"""Cells of each state taken as seen in each batch beforehand."""
_PRIOR_COUNTS = 4.0
"""Counts of no effect: a prior of standard deviation 0.5."""
_TURNS = 2
"""Times that rates and effects are found in turns, for shares as they are."""
_SETTLED = 1e-6
"""Gain of the log-likelihood, as a part of it."""
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Guess:
    """What is known of a mixture.

    Attributes
    ----------
    rate
        (n_looked_at, n_states) rates; those of a state add up to 1.
    log_delta
        (n_looked_at, n_batches) effects.
    weight
        (n_states, n_batches) share of the cells of a batch that are of a state.
    level
        (n_states,) level of the cells.
    """

    rate: FloatArray
    log_delta: FloatArray
    weight: FloatArray
    level: CodeArray

    @property
    def expected(self) -> FloatArray:
        """Counts per unit of size factor, (n_batches, n_looked_at, n_states)."""
        return np.asarray(np.exp(self.log_delta.T)[:, :, None] * self.rate)


@dataclass(frozen=True, eq=False)
class StateMixture:
    r"""Cells whose states are not known, each of them of one.

    .. math:: Y_{\cdot j} \mid s \sim \mathrm{Multinomial}(L_j, p_{\cdot s k(j)}), \qquad
              p_{gsk} = \frac{\mu_{gs} \delta_{gk}}{\sum_i \mu_{is} \delta_{ik}}, \qquad P(s) = \pi_{s k(j)} .

    Where counts are few, cells of two states are taken for each other, in numbers that go with how many there are of
    each, and what the states differ by becomes an effect of batches that differ in composition. A mixture knows of it:
    each cell counts in all states, by the posterior probability of each. As `UncertainStates`, but rates and the
    effects of all batches are found together.

    Attributes
    ----------
    counts
        Counts, (n_all_cells, n_genes).
    batch, level
        (n_all_cells,) batch and level of each cell: a cell is of a state of its level.
    n_batches
        Number of batches.
    cells
        Rows of the cells that take part.
    genes
        Genes that are looked at.
    """

    counts: Counts
    batch: CodeArray
    level: CodeArray
    n_batches: int
    cells: IntArray
    genes: IntArray

    @cached_property
    def place(self) -> CodeArray:
        """Where each gene is among those that are looked at; -1 for others, (n_genes,)."""
        place = np.full(self.counts.shape[1], -1, dtype=np.int32)
        place[self.genes] = np.arange(len(self.genes))
        return place

    @cached_property
    def totals(self) -> FloatArray:
        """Counts of each cell in the genes that are looked at, (n_cells,)."""
        looked_at = (self.place >= 0).astype(np.float64)
        return np.asarray(self.counts @ looked_at)[self.cells]

    @cached_property
    def gene_totals(self) -> FloatArray:
        """Counts of each gene that is looked at, (n_looked_at,)."""
        return np.asarray(self.sums(np.ones((len(self.cells), 1))).sum(axis=(0, 2)))

    @cached_property
    def of_batches(self) -> list[IntArray]:
        """Which of the cells are of each batch."""
        return [np.flatnonzero(self.batch[self.cells] == k) for k in range(self.n_batches)]

    def of_cells(self, chosen: IntArray) -> Self:
        """Keep some of the cells, given by their places among them."""
        return replace(self, cells=self.cells[chosen])

    def begin(self, code: IntArray, level: CodeArray, log_delta: FloatArray) -> Guess:
        """Describe groups of cells, given the group of each, (n_cells,), and the level of each group, (n_groups,).

        The effects, (n_looked_at, n_batches), are taken as they are.
        """
        even = np.full((len(self.genes), len(level)), 1 / max(len(self.genes), 1))
        guess = Guess(even, log_delta, np.full((len(level), self.n_batches), 1 / len(level)), level)
        return self.learned(guess, of_one(code, len(level)), fixed=True)

    def shares(self, guess: Guess) -> tuple[FloatArray, FloatArray]:
        """Share each cell out to the states, (n_cells, n_states); the log-likelihood comes second, (n_cells,)."""
        expected = guess.expected
        log_part = np.log(expected / expected.sum(axis=1, keepdims=True))
        log_weight = np.ascontiguousarray(np.log(np.maximum(guess.weight, _TINY)).T)
        share, likelihood = np.empty((len(self.cells), len(guess.level))), np.empty(len(self.cells))

        def some(start: int, stop: int) -> None:
            share_out(
                *rows_of(self.counts, 0, self.counts.shape[0]),
                self.cells[start:stop],
                self.batch,
                self.level,
                self.place,
                log_part,
                log_weight,
                guess.level,
                share[start:stop],
                likelihood[start:stop],
            )

        in_ranges(some, len(self.cells), step=_CELLS)
        return share, likelihood

    def settle(self, guess: Guess, *, most: int, fixed: bool = False) -> Guess:
        """Find rates, weights and effects, or leave these fixed, in at most so many steps."""
        before = -np.inf
        for _ in range(most):
            share, likelihood = self.shares(guess)
            guess, now = self.learned(guess, share, fixed=fixed), float(likelihood.sum())
            if now - before < _SETTLED * abs(now):
                break
            before = now
        return guess

    def learned(self, guess: Guess, share: FloatArray, *, fixed: bool) -> Guess:
        """Find what goes with shares of cells, beginning from effects."""
        sums, sizes = self.sums(share), self.exposure(guess, share)
        seen, of_batch, delta = sums.sum(axis=0), sums.sum(axis=2).T, np.exp(guess.log_delta)
        rate, log_delta = smoothed(seen, delta @ sizes.T), guess.log_delta
        if not fixed:
            for _ in range(_TURNS):
                delta = (of_batch + _PRIOR_COUNTS) / (rate @ sizes + _PRIOR_COUNTS)
                rate = smoothed(seen, delta @ sizes.T)
            log_delta = self.levelled(np.log(delta))
        cells = self._added(share) + _PRIOR_CELLS
        return Guess(rate / rate.sum(axis=0), log_delta, cells / cells.sum(axis=0), guess.level)

    def sizes(self, guess: Guess) -> FloatArray:
        """Give the size factor that each cell would have in each state, (n_cells, n_states)."""
        per_count = 1 / guess.expected.sum(axis=1)
        return np.asarray(self.totals[:, None] * per_count[self.batch[self.cells]])

    def exposure(self, guess: Guess, share: FloatArray) -> FloatArray:
        """Add up size factors by state and batch, (n_states, n_batches)."""
        return self._added(share * self.sizes(guess))

    def sums(self, share: FloatArray) -> FloatArray:
        """Add up the counts that are looked at, (n_batches, n_looked_at, n_states)."""
        return self._by_batch(share, self.place)

    def levelled(self, log_delta: FloatArray) -> FloatArray:
        """Take the common level off effects of the genes that are looked at, (n_looked_at, n_batches)."""
        return np.asarray(log_delta - [weighted_median(column, self.gene_totals) for column in log_delta.T])

    def _added(self, of_cells: FloatArray) -> FloatArray:
        """Add up what cells have of states, (n_cells, n_states), by batch: (n_states, n_batches)."""
        return np.stack([of_cells[mine].sum(axis=0) for mine in self.of_batches], axis=1)

    def _by_batch(self, share: FloatArray, place: CodeArray, *, power: int = 1) -> FloatArray:
        sums = np.zeros((self.n_batches, int(place.max(initial=-1)) + 1, share.shape[1]))

        def one(k: int, _: int) -> None:
            mine = self.of_batches[k]
            rows = rows_of(self.counts, 0, self.counts.shape[0])
            sum_shared(*rows, self.cells[mine], place, share[mine], power, sums[k])

        in_ranges(one, self.n_batches, step=1)
        return sums

    def table(self, guess: Guess, share: FloatArray, *, whole: bool = True) -> StateTable:
        """Sum counts by state and batch, of cells by their shares; of all genes, or of those that are looked at."""
        place = np.arange(self.counts.shape[1], dtype=np.int32) if whole else self.place
        sums = self._by_batch(share, place)
        squares = self._by_batch(share / np.maximum(self.sizes(guess), _TINY), place, power=2)
        return StateTable(
            counts=np.ascontiguousarray(np.moveaxis(sums, 0, 2)),
            squares=np.ascontiguousarray(np.moveaxis(squares, 0, 2)),
            exposure=self.exposure(guess, share),
            cells=self._added(share),
        )


def of_one(code: IntArray | CodeArray, n_states: int) -> FloatArray:
    """Give shares of cells that are of one state each, (n_cells, n_states)."""
    share = np.zeros((len(code), n_states))
    share[np.arange(len(code)), code] = 1.0
    return share


def smoothed(seen: FloatArray, exposure: FloatArray) -> FloatArray:
    """Give counts over exposure, (n_genes, n_states): one count of the usual rate of the gene is added to each."""
    usual = np.maximum(seen.sum(axis=1, keepdims=True), 1.0) / np.maximum(exposure.sum(axis=1, keepdims=True), _TINY)
    return np.asarray((seen + 1) / (exposure + 1 / usual))
