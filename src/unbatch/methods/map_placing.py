"""The pass that places every mapped cell among the states of a fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.embedding import Embedding
from unbatch.core.exact_sums import ExactSums
from unbatch.core.mapped_batch import MappedBatch
from unbatch.core.placement import Axes, place
from unbatch.core.projection import LogAxes
from unbatch.core.shift_rounds import ShiftRounds, with_shifts
from unbatch.io.known import PerCell, Shared
from unbatch.io.source import Block
from unbatch.methods.map_plan import MapPlan


@dataclass(frozen=True, eq=False, kw_only=True)
class MappedCells:
    """Result of `map_cells`.

    Attributes
    ----------
    found
        What was found of each new batch, by its number.
    embedding
        (n_cells, n_dims) coordinates as those of the fit.
    sample
        (n_cells,) state of each cell; -1 for those without one.
    compared
        (n_states, n_batches) whether cells of the batch in this state have counterparts in the fit.
    members
        (n_states, n_batches) number of cells.
    """

    found: dict[int, MappedBatch]
    embedding: Float32Array
    sample: IntArray
    compared: BoolArray
    members: IntArray


class MapPlacing:
    """Accumulator that places every cell among the states of the fit.

    Parameters
    ----------
    plan
        What is mapped onto what.
    codes
        Batch of each cell, (n_cells,).
    found
        What was found of each new batch.
    large
        Batches of which counts are to be added up by state.
    """

    def __init__(self, plan: MapPlan, codes: CodeArray, *, found: dict[int, MappedBatch], large: Sequence[int]) -> None:
        self._codes, self._level = PerCell(codes), PerCell(plan.level)
        self._compared, self._stateful = compared_states(plan, found)
        log_delta = footing(plan, found)
        genes, centre = plan.reference.genes, plan.reference.embedding.centre
        shifts = shifts_of(plan.landmarks.shifts, plan, {})
        column, axes = np.zeros_like(plan.view_of), list[Axes]()
        for number, view in enumerate(plan.views):
            mine = np.flatnonzero(plan.view_of == number)
            column[mine] = np.arange(len(mine))
            own = tuple(replace(one, shift=one.shift[:, mine]) for one in shifts)
            axes.append(Axes.of(view, log_delta=log_delta[:, mine], genes=genes, centre=centre, shifts=own))
        self._views = Shared((tuple(zip(plan.views, axes, strict=True)), plan.view_of, column.astype(np.int32)))
        self._landmarks = Shared(plan.landmarks)
        self._embedding = Shared(embedding_of(plan, found))
        self._scale = plan.landmarks.scale
        self._groups = Shared(
            {
                b: (batch.groups, LogAxes.of(batch.groups.own, log_delta=log_delta[:, [b]], genes=genes))
                for b, batch in found.items()
                if batch.identifiable and batch.groups.far.any()
            }
        )
        self._large = tuple(large)
        self.sums = [ExactSums(len(log_delta), (plan.landmarks.n_states, 1)) for _ in large]
        self.parts: dict[int, tuple[Float32Array, CodeArray]] = {}

    def add(self, block: Block) -> None:
        """Place the cells of a block."""
        (views, view_of, column), landmarks = self._views.value, self._landmarks.value
        cells = (block.start, block.stop)
        batch, level = self._codes.of(*cells), self._level.of(*cells)
        n_cells, n_dims = len(batch), landmarks.centres.shape[1]
        where, size, embedder = np.empty((n_cells, n_dims)), np.ones(n_cells), self._embedding.value
        embedding = np.empty((n_cells, embedder.basis.shape[1]), dtype=np.float32)
        state = np.full(n_cells, -1, dtype=np.int32)
        for number, (view, axes) in enumerate(views):
            mine = np.flatnonzero(view_of[batch] == number)
            if mine.size:
                counts = block.counts if mine.size == n_cells else block.counts[mine]
                places = place(counts, column[batch[mine]], level[mine], axes=axes, view=view, landmarks=landmarks)
                where[mine], state[mine], size[mine] = places.where, places.state, places.size
                through = embedder.louder(view.embedding.noise)
                embedding[mine] = through.apply(places.along, batch[mine], level[mine], size=places.size_along)
        state[~self._stateful[batch] | (np.diff(block.counts.indptr) == 0)] = -1
        for b, (groups, further) in self._groups.value.items():
            mine = np.flatnonzero((batch == b) & (state >= 0))
            if mine.size:
                one = np.zeros(len(mine), dtype=np.int32)
                beside = further.project(block.counts[mine], one, scale=self._scale, size=size[mine])
                state[mine[groups.apart(where[mine], beside, state[mine])]] = -1
        self.parts[block.start] = embedding, state
        for number, b in enumerate(self._large):
            compared = (batch == b) & (state >= 0) & self._compared[state, b]
            if compared.any():
                kept = np.where(compared, state, np.int32(-1)).astype(np.int32)
                self.sums[number].add(block.counts, state=kept, batch=np.zeros_like(batch), size=size)

    def merge(self, other: "MapPlacing") -> None:
        """Take in the cells that another one placed."""
        self.parts.update(other.parts)
        for mine, theirs in zip(self.sums, other.sums, strict=True):
            mine.merge(theirs)

    def finish(self, found: dict[int, MappedBatch]) -> MappedCells:
        """Put the blocks together, which are let go."""
        codes, n_dims = self._codes.rows, self._embedding.value.basis.shape[1]
        embedding, sample = np.empty((len(codes), n_dims), dtype=np.float32), np.empty(len(codes), dtype=np.int64)
        for start in sorted(self.parts):
            where, state = self.parts.pop(start)
            cells = slice(start, start + len(state))
            embedding[cells], sample[cells] = where, state
        members = np.zeros(self._compared.shape, dtype=np.int64)
        here = np.flatnonzero(sample >= 0)
        np.add.at(members, (sample[here], codes[here]), 1)
        return MappedCells(found=found, embedding=embedding, sample=sample, compared=self._compared, members=members)


def footing(plan: MapPlan, found: dict[int, MappedBatch]) -> FloatArray:
    """Log effects by which cells are placed, (n_genes, n_batches): those of the fit, those found, or none."""
    columns = []
    for b, k in enumerate(plan.known.tolist()):
        if k >= 0:
            columns.append(plan.landmarks.log_delta[:, k])
        elif b in found and found[b].identifiable:
            columns.append(found[b].effects.log_delta + plan.reference.gene_shift)
        else:
            columns.append(plan.reference.gene_shift)
    return np.column_stack(columns)


def embedding_of(plan: MapPlan, found: dict[int, MappedBatch]) -> Embedding:
    """Give the embedding of the fit with the mapped batches in the place of its own."""
    embedding = plan.reference.embedding
    new = {b: batch.shifts for b, batch in found.items() if batch.identifiable}
    return replace(embedding, rounds=shifts_of(embedding.rounds, plan, new))


def shifts_of(rounds: ShiftRounds, plan: MapPlan, new: Mapping[int, Sequence[FloatArray]]) -> ShiftRounds:
    """Give the mapped batches their shifts: those of the fit, those of new ones, by round, or none."""
    shifts: list[list[FloatArray]] = []
    for number, one in enumerate(rounds):
        nothing, own = np.zeros_like(one.centres), {b: by_round[number] for b, by_round in new.items()}
        shifts.append([one.shift[:, k] if k >= 0 else own.get(b, nothing) for b, k in enumerate(plan.known.tolist())])
    return with_shifts(rounds, shifts)


def compared_states(plan: MapPlan, found: dict[int, MappedBatch]) -> tuple[BoolArray, BoolArray]:
    """Tell in which states a batch has counterparts, (n_states, n_batches), and if its cells have states at all."""
    shape = (plan.landmarks.n_states, len(plan.known))
    compared, stateful = np.zeros(shape, dtype=bool), np.zeros(shape[1], dtype=bool)
    for b, k in enumerate(plan.known.tolist()):
        if k >= 0:
            compared[:, b] = plan.landmarks.support[:, k]
            stateful[b] = plan.landmarks.cells[:, k].any()
        elif b in found:
            compared[:, b], stateful[b] = found[b].counted, found[b].identifiable
    return compared, stateful
