"""A new batch against the states of a finished fit: first links, then rounds of placing its cells and fitting it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.identifiability import judge_batches
from unbatch.core.keyed import evenly, keys_of
from unbatch.core.linking import link_pseudobulks
from unbatch.core.log_counts import LogCounts
from unbatch.core.mapped_batch import MappedBatch, StopReason
from unbatch.core.mapped_effects import MappedEffects
from unbatch.core.mapped_fit import average, fit_new
from unbatch.core.novel_groups import Groups
from unbatch.core.placement import Axes, Places, View, place
from unbatch.core.projection import LogAxes
from unbatch.core.reference import Reference
from unbatch.core.state_table import StateTable, group_sums
from unbatch.core.states import batch_pseudobulks, state_basis
from unbatch.core.uncertain_states import UncertainStates

_WELL_MEASURED = 200
_GROUPING_ROUNDS = 5
_OWN_AXES, _LEAST_OWN = 10, 0.1
_TRIED = 2048
"""Cells by which it is found out whether states are known, and where effects begin if not."""
_TINY = 1e-300


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Numbers that steer `map_batch`; those of the reference, see `unbatch.MatchedOptions`."""

    caliper: float = 6.0
    min_support: float = 10.0
    max_rounds: int = 15
    tol: float = 0.01


def map_batch(
    counts: Counts,
    reference: Reference,
    *,
    view: View,
    measured: BoolArray,
    level: CodeArray,
    n_cells: int,
    settings: MapSettings,
    seed: int,
) -> MappedBatch:
    """Estimate the effects of a new batch relative to a finished fit, which stays as it is.

    Parameters
    ----------
    counts
        Counts of cells of the batch, (n_cells, n_genes); every cell has a count.
    reference
        The fit.
    view
        The fit as seen through the genes that the batch measured.
    measured
        Genes that the batch measured, (n_genes,).
    level
        Condition of each cell, (n_cells,).
    n_cells
        Number of cells of the batch, of which `counts` may be a part.
    settings
        See `MapSettings`.
    seed
        Start of the clustering.

    Returns
    -------
    MappedBatch
    """
    if not counts.has_sorted_indices:
        counts = counts.sorted_indices()
    with one_thread():
        return _Rounds(counts, reference, view, measured, level, n_cells, settings, seed).run()


