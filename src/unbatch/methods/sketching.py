"""The first pass of the default method: check the counts, keep as many cells as fit in memory."""

from dataclasses import dataclass

import numpy as np

from unbatch._check import InputError
from unbatch._memory import release
from unbatch._progress import Progress
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.fingerprints import find_copies, has_few_genes
from unbatch.core.novelty import learn_landscape
from unbatch.io.batches import Batches
from unbatch.io.copies import Fingerprints, warn_of_copies
from unbatch.io.door import DoorCheck, are_counts
from unbatch.io.reduce import Driver, Together, reduce_blocks
from unbatch.io.sketch import KeptRows, Novelty, SketchPlan, least_novelty, pilot_rows, plan_sketch
from unbatch.io.source import CountSource
from unbatch.methods.checked import CheckedCells, checked_rows
from unbatch.methods.survey import MeasuredOnly, active_codes

_MIN_BATCHES = 2
_CELLS_OF_BATCH = 50
_FEWEST_PILOT_CELLS = 50


@dataclass(frozen=True, eq=False, kw_only=True)
class Sketch:
    """The cells that were kept, and what the pass told of all of them."""

    cells: IntArray
    """Positions of the kept cells, (n_kept,): those that have counts, each once, and are not contested by batches."""
    batch: CodeArray
    """Their batches, as positions in `used`, (n_kept,)."""
    used: IntArray
    """Batches that have cells with counts, (n_used,)."""
    codes: CodeArray
    """Batch of each cell, (n_cells,); -1 for cells that take no part or have no counts."""
    counted: CodeArray
    """The same, and -1 for copies of other cells and contested ones: sums over all cells are over the others."""
    totals: IntArray
    """Counts of each gene, (n_genes,): of the counted cells if all were kept, else of all cells."""
    checked: CheckedCells
    """Those by which the fit is judged."""
    is_part: bool
    """Whether there are more cells than were kept."""


def read_sketch(
    source: CountSource,
    batches: Batches,
    *,
    sketch_size: int,
    genes: BoolArray,
    seed: int,
    progress: Progress,
    within: CodeArray | None = None,
    driver: Driver | None = None,
) -> tuple[Sketch, Counts]:
    """Read all counts once, check them, and keep cells.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes).
    batches
        Batch of each cell.
    sketch_size
        Most cells to keep.
    genes
        Genes by which cells are found to be novel, (n_genes,).
    seed
        Start of the random choice.
    progress
        Told of the stage.
    within
        Level of each cell, (n_cells,); None if there is but one. Cells of two levels are never taken for the same one.
    driver
        Who reads the counts; None is this process.

    Returns
    -------
    The sketch, and the counts of its cells, (n_kept, n_genes): the largest thing here, for the caller to let go.

    Raises
    ------
    InputError
        If values are not counts, some batch would have no cell in the sketch, or fewer than two batches have cells
        with counts.

    Warns
    -----
    InputWarning
        Of cells that are there more than once: one of those with the same label is kept and counted, and of those whose
        labels differ, those of batches that consist of such cells for the most part.
    """
    codes = active_codes(batches)
    plan = plan_sketch(codes, sketch_size, seed=seed)
    _check_sketch(codes, plan.even, sketch_size)
    rows = checked_rows(codes, seed=seed)
    door, fingerprints = DoorCheck(source), Fingerprints(genes)
    with progress.stage("reading counts", total=source.n_cells) as advance:
        novelty, floor = _novelty(source, batches, plan, codes=codes, genes=genes, seed=seed)
        kept = KeptRows(plan, codes, novelty=novelty, floor=floor)
        measured = MeasuredOnly(kept, source, batches)
        reduce_blocks(source, Together(door, fingerprints, measured), progress=advance, driver=driver)
    report = door.finish()
    release()
    codes = np.where(report.counts_per_cell > 0, codes, np.int32(-1)).astype(np.int32)
    codes[measured.without_counts()] = -1
    marks = fingerprints.values(report.counts_per_cell)
    labels = (codes,) if within is None else (codes, within)
    copies = find_copies(marks, *labels)
    contested = copies.without_a_batch(codes)
    warn_of_copies(copies, source, batches, left_out=contested)
    counted = codes.copy()
    counted[copies.cells] = counted[contested] = -1
    cells, counts = kept.finish()
    release()
    again, totals, is_part = np.zeros(len(cells), dtype=bool), report.counts_per_gene, bool(plan.novel.any())
    if (counted != codes).any():
        again = np.isin(cells, np.append(contested, copies.cells[has_few_genes(marks[copies.cells])]))
        again[find_copies(marks[cells], *(label[cells] for label in labels)).cells] = True  # of cells that are here
        if not is_part:
            totals = totals - np.asarray(counts[np.flatnonzero(again)].sum(axis=0, dtype=np.float64)).astype(np.int64)
    left = (codes[cells] >= 0) & ~again
    if not left.all():
        counts, cells = counts[np.flatnonzero(left)], cells[left]
    used, batch = np.unique(codes[cells].astype(np.int64), return_inverse=True)
    lost = np.setdiff1d(codes[codes >= 0], used)
    if lost.size:
        raise InputError(
            f"{len(lost)} of {len(used) + len(lost)} batches (the first is {batches.levels[lost[0]]!r}) have cells "
            f"with counts, but none of these was drawn for the sketch of {sketch_size:,} cells: raise sketch_size, or "
            "drop the cells without counts"
        )
    if len(used) < _MIN_BATCHES:
        raise InputError(f"only {len(used)} batch of {source.description} has cells with counts: two are needed")
    place = np.flatnonzero(np.isin(cells, rows))
    sketch = Sketch(
        cells=cells,
        batch=np.asarray(batch, dtype=np.int32),
        used=used,
        codes=codes,
        counted=counted,
        totals=totals,
        checked=CheckedCells(cells[place], counts[place]),
        is_part=is_part,
    )
    return sketch, counts


