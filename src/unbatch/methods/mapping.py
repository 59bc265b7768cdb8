"""New cells beside those of a finished fit: new batches fitted to its states, then one pass that places every cell."""

import numpy as np

from unbatch._progress import Progress
from unbatch._threads import one_thread
from unbatch._types import BoolArray, Counts, IntArray
from unbatch.core.fingerprints import find_copies, marks_of
from unbatch.core.mapped_fit import average, fit_new
from unbatch.core.mapping import MapSettings, map_batch
from unbatch.io.batches import Batches
from unbatch.io.copies import Fingerprints, warn_of_copies
from unbatch.io.door import DoorCheck, are_counts
from unbatch.io.reduce import Driver, Together, reduce_blocks
from unbatch.io.scaled import smallest_counts, warn_of_scaled
from unbatch.io.sketch import choose_rows
from unbatch.io.source import Block, CountSource
from unbatch.methods.map_placing import MappedCells, MapPlacing
from unbatch.methods.map_plan import MapPlan
from unbatch.methods.survey import MeasuredOnly


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
    found = {}
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
    door, marks = DoorCheck(source), Fingerprints(np.asarray(plan.measured.all(axis=1)))
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
    copies = find_copies(marks_of(counts), codes[rows], plan.level[rows]).cells
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