@dataclass(frozen=True, eq=False)
class _Rounds:
    counts: Counts
    reference: Reference
    view: View
    measured: BoolArray
    level: CodeArray
    n_cells: int
    settings: MapSettings
    seed: int

    @property
    def _one(self) -> CodeArray:
        """The batch of each cell: the same."""
        return np.zeros(self.counts.shape[0], dtype=np.int32)

    def run(self) -> MappedBatch:
        landmarks = self.reference.landmarks
        start = self._first_effects()
        judged = np.asarray(self.counts.sum(axis=0)).ravel() * (self.measured & self.reference.rates.known)
        many = judged > min(_WELL_MEASURED, float(np.quantile(judged[judged > 0], 0.75)) if judged.any() else 0.0)
        mixture, start = self._open_states(start)
        log_delta, effects = start, None
        counted, group, groups = np.zeros(landmarks.n_states, dtype=bool), 0, Groups.none(landmarks)
        composed = False
        own = self._own_axes(start)
        changes: list[float] = []
        stop: StopReason = "max_rounds"
        table: StateTable | None = None
        size = np.zeros(0)
        for number in range(self.settings.max_rounds):
            places = self._place(log_delta)
            where, state, size = places.where, places.state, places.size
            beside = self._beside(own, log_delta, size)
            if number < _GROUPING_ROUNDS:  # later, cells that change between groups would keep the effects moving
                groups = Groups.of(np.hstack([where, beside]), state, own=own, landmarks=landmarks, seed=self.seed)
            state = np.where(groups.apart(where, beside, state), np.int32(-1), state)
            counted, group = self._comparable(where, state)
            reference = self.reference.of_group(group)
            if mixture is None:
                table = self._table(state, size, counted)
            else:
                table = self._shared_out(mixture, state, counted, log_delta)
            effects = fit_new(
                table, reference, measured=self.measured, start=effects, composed=composed, seed=self.seed
            )
            changes.append(float(np.sqrt(np.mean((effects.log_delta - log_delta)[many] ** 2))) if many.any() else 0.0)
            log_delta = effects.log_delta
            if changes[-1] < self.settings.tol:
                if composed or self.reference.choice.strength == 0:
                    stop = "converged"
                    break
                composed = True
        assert effects is not None
        assert table is not None
        reference = self.reference.of_group(group)
        effects = average(table, reference, measured=self.measured, effects=effects, seed=self.seed)
        if mixture is not None:
            effects = self._widened(effects, mixture, state, counted)
        identifiable, information = self._judge(table, log_delta, many)
        return MappedBatch(
            effects=effects,
            counted=counted & identifiable,
            identifiable=identifiable,
            information=information,
            group=group,
            groups=groups,
            open_states=mixture is not None,
            shifts=self._shifts(effects.log_delta, own, groups, counted & identifiable),
            rounds=np.array(changes),
            stop_reason=stop if identifiable else "nothing shared",
        )

    @cached_property
    def _seen(self) -> IntArray:
        """Genes by which cells are shared out to states."""
        rates = self.reference.rates
        return np.flatnonzero(self.measured & rates.known & self.reference.genes & (rates.rate > 0).any(axis=1))

    def _mixture(self, cells: IntArray) -> UncertainStates:
        """Look at some cells as a mixture of the states that can be compared."""
        landmarks, rates, seen = self.reference.landmarks, self.reference.rates, self._seen
        allowed = landmarks.usable & (self.level[cells, None] == landmarks.level)
        return UncertainStates.of(self.counts[cells][:, seen], rates.rate[seen], rates.exposure[seen], allowed)

    def _open_states(self, log_delta: FloatArray) -> tuple[UncertainStates | None, FloatArray]:
        """Look at the batch as a mixture of states if its genes leave open which state its cells are of.

        Graded states are left to the correction that the fit chose for them. Effects to begin with come second: there,
        those that the mixture leads to from the links, or from none, as is likelier.
        """
        seen = self._seen
        if self.reference.choice.strength > 0 or not seen.size:
            return None, log_delta
        tried, dispersion = self._mixture(evenly(keys_of(self.counts), _TRIED)), self.reference.rates.dispersion[seen]
        if not tried.are_open(log_delta[seen], dispersion):
            return None, log_delta
        begun = np.zeros_like(log_delta)
        starts = [tried.settle(start) for start in (log_delta[seen], begun[seen])]
        begun[seen] = max(starts, key=lambda found: found[1])[0]
        if not tried.are_open(begun[seen], dispersion):  # it was only the links that were wrong
            return None, log_delta
        return self._mixture(np.arange(self.counts.shape[0])), begun

    def _shared_out(
        self, mixture: UncertainStates, state: CodeArray, counted: BoolArray, log_delta: FloatArray
    ) -> StateTable:
        """Sum the cells that are compared, each shared out to the states in which any are."""
        cells, own = np.flatnonzero((state >= 0) & counted[state]), log_delta[self._seen]
        compared = mixture.among(cells, counted)
        return compared.table(self.counts[cells], own, compared.weighed(own))

    def _widened(
        self, effects: MappedEffects, mixture: UncertainStates, state: CodeArray, counted: BoolArray
    ) -> MappedEffects:
        """Widen errors by what it costs not to know the states of cells."""
        own = effects.log_delta[self._seen]
        compared = mixture.among(np.flatnonzero((state >= 0) & counted[state]), counted)
        factor = np.ones_like(effects.se)
        factor[self._seen] = compared.inflation(
            own, compared.weighed(own), dispersion=effects.dispersion[self._seen], width=effects.width[self._seen]
        )
        return effects.widened(factor)

    def _shifts(
        self, log_delta: FloatArray, own: FloatArray, groups: Groups, counted: BoolArray
    ) -> tuple[FloatArray, ...]:
        """Find the shifts in the embedding from the cells that are compared with those of the reference."""
        places = self._place(log_delta, embed=True)
        beside = self._beside(own, log_delta, places.size)
        state = np.where(groups.apart(places.where, beside, places.state), np.int32(-1), places.state)
        mine = np.flatnonzero((state >= 0) & counted[state])
        return self.reference.embedding.of_new_batch(places.along[mine], self.level[mine])

    def _place(self, log_delta: FloatArray, *, embed: bool = False) -> Places:
        reference = self.reference
        axes = Axes.of(
            self.view,
            log_delta=(log_delta + reference.gene_shift)[:, None],
            genes=reference.genes,
            centre=reference.embedding.centre if embed else None,
        )
        return place(self.counts, self._one, self.level, axes=axes, view=self.view, landmarks=reference.landmarks)

    def _own_axes(self, log_delta: FloatArray) -> FloatArray:
        """Find directions in which cells of the batch differ and those of the reference do not, (n_genes, n_dims)."""
        size = self._place(log_delta).size
        footing, basis = (log_delta + self.reference.gene_shift)[:, None], self.view.states.basis
        genes = np.asarray(np.any(basis != 0, axis=1) & self.measured)
        scale = self.reference.landmarks.scale
        logs = LogCounts(self.counts, self._one, footing, self.reference.genes, size, scale)
        axes = state_basis(logs, batch=self._one, genes=genes, n_dims=_OWN_AXES, n_genes=int(genes.sum()))
        left, values, _ = np.linalg.svd(axes - basis @ np.linalg.lstsq(basis, axes, rcond=None)[0], full_matrices=False)
        return np.asarray(left[:, values > _LEAST_OWN])

    def _beside(self, own: FloatArray, log_delta: FloatArray, size: FloatArray) -> FloatArray:
        footing = (log_delta + self.reference.gene_shift)[:, None]
        axes = LogAxes.of(own, log_delta=footing, genes=self.reference.genes)
        return axes.project(self.counts, self._one, scale=self.reference.landmarks.scale, size=size)

    def _first_effects(self) -> FloatArray:
        """Link pseudobulks of the batch to the states of the reference."""
        landmarks, rates = self.reference.landmarks, self.reference.rates
        log_delta = np.zeros(self.counts.shape[1])
        used = np.flatnonzero(np.any(self.view.states.basis != 0, axis=1))
        there = np.flatnonzero(landmarks.usable)
        places = self._place(log_delta)
        where, size, cells = places.where, places.size, np.flatnonzero(places.state >= 0)
        if not (used.size and there.size and cells.size):
            return log_delta
        own = self.counts[cells]
        code, first = batch_pseudobulks(
            where[cells], batch=self._one[cells], level=self.level[cells], keys=keys_of(own), seed=self.seed
        )
        sums = group_sums(own, code, n_groups=len(first), genes=used)
        exposure = landmarks.sizes.sum(axis=1)[there]
        links = link_pseudobulks(
            np.vstack([rates.rate[np.ix_(used, there)].T * exposure[:, None], sums]),
            np.concatenate([exposure, np.bincount(code, size[cells])]),
            batch=np.repeat(np.array([0, 1], dtype=np.int32), [len(there), len(first)]),
            basis=self.view.states.basis[used],
            level=np.concatenate([landmarks.level[there], self.level[cells][first]]),
        )
        log_delta[used] = links.log_delta[:, 1] - links.log_delta[:, 0]
        return log_delta * self.measured

    def _comparable(self, where: FloatArray, state: CodeArray) -> tuple[BoolArray, int]:
        """Find the states in which the cells of the batch lie within the caliper of those of the reference.

        All are of one group of batches, which comes second.
        """
        landmarks = self.reference.landmarks
        n_states = landmarks.n_states
        here = np.flatnonzero(state >= 0)
        cells = np.bincount(state[here], minlength=n_states).astype(np.float64)
        means = np.stack([np.bincount(state[here], column, n_states) for column in where[here].T], axis=1)
        line = means / np.maximum(cells, 1)[:, None] - landmarks.centres
        length2 = (line**2).sum(axis=1)
        along = np.einsum("sd,sde,se->s", line, landmarks.spread, line) / np.maximum(length2, _TINY)
        near = length2 <= self.settings.caliper**2 * np.maximum(along, _TINY)
        compared = (cells > 0) & near & landmarks.usable
        group = self._best_group(cells * compared)
        return np.asarray(compared & (landmarks.state_group == group)), group

    def _best_group(self, cells: FloatArray) -> int:
        """Choose the group of batches of the reference with which most cells can be compared."""
        landmarks, groups = self.reference.landmarks, self.reference.landmarks.state_group
        theirs = landmarks.cells.sum(axis=1)
        shared = cells * theirs / np.maximum(cells + theirs, 1)
        names = np.unique(groups[groups >= 0])
        return int(names[np.argmax([shared[groups == name].sum() for name in names])]) if names.size else 0

    def _table(self, state: CodeArray, size: FloatArray, counted: BoolArray) -> StateTable:
        kept = np.where((state >= 0) & counted[state], state, np.int32(-1))
        shape = (self.reference.landmarks.n_states, 1)
        return StateTable.of(self.counts, state=kept.astype(np.int32), batch=self._one, size=size, shape=shape)

    def _judge(self, table: StateTable, log_delta: FloatArray, genes: BoolArray) -> tuple[bool, float]:
        """Tell whether the batch is tied to the reference, by the rules of a fit; and by how many effective cells."""
        landmarks = self.reference.landmarks
        known = np.flatnonzero(landmarks.group >= 0)
        genes = genes & np.isfinite(self.reference.rates.se[:, known]).all(axis=1)
        if not known.size or not table.cells.any():
            return False, 0.0
        cells = np.hstack([landmarks.cells[:, known] * landmarks.usable[:, None], table.cells])
        tied = judge_batches(
            cells,
            (cells > 0) & ((cells > 0).sum(axis=1, keepdims=True) > 1),
            batch_sizes=np.append(landmarks.cells[:, known].sum(axis=0), self.n_cells).astype(np.int64),
            centres=landmarks.centres,
            log_delta=np.column_stack([self.reference.rates.log_delta[:, known], log_delta])[genes],
            min_support=self.settings.min_support,
        )
        return bool(tied.identifiable[-1]), float(tied.information[-1])
