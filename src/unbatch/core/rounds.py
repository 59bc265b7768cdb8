"""Rounds of the default estimator: states found by effects, and effects fitted to sums by state, until they stay."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from unbatch._memory import release
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray, KeyArray
from unbatch.core.composition import NO_COMPOSITION, CompositionChoice, choose_composition
from unbatch.core.counterparts import GAINED, common_share, comparable, with_counterparts
from unbatch.core.displacement import SHOWN, SHOWN_BY_LITTLE, visible_shares
from unbatch.core.effects import Effects
from unbatch.core.group_fit import GroupFit, fit_table
from unbatch.core.identifiability import Identifiability, judge_batches
from unbatch.core.kept_information import kept_information
from unbatch.core.keyed import evenly, keys_of
from unbatch.core.linked_shifts import LinkedPseudobulks
from unbatch.core.linking import link_pseudobulks
from unbatch.core.log_counts import LogCounts
from unbatch.core.shift_rounds import ShiftRounds, find_rounds
from unbatch.core.state_table import MOST_DENSE, StateTable, group_sums
from unbatch.core.states import States, batch_pseudobulks, find_states

StopReason: TypeAlias = Literal["converged", "max_rounds", "nothing shared"]

_FEWEST_STATES = 4
_WELL_MEASURED = 200
_COMPOSITION_GENES = 2000
_MOSTLY = 0.5
_NEARLY_ALL = 0.8
"""Share of the way of cells that is common to their batch from which on effects should have divided it out."""
_MANY_ALONE = 0.4
"""Share of the cells of a batch without counterparts from which on few are left to show that it is displaced."""
_SOME_CELLS = 5000
_COUNTS = 4_000_000
"""Counts added up at a time."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Numbers that steer `fit_matched`; what grows when they grow is told by `unbatch.MatchedOptions`."""

    n_dims: int = 20
    n_genes: int = 2000
    cells_per_state: int = 40
    max_states: int = 40
    caliper: float = 6.0
    min_support: float = 10.0
    max_rounds: int = 15
    tol: float = 0.01


@dataclass(eq=False)
class Settled:
    """What the rounds ended with: effects and states, and what these were found from."""

    effects: Effects
    states: States
    shifts: ShiftRounds
    linked: LinkedPseudobulks | None
    """Links by which cells were drawn first; None if they were not."""
    table: StateTable | None
    """Sums of the last round; None once they are let go."""
    logs: LogCounts
    where: FloatArray
    """Coordinates of the cells, (n_cells, n_dims), after the shifts."""
    choice: CompositionChoice
    fitted_with: CompositionChoice
    """The correction by which the effects were fitted, which may have been chosen afterwards."""
    trace: dict[str, list[float]]
    stop: StopReason
    mixture: Effects | None = None
    """Effects by a mixture of states, which take the place of those by states of cells; None if they do not."""


