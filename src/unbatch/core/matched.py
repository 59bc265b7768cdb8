"""The default estimator: states matched across batches, effects shared by all of them, in rounds."""

from dataclasses import dataclass, replace

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray
from unbatch.core.composition import CompositionChoice
from unbatch.core.counterparts import may_regain, regained
from unbatch.core.effects import Effects
from unbatch.core.group_fit import Refit, fit_table
from unbatch.core.identifiability import Identifiability
from unbatch.core.landmarks import StateShape
from unbatch.core.linked_shifts import LinkedPseudobulks
from unbatch.core.log_counts import LogCounts
from unbatch.core.mixture_fit import FEW_COUNTS, FEW_GENES, MixtureTrial, Start
from unbatch.core.rounds import Rounds, Settings, Settled, StopReason, compared
from unbatch.core.shift_rounds import ShiftRounds
from unbatch.core.state_mixture import StateMixture
from unbatch.core.states import States, clear_of_control, state_basis

_PARTITIONS = 4


@dataclass(frozen=True, eq=False)
class MatchedFit:
    """Result of `fit_matched`.

    Attributes
    ----------
    effects
        Log effects, their standard errors, what was learned, and the rates of the states.
    refit
        The same fit for sums over more cells.
    states
        The states of the cells.
    shifts
        What is done to the coordinates of cells before their states are found; nothing where that is not needed.
    linked
        Links of pseudobulks by which cells were drawn first; None if they were not.
    basis
        (n_genes, n_dims) axes in which cells are compared.
    scale
        Counts to which cells are normalised before the logarithm.
    tied
        What ties each batch to the others; where nothing does, log delta is 0.
    support
        (n_states, n_batches) whether the state's cells of this batch take part in the estimate.
    cells
        (n_states, n_batches) number of cells; those of a batch that lies apart within a state are not counted there.
    sizes
        (n_states, n_batches) summed size factors of these cells.
    shape
        How cells lie around the centres of their states.
    composition
        The correction for graded states that was chosen.
    trace
        One array per quantity, one value per round: "change" (root mean square change of log delta over well-measured
        genes), "matched" (share of cells that take part), "states", "objective".
    stop_reason
        Why the rounds ended.
    """

    effects: Effects
    refit: Refit
    states: States
    shifts: ShiftRounds
    linked: LinkedPseudobulks | None
    basis: FloatArray
    scale: float
    tied: Identifiability
    support: BoolArray
    cells: FloatArray
    sizes: FloatArray
    shape: StateShape
    composition: CompositionChoice
    trace: dict[str, FloatArray]
    stop_reason: StopReason

    @property
    def n_mixture_states(self) -> int:
        """Number of states of the mixture from which effects come; 0 if they come from the states of cells."""
        return 0 if self.refit.mixture is None else self.refit.mixture.rate.shape[1]


