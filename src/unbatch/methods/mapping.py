"""New cells beside those of a finished fit: new batches fitted to its states, then one pass that places every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unbatch._progress import Progress
from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray, IntArray
from unbatch.core.embedding import Embedding
from unbatch.core.exact_sums import ExactSums
from unbatch.core.fingerprints import find_copies, fingerprints, with_totals
from unbatch.core.mapped_batch import MappedBatch
from unbatch.core.mapped_fit import average, fit_new
from unbatch.core.mapping import MapSettings, map_batch
from unbatch.core.placement import Axes, place
from unbatch.core.projection import LogAxes
from unbatch.core.shift_rounds import ShiftRounds, with_shifts
from unbatch.io.batches import Batches
from unbatch.io.copies import Fingerprints, warn_of_copies
from unbatch.io.door import DoorCheck, are_counts
from unbatch.io.known import PerCell, Shared
from unbatch.io.reduce import Driver, Together, reduce_blocks
from unbatch.io.scaled import smallest_counts, warn_of_scaled
from unbatch.io.sketch import choose_rows
from unbatch.io.source import Block, CountSource
from unbatch.methods.map_plan import MapPlan
from unbatch.methods.survey import MeasuredOnly


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


def map_cells(
    source: CountSource,
    batches: Batches,
    plan: MapPlan,
    *,
    settings: MapSettings,
    sketch_size: int,
    seed: int,
    progress: Progress,
    driver: Driver | None = None,
) -> MappedCells:
    """Map cells onto a fit.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes). All cells are read once; before, of each new batch at most `sketch_size` cells, one
        batch after another.
    batches
        Batch of each cell.
    plan
        What is mapped onto what.
    settings
        Numbers that steer the fit of a new batch.
    sketch_size
        Most cells of a new batch that are held in memory. Effects of a larger one are fitted to the sums over all its
        cells, in the states that the sketch found.
    seed
        Start of all random numbers.
    progress
        Told of each stage.
    driver
        Who reads; None is this process.

    Returns
    -------
    MappedCells

    Warns
    -----
    InputWarning
        Of new batches whose counts seem to be normalised, and of cells that are there more than once. One
        of those with the same counts, batch and level is counted, if the batch is no larger than the sketch.
    """
    found: dict[int, MappedBatch] = {}
    new = np.flatnonzero(plan.fitted)
    if new.size:
        with progress.stage("fitting new batches", total=len(new)) as advance:
            for b in new.tolist():
                rows, counts, n_copies = _sketch(source, batches, plan, b, sketch_size=sketch_size, seed=seed)
                warn_of_scaled(
                    smallest_counts(counts), np.zeros_like(rows, dtype=np.int32), batches=[batches.levels[b]]
                )
                plan, reference = plan.as_seen_by(b, counts)
                found[b] = map_batch(
                    counts,
                    reference,
                    view=plan.views[plan.view_of[b]],
                    measured=plan.measured[:, b],
                    level=plan.level[rows],
                    n_cells=int(batches.sizes[b]) - n_copies,
                    settings=settings,
                    seed=seed,
                )
                advance(1)
    effects = {b: batch.effects.log_delta for b, batch in found.items() if batch.identifiable}
    large = [b for b in effects if batches.sizes[b] > sketch_size and not found[b].open_states]
    placing = MapPlacing(plan, batches.codes, found=found, large=large)
    door, marks = DoorCheck(source), Fingerprints()
    with progress.stage("placing cells", total=source.n_cells) as advance:
        together = Together(door, marks, MeasuredOnly(placing, source, batches))
        reduce_blocks(source, together, progress=advance, driver=driver)
    copies = find_copies(marks.values(door.counts_per_cell()), batches.codes, plan.level)
    of_large = np.isin(batches.codes, large)
    warn_of_copies(copies.only(~of_large), source, batches)
    warn_of_copies(copies.only(of_large), source, batches, once=False)
    with one_thread():
        for number, b in enumerate(large):
            table, reference, measured = placing.sums[number].finish(), plan.reference, plan.measured[:, b]
            reference = reference.of_group(found[b].group)
            refitted = fit_new(table, reference, measured=measured, start=found[b].effects, composed=True, seed=seed)
            refitted = average(table, reference, measured=measured, effects=refitted, seed=seed)
            found[b] = found[b].with_effects(refitted)
    return placing.finish(found)


def _sketch(
    source: CountSource, batches: Batches, plan: MapPlan, b: int, *, sketch_size: int, seed: int
) -> tuple[IntArray, Counts, int]:
    """Draw cells of a new batch that have counts, which depends on no other batch: their rows, counts, and copies.

    Of cells with the same counts one is drawn, and the number of the others is given, unless only a part is drawn.
    """
    codes = np.where(batches.codes == b, np.int32(0), np.int32(-1))
    rows = np.flatnonzero(choose_rows(codes, sketch_size, seed=seed))
    counts = source.rows(rows)
    if not are_counts(counts):
        wrong = next(row for row in range(len(rows)) if not are_counts(counts[[row]]))
        DoorCheck(source).add(Block(int(rows[wrong]), counts[[wrong]]))  # which names it
    counts = _without(counts, ~plan.measured[:, b])
    marks = with_totals(fingerprints(counts), np.asarray(counts.sum(axis=1)))
    copies = find_copies(marks, codes[rows], plan.level[rows]).cells
    seen = np.diff(counts.indptr) > 0
    seen[copies] = False
    n_copies = len(copies) if batches.sizes[b] <= sketch_size else 0
    return rows[seen], counts[np.flatnonzero(seen)], n_copies


def _without(counts: Counts, genes: BoolArray) -> Counts:
    """Drop the counts of some genes."""
    if not genes.any():
        return counts
    kept = counts.copy()
    kept.data[genes[kept.indices]] = 0
    kept.eliminate_zeros()
    return kept


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