@dataclass(frozen=True, eq=False)
class Rounds:
    """The data of a fit, and the rounds over it."""

    counts: Counts
    batch: CodeArray
    measured: BoolArray
    shared: BoolArray
    level: CodeArray
    control_genes: BoolArray | None
    settings: Settings
    seed: int

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return int(self.measured.shape[1])

    @cached_property
    def keys(self) -> KeyArray:
        """What the random numbers of each cell follow from, (n_cells,)."""
        return keys_of(self.counts)

    @cached_property
    def totals(self) -> FloatArray:
        """Counts of each gene, (n_genes,)."""
        totals = np.zeros(self.counts.shape[1])
        for first in range(0, self.counts.nnz, _COUNTS):
            part = slice(first, first + _COUNTS)
            totals += np.bincount(self.counts.indices[part], self.counts.data[part], len(totals))
        return totals

    @cached_property
    def well_measured(self) -> BoolArray:
        """Genes by which the change of a round is judged."""
        many = self.totals > min(_WELL_MEASURED, float(np.quantile(self.totals[self.totals > 0], 0.75)))
        return np.asarray(many if many.any() else self.totals > 0)

    @cached_property
    def loud(self) -> IntArray:
        """Genes with most counts, for the factor model: of those that all batches measured, or their 0 are states."""
        totals = self.totals * self.shared
        n_genes = min(_COMPOSITION_GENES, MOST_DENSE // (self.n_states * self.n_batches))
        ranked = np.argsort(-totals, kind="stable")[:n_genes]
        return np.sort(ranked[totals[ranked] > 0])

    @cached_property
    def n_states(self) -> int:
        """Number of states that are looked for."""
        wanted = self.counts.shape[0] // self.settings.cells_per_state
        return int(np.clip(wanted, _FEWEST_STATES, self.settings.max_states))

    def settle(self, basis: FloatArray, log_delta: FloatArray, *, linked: LinkedPseudobulks | None = None) -> Settled:
        """Find states and fit effects in turn, from these effects on, until they stay.

        With links of pseudobulks, cells are drawn together from the first round on, and no correction for graded states
        is chosen. One that costs cells their counterparts is given up.
        """
        effects: Effects | None = None
        states: States | None = None
        table: StateTable | None = None
        plain: Settled | None = None
        choice, together = NO_COMPOSITION, None if linked is None else True
        shifts: ShiftRounds = ()
        trace: dict[str, list[float]] = {"change": [], "matched": [], "states": [], "objective": []}
        stop: StopReason = "max_rounds"
        for number in range(1, self.settings.max_rounds + 1):
            logs = LogCounts.of(self.counts, log_delta, batch=self.batch, genes=self.shared)
            where = logs.project(basis)
            if together:
                shifts, where = self.drawn(where, linked)
            states = self.find_states(where, states)
            table = None  # tables are the largest things here: one at a time
            table, fitted_with = self.table(states, logs.size), choice
            effects = fit_table(
                table,
                effects,
                kind=states.kinds(),
                choice=choice,
                measured=self.measured,
                loud=self.loud,
                seed=self.seed,
            )
            change = float(np.sqrt(np.mean((effects.log_delta - log_delta)[self.well_measured] ** 2)))
            log_delta = effects.log_delta
            takes_part = compared(table)[states.code, self.batch].mean()
            for name, value in zip(trace, (change, takes_part, states.n_states, effects.objective), strict=True):
                trace[name].append(float(value))
            settled = change < self.settings.tol
            if together is None and (settled or 2 * number >= self.settings.max_rounds):
                together = self._better_together(where, states, table, effects)
                settled &= not together
            if not settled:
                continue
            if plain is None and linked is None:
                choice = choose_composition(table, effects, genes=self.loud, seed=self.seed)
            if plain is not None or choice.strength == 0:
                stop = "converged"
                break
            done = {name: values.copy() for name, values in trace.items()}
            plain = Settled(
                effects, states, shifts, linked, None, logs, where, NO_COMPOSITION, NO_COMPOSITION, done, "converged"
            )
        assert effects is not None
        assert states is not None
        if plain is not None and self.counterparts(states).mean() <= self.counterparts(plain.states).mean() - GAINED:
            return plain
        return Settled(effects, states, shifts, linked, table, logs, where, choice, fitted_with, trace, stop)

    def cell_by_median(self) -> tuple[float, float]:
        """Find the medians over cells, at most 5,000, of counts and of genes with counts, that all batches measured."""
        some, shared = self.counts[evenly(self.keys, _SOME_CELLS)], self.shared.astype(np.float64)
        return float(np.median(some @ shared)), float(np.median((some > 0) @ shared))

    def judged(self, settled: Settled, table: StateTable) -> Identifiability:
        """Tell which batches can be compared."""
        effects = settled.effects if settled.mixture is None else settled.mixture
        return judge_batches(
            table.cells,
            compared(table),
            batch_sizes=np.bincount(self.batch, minlength=self.n_batches),
            centres=settled.states.centres,
            log_delta=effects.log_delta[self.well_measured & self.measured.all(axis=1)],
            min_support=self.settings.min_support,
        )

    def group_fit(self, settled: Settled, tied: Identifiability) -> GroupFit:
        """Tell fits to sums what they need to know."""
        return GroupFit(
            measured=self.measured,
            group=tied.group,
            kind=settled.states.kinds(),
            choice=settled.choice,
            loud=self.loud,
            genes=self.well_measured,
            seed=self.seed,
        )

    def first_effects(
        self, where: FloatArray, size: FloatArray, basis: FloatArray
    ) -> tuple[FloatArray, LinkedPseudobulks]:
        """Link pseudobulks of different batches, and find the effects that follow."""
        code, first = batch_pseudobulks(where, batch=self.batch, level=self.level, keys=self.keys, seed=self.seed)
        used = np.flatnonzero(np.any(basis != 0, axis=1))
        log_delta = np.zeros((self.counts.shape[1], self.n_batches))
        linked = LinkedPseudobulks(code, self.batch[first], self.level[first], np.zeros((0, 2), dtype=np.int64))
        if not used.size:
            return log_delta, linked
        sums = group_sums(self.counts, code, n_groups=len(first), genes=used)
        sizes = np.bincount(code, size).astype(np.float64)
        links = link_pseudobulks(sums, sizes, batch=linked.batch, basis=basis[used], level=linked.level)
        log_delta[used, : links.log_delta.shape[1]] = links.log_delta
        return log_delta, replace(linked, pairs=links.pairs)

    def drawn(
        self, where: FloatArray, linked: LinkedPseudobulks | None = None, *, group: IntArray | None = None
    ) -> tuple[ShiftRounds, FloatArray]:
        """Draw cells to their counterparts, first by links if there are any: shifts, and where they take the cells."""
        return find_rounds(
            where,
            batch=self.batch,
            level=self.level,
            group=np.zeros(self.n_batches, dtype=np.int64) if group is None else group,
            keys=self.keys,
            seed=self.seed,
            linked=linked,
        )

    def _better_together(self, where: FloatArray, states: States, table: StateTable, effects: Effects) -> bool:
        """Tell whether states keep batches apart that are together once cells are drawn to their counterparts.

        What a batch does to single states is not divided out: where it moves them farther than their cells lie apart,
        they become states of that batch alone, or of it and of others like it. In the latter case all cells have
        counterparts, and batches that hold other parts of graded states look alike; but there cells are drawn here and
        there, and not mostly in one direction, which effects would have divided out had they been found whole.
        """
        kept, shared = self._kept(states), self.counterparts(states)
        if kept.min(initial=1.0) > 1 - GAINED:
            return False
        moved = self.drawn(where)[1]
        drawn = self.find_states(moved, states)
        alone = (self.counterparts(drawn) >= shared + GAINED).any()
        apart = (self._kept(drawn) >= kept + GAINED).any() and common_share(
            moved - where, self.batch, n_batches=self.n_batches
        ) > _MOSTLY
        return (
            bool(alone or apart)
            and self.displaced(where, moved, states)
            and choose_composition(table, effects, genes=self.loud, seed=self.seed).strength == 0
        )

    def displaced(self, where: FloatArray, moved: FloatArray, states: States) -> bool:
        """Tell whether states show that batches are displaced as cells would be moved.

        They must show most of it, since types that resemble each other are mistaken for displaced ones; less if few
        cells can show it, or if it is what effects should have divided out, common to all cells of a batch.
        """
        shown = visible_shares(where, moved, states.code, self.batch, compared=~states.apart)[1]
        if not SHOWN_BY_LITTLE < shown <= SHOWN:
            return shown > SHOWN
        here = np.bincount(self.batch, minlength=self.n_batches) > 0
        few = (self.counterparts(states)[here] <= 1 - _MANY_ALONE).any()
        common = common_share(moved - where, self.batch, n_batches=self.n_batches) > _NEARLY_ALL
        return bool(few or common)

    def counterparts(self, states: States) -> FloatArray:
        """Share of the cells of each batch whose state others have too, (n_batches,)."""
        return with_counterparts(states, self.batch, n_batches=self.n_batches)

    def _kept(self, states: States) -> FloatArray:
        """Share that comparing within states keeps of each contrast between batches, (n_batches - 1,)."""
        return kept_information(states.code, self.batch, states.apart)

    def find_states(self, where: FloatArray, before: States | None, *, partition: int = 0) -> States:
        """Find states; within each level separately, numbered on."""
        seed = self.seed
        if partition:
            seed = int(np.random.SeedSequence(self.seed, spawn_key=(17, partition)).generate_state(1)[0])
        code = np.zeros(len(where), dtype=np.int32)
        found: list[States] = []
        n_found = 0
        for value in np.unique(self.level):
            mine = np.flatnonzero(self.level == value)
            states = find_states(
                where[mine],
                batch=self.batch[mine],
                n_batches=self.n_batches,
                n_states=max(1, round(self.n_states * len(mine) / len(where))),
                caliper=self.settings.caliper,
                keys=self.keys[mine],
                seed=seed,
                start=None if before is None else np.unique(before.code[mine], return_inverse=True)[1].astype(np.int32),
            )
            code[mine] = states.code + n_found
            n_found += states.n_states
            found.append(states)
        return States(
            code=code,
            apart=np.concatenate([states.apart for states in found]),
            centres=np.concatenate([states.centres for states in found]),
            level=np.repeat(np.unique(self.level), [states.n_states for states in found]),
        )

    def table(self, states: States, size: FloatArray) -> StateTable:
        """Sum by state and batch, without the cells of batches that lie apart within their state."""
        apart = states.apart[states.code, self.batch]
        release()  # what earlier steps left lies between what is in use, and the table comes on top
        return StateTable.of(
            self.counts,
            state=np.where(apart, np.int32(-1), states.code),
            batch=self.batch,
            size=size,
            shape=(states.n_states, self.n_batches),
        )


def compared(table: StateTable) -> BoolArray:
    """Tell which batches can be compared in which state, (n_states, n_batches)."""
    return comparable(table.cells > 0)