def fit_matched(
    counts: Counts,
    batch: CodeArray,
    *,
    measured: BoolArray,
    shared: BoolArray | None = None,
    level: CodeArray | None = None,
    control_genes: BoolArray | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> MatchedFit:
    """Estimate batch effects from cells of the same state in different batches.

    Parameters
    ----------
    counts
        Counts, (n_cells, n_genes); every cell has a count.
    batch
        Batch of each cell, (n_cells,), 0 to n_batches - 1.
    measured
        Genes that each batch measured, (n_genes, n_batches).
    shared
        Genes by which cells are compared, (n_genes,): measured by all batches, also by those without cells here.
    level
        Cells are only compared within a level, (n_cells,).
    control_genes
        Genes known to carry technical variation only, (n_genes,): it is taken out of the coordinates.
    settings
        See `Settings`.
    seed
        Start of all random numbers. The result does not depend on the number of threads.

    Returns
    -------
    MatchedFit
    """
    if not counts.has_sorted_indices:
        counts = counts.sorted_indices()
    with one_thread():
        rounds = Rounds(
            counts=counts,
            batch=batch,
            measured=measured,
            shared=np.asarray(measured.all(axis=1)) if shared is None else shared,
            level=np.zeros_like(batch) if level is None else level,
            control_genes=control_genes,
            settings=settings or Settings(),
            seed=seed,
        )
        return _run(rounds)


def _run(rounds: Rounds) -> MatchedFit:
    nothing = np.zeros((rounds.counts.shape[1], rounds.n_batches))
    logs = LogCounts.of(rounds.counts, nothing, batch=rounds.batch, genes=rounds.shared)
    basis = state_basis(
        logs, batch=rounds.batch, genes=rounds.shared, n_dims=rounds.settings.n_dims, n_genes=rounds.settings.n_genes
    )
    if rounds.control_genes is not None:
        basis = clear_of_control(basis, logs, batch=rounds.batch, control_genes=rounds.control_genes & rounds.shared)
    first, linked = rounds.first_effects(logs.project(basis), logs.size, basis)
    settled = _drawn_from_the_start(rounds, rounds.settle(basis, first), basis, first, linked)
    return _finished(rounds, _by_mixture(rounds, settled, basis, first), basis)


def _drawn_from_the_start(
    rounds: Rounds,
    settled: Settled,
    basis: FloatArray,
    log_delta: FloatArray,
    linked: LinkedPseudobulks,
) -> Settled:
    """Begin again with cells drawn together from the first round on, where that gives them counterparts.

    Effects follow the cells that are compared, and all others move with them: a batch whose states lie farther
    apart than those of other batches can lose all but one of them, round by round, though it began with all. Types
    that a batch moves farther than their cells lie apart have no counterparts in states at all, but in pseudobulks.
    """
    before = rounds.counterparts(settled.states)
    if settled.choice.strength > 0 or not may_regain(before).any():
        return settled
    if not settled.shifts and not rounds.displaced(
        settled.where, rounds.drawn(settled.where, linked)[1], settled.states
    ):
        return settled
    settled.table = None  # tables are the largest things here: one at a time
    again = rounds.settle(basis, log_delta, linked=linked)
    return again if regained(before, rounds.counterparts(again.states)) else settled


def _by_mixture(rounds: Rounds, settled: Settled, basis: FloatArray, log_delta: FloatArray) -> Settled:
    """Find effects by a mixture of states where counts do not tell the states of cells, and place cells by them."""
    counts, genes = rounds.cell_by_median()
    if settled.choice.strength > 0 or counts > FEW_COUNTS or genes > FEW_GENES or not rounds.loud.size:
        return settled
    states, table = settled.states, settled.table
    tied = rounds.judged(settled, rounds.table(states, settled.logs.size) if table is None else table)
    if tied.group.any():
        return settled
    table = settled.table = None  # tables are the largest things here: one at a time
    taking_part = np.flatnonzero(~states.apart[states.code, rounds.batch])
    trial = MixtureTrial(
        mixture=StateMixture(rounds.counts, rounds.batch, rounds.level, rounds.n_batches, taking_part, rounds.loud),
        keys=rounds.keys,
        how=rounds.group_fit(settled, tied),
        seed=rounds.seed,
    )
    fitted = Start(settled.effects.log_delta, states.code, states.level)
    first = [_start_from(rounds, effects, basis) for effects in (log_delta, np.zeros_like(log_delta))]
    found = trial.better(settled.effects, fitted, first)
    if found is None:
        return settled
    others = []
    for partition in range(1, _PARTITIONS):
        again = rounds.find_states(settled.where, None, partition=partition)
        others.append([trial.from_other(Start(found.effects.log_delta, again.code, again.level), found)])
    moved = _placed_by(rounds, trial.how.together([found.effects], others, settled.effects), settled, basis)
    assert moved.table is not None
    return settled if rounds.judged(moved, moved.table).group.any() else moved


def _start_from(rounds: Rounds, log_delta: FloatArray, basis: FloatArray) -> Start:
    """Find states by effects, (n_genes, n_batches), as a first round does."""
    where = LogCounts.of(rounds.counts, log_delta, batch=rounds.batch, genes=rounds.shared).project(basis)
    states = rounds.find_states(where, None)
    return Start(log_delta, states.code, states.level)


def _placed_by(rounds: Rounds, effects: Effects, settled: Settled, basis: FloatArray) -> Settled:
    """Find states by effects of a mixture."""
    logs = LogCounts.of(rounds.counts, effects.log_delta, batch=rounds.batch, genes=rounds.shared)
    where, shifts = logs.project(basis), settled.shifts
    if shifts:
        shifts, where = rounds.drawn(where, settled.linked)
    states = rounds.find_states(where, settled.states)
    table = rounds.table(states, logs.size)
    found = fit_table(
        table,
        settled.effects,
        kind=states.kinds(),
        choice=settled.choice,
        measured=rounds.measured,
        loud=rounds.loud,
        seed=rounds.seed,
    )
    return replace(
        settled, effects=found, states=states, shifts=shifts, table=table, logs=logs, where=where, mixture=effects
    )


def _finished(rounds: Rounds, settled: Settled, basis: FloatArray) -> MatchedFit:
    """Tell which batches can be compared, and average their effects over partitions into states."""
    table, settled.table = settled.table, None  # the largest thing here
    if table is None:
        table = rounds.table(settled.states, settled.logs.size)
    effects, states, shifts, choice = settled.effects, settled.states, settled.shifts, settled.choice
    logs, where = settled.logs, settled.where
    cells, sizes, support = table.cells, table.exposure, compared(table)
    tied, mixture = rounds.judged(settled, table), settled.mixture
    identifiable, how = tied.identifiable, rounds.group_fit(settled, tied)
    as_fitted = not tied.group.any() and settled.fitted_with.strength == choice.strength
    first = [effects] if as_fitted else how.fit(table, effects)
    others: list[list[FloatArray]] = []
    if mixture is None:
        for partition in range(1, _PARTITIONS):
            table = None
            table = rounds.table(rounds.find_states(where, None, partition=partition), logs.size)
            others.append(how.fit_log_delta(table, effects, first))
        final = how.together(first, others, effects)
    else:
        final = how.given(mixture, table, first[0])
    if tied.group.max(initial=0) > 0:  # relative to the mean of each group, which cells and states follow
        logs = replace(
            LogCounts.of(rounds.counts, final.log_delta, batch=rounds.batch, genes=rounds.shared), scale=logs.scale
        )
        where = logs.project(basis)
        if shifts:
            shifts, where = rounds.drawn(where, settled.linked, group=tied.group)
        states = states.moved(where)
    return MatchedFit(
        effects=final,
        refit=Refit(
            how,
            effects,
            first=[found.log_delta for found in first],
            dispersions=[found.dispersion for found in first],
            others=others,
            mixture=mixture,
        ),
        states=states,
        shifts=shifts,
        linked=settled.linked,
        basis=basis,
        scale=logs.scale,
        tied=tied,
        support=support & identifiable,
        cells=cells,
        sizes=sizes,
        shape=StateShape.of(logs, where, states, basis=basis),
        composition=choice,
        trace={name: np.array(values) for name, values in settled.trace.items()},
        stop_reason=settled.stop if identifiable.any() else "nothing shared",
    )