def _novelty(
    source: CountSource, batches: Batches, plan: SketchPlan, *, codes: CodeArray, genes: BoolArray, seed: int
) -> tuple[Novelty | None, FloatArray | None]:
    """Look at a few thousand cells, to tell what is common; None if no novel cells are wanted, or nothing is seen.

    How novel the most novel ones are is seen on other cells: what was learned from looks more common than it is.
    """
    if not plan.novel.any():
        return None, None
    pilot = _pilot(source, codes, genes=genes, seed=seed, number=0)
    others = _pilot(source, codes, genes=genes, seed=seed, number=1)
    if pilot is None or others is None:
        return None, None
    novelty = learn_landscape(*pilot, genes=genes, n_batches=len(batches.levels), seed=seed).novelty
    return novelty, least_novelty(novelty(*others), others[1], plan, batches=codes)


def _pilot(
    source: CountSource, codes: CodeArray, *, genes: BoolArray, seed: int, number: int
) -> tuple[Counts, CodeArray] | None:
    """Read a few cells: those with counts of the genes, and their batches; None if too few, or if not counts."""
    rows = pilot_rows(codes, seed=seed, number=number)
    counts = source.rows(rows)
    if not are_counts(counts):
        return None  # the pass that follows says what is wrong
    seen = np.flatnonzero(counts[:, np.flatnonzero(genes)].sum(axis=1) > 0)
    return None if len(seen) < _FEWEST_PILOT_CELLS else (counts[seen], codes[rows[seen]])


def _check_sketch(codes: CodeArray, chosen: BoolArray, sketch_size: int) -> None:
    n_batches, n_kept = len(np.unique(codes[codes >= 0])), len(np.unique(codes[chosen]))
    if n_kept < n_batches:
        raise InputError(
            f"sketch_size is {sketch_size}: some of the {n_batches} batches would have no cell in it, give "
            f"{n_batches * _CELLS_OF_BATCH:,} or more"
        )
