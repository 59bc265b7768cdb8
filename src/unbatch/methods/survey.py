"""What every method starts with: which cells and genes can take part, and one checked pass over the counts."""

from dataclasses import dataclass

import numpy as np

from unbatch._check import InputError
from unbatch._progress import Progress
from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.projection import project
from unbatch.io.batches import Batches, batch_parts, measured_by_batch
from unbatch.io.copies import Fingerprints
from unbatch.io.door import DoorCheck
from unbatch.io.known import PerCell, Shared
from unbatch.io.reduce import Accumulator, Driver, Together, reduce_blocks
from unbatch.io.source import Block, CountSource


def active_codes(batches: Batches, projected: FloatArray | None = None) -> CodeArray:
    """Give the batch code of each cell, -1 for cells that cannot take part.

    Parameters
    ----------
    batches
        Batch of each cell. Cells of batches that are too small take no part.
    projected
        Projection of the counts, (n_cells, n_dims), from `survey`, before anything is taken out of it. Cells without a
        count on the shared genes, whose row is all 0, take no part: they resemble no cell, but once the batch is
        regressed out, they would.

    Returns
    -------
    (n_cells,) int32

    Raises
    ------
    InputError
        If fewer than two batches have a cell with counts.
    """
    codes = np.where(batches.usable[batches.codes], batches.codes, np.int32(-1))
    if projected is None:
        return codes
    codes[~projected.any(axis=1)] = -1
    left = [level for code, level in enumerate(batches.levels) if (codes == code).any()]
    if len(left) < 2:  # noqa: PLR2004
        raise InputError(
            f"only {len(left)} of {len(batches.levels)} batches has cells with counts on the genes that all of them "
            f"measured ({', '.join(repr(level) for level in left) or 'none'}), and effects need two to compare: choose "
            "another layer, or leave out files without these genes"
        )
    return codes


def shared_genes(source: CountSource, batches: Batches) -> BoolArray:
    """Tell which genes all batches measured that take part, (n_genes,): only on those can their cells be compared.

    Raises
    ------
    InputError
        If there is none.
    """
    measured = measured_by_batch(source, batches)[:, batches.usable]
    shared = np.asarray(measured.all(axis=1))
    if not shared.any():
        poorest = int(measured.sum(axis=0).argmin())
        name = [level for level, usable in zip(batches.levels, batches.usable, strict=True) if usable][poorest]
        raise InputError(
            f"no gene of {source.description} is measured in all {measured.shape[1]} batches (batch {name!r} measured "
            f"{measured[:, poorest].sum()} of {source.n_genes}): check that all files name genes in the same way "
            "(symbols or Ensembl ids), or leave a batch out"
        )
    return shared


class MeasuredOnly:
    """Accumulator ahead of another one, which gets blocks without the counts of genes that their batch did not measure.

    Such counts are there if a batch spans files of which only some have the gene. In the other cells of the batch it
    would be taken for silent.

    Parameters
    ----------
    then
        What gets the blocks.
    source
        Where they come from.
    batches
        Batch of each cell.
    """

    def __init__(self, then: Accumulator, source: CountSource, batches: Batches) -> None:
        self.then, self._codes = then, PerCell(batches.codes)
        unmeasured = ~measured_by_batch(source, batches)
        pairs = batch_parts(source, batches)
        self._needed = any((source.measured[:, part] & unmeasured[:, batch]).any() for part, batch in pairs)
        self._unmeasured = Shared(unmeasured)
        self.emptied: dict[int, IntArray] = {}

    def add(self, block: Block) -> None:
        """Drop the counts and pass the rest on."""
        if self._needed:
            kept = block.counts.copy()
            codes = np.repeat(self._codes.of(block.start, block.stop), np.diff(kept.indptr))
            kept.data[self._unmeasured.value[kept.indices, codes]] = 0
            kept.eliminate_zeros()
            empty = (np.diff(kept.indptr) == 0) & (np.diff(block.counts.indptr) > 0)
            self.emptied[block.start] = block.start + np.flatnonzero(empty)
            block = Block(block.start, kept)
        self.then.add(block)

    def merge(self, other: "MeasuredOnly") -> None:
        """Merge what got the blocks."""
        self.emptied.update(other.emptied)
        self.then.merge(other.then)

    def without_counts(self) -> IntArray:
        """Give the cells of which no count is left: they are as empty as those that never had one."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *(self.emptied[start] for start in sorted(self.emptied))])


class _Projection:
    """Accumulator that projects each block; blocks may come in any order."""

    def __init__(self, basis: FloatArray) -> None:
        self._basis = Shared(basis)
        self.parts: dict[int, FloatArray] = {}

    def add(self, block: Block) -> None:
        self.parts[block.start] = project(block.counts, self._basis.value)

    def merge(self, other: "_Projection") -> None:
        self.parts.update(other.parts)

    def values(self) -> FloatArray:
        """Give the coordinates of all cells, (n_cells, n_dims)."""
        return np.concatenate([self.parts[start] for start in sorted(self.parts)])


@dataclass(frozen=True, eq=False)
class Survey:
    """Result of `survey`.

    Attributes
    ----------
    projected
        (n_cells, n_dims)
    marks
        (n_cells,) fingerprints of the cells.
    """

    projected: FloatArray
    marks: KeyArray


def survey(source: CountSource, basis: FloatArray, *, progress: Progress, driver: Driver | None = None) -> Survey:
    """Read all counts once: check that they are counts, and project them, ``Q = Y R``.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes).
    basis
        Gene basis R, (n_genes, n_dims).
    progress
        Told of the stage "reading counts".
    driver
        Who reads; None is this process.

    Returns
    -------
    Survey

    Raises
    ------
    InputError
        If a value is negative, fractional, infinite or missing.
    """
    door, fingerprints, projection = DoorCheck(source), Fingerprints(np.asarray(basis.any(axis=1))), _Projection(basis)
    with progress.stage("reading counts", total=source.n_cells) as advance:
        reduce_blocks(source, Together(door, fingerprints, projection), progress=advance, driver=driver)
    marks = fingerprints.values(door.finish().counts_per_cell)
    return Survey(projection.values(), marks)
