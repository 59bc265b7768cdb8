"""The second pass of the default method: coordinates and state of every cell, and who has cells like it."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.diagnostics import Overlap
from unbatch.core.embedding import Embedding
from unbatch.core.exact_margins import ExactMargins
from unbatch.core.exact_sums import ExactCounts
from unbatch.core.kernels.centres import nearest_centre
from unbatch.core.matched import MatchedFit
from unbatch.core.parallel import in_ranges
from unbatch.core.projection import LogAxes
from unbatch.core.sampled_table import AnyTable
from unbatch.core.shift_rounds import apply_rounds
from unbatch.io.known import PerCell, Shared
from unbatch.io.source import Block

_CELLS = 4096


@dataclass(frozen=True, eq=False)
class Placed:
    """Result of `Placing`.

    Attributes
    ----------
    embedding
        (n_cells, n_dims) coordinates without batch effects.
    sample
        (n_cells,) state of each cell; -1 for those that take no part.
    overlap
        Which cells have counterparts in which batches, among those that were fitted.
    table
        Sums over the cells that can be compared, if they were wanted.
    """

    embedding: Float32Array
    sample: IntArray
    overlap: Overlap
    table: AnyTable | None


class Placing:
    """Accumulator that places every cell: coordinates, state, and the other batches that have cells like it.

    Parameters
    ----------
    fitted
        The fit.
    embedding
        Where cells are put, by the batches of the fit.
    codes
        Batch of each cell, (n_cells,), -1 for cells that take no part.
    counted
        The same for the sums: -1 also for cells that are not to be counted.
    used
        Batches that were fitted, in the order of the fit, (n_used,).
    genes
        Genes that make up the size factor, (n_genes,).
    level
        Level of each cell, (n_cells,); None if there is but one.
    sums
        What adds up the counts by state and batch, if they are wanted; of the shape of the fit.
    """

    def __init__(
        self,
        fitted: MatchedFit,
        embedding: Embedding,
        *,
        codes: CodeArray,
        counted: CodeArray,
        used: IntArray,
        genes: BoolArray,
        level: CodeArray | None = None,
        sums: ExactCounts | ExactMargins | None = None,
    ) -> None:
        self._codes, self._level = PerCell(codes), None if level is None else PerCell(level)
        self._in_sums = PerCell(counted >= 0)
        self._centres, self._shifts = Shared((fitted.states.centres, fitted.states.level)), Shared(fitted.shifts)
        self._support, self._scale = fitted.support, fitted.scale
        self._compact = np.full(int(max(codes.max(initial=0), used.max())) + 2, len(used), dtype=np.int32)
        self._compact[used] = np.arange(len(used), dtype=np.int32)  # code -1 finds the last place, as do other batches
        known = fitted.effects.log_delta * fitted.tied.identifiable
        unknown = np.zeros((len(known), 1))
        log_delta = np.hstack([known, unknown])
        self._axes = Shared(LogAxes.of(fitted.basis, log_delta=log_delta, genes=genes))
        relative = log_delta - embedding.centre[:, None]
        self._embedding = Shared((embedding, LogAxes.of(embedding.basis, log_delta=relative, genes=genes)))
        self._compared = fitted.cells > 0
        self.sums = sums
        self.parts: dict[int, tuple[Float32Array, CodeArray]] = {}

    def add(self, block: Block) -> None:
        """Place the cells of a block."""
        cells = (block.start, block.stop)
        batch = self._compact[self._codes.of(*cells)]
        embedding, axes = self._embedding.value
        size, size_along = self._axes.value.sizes_of_both(axes, block.counts, batch)
        where = self._axes.value.project(block.counts, batch, scale=self._scale, size=size)
        level = np.zeros(len(batch), dtype=np.int32) if self._level is None else self._level.of(*cells)
        where = apply_rounds(self._shifts.value, where, batch, level)
        state = nearest_state(where, level, *self._centres.value)
        state[batch == self._support.shape[1]] = -1
        along = axes.project(block.counts, batch, scale=self._scale, size=size_along)
        self.parts[block.start] = embedding.apply(along, batch, level, size=size_along).astype(np.float32), state
        if self.sums is not None:
            known = np.minimum(batch, self._support.shape[1] - 1)
            counted = (state >= 0) & self._compared[state, known] & self._in_sums.of(*cells)
            self.sums.add(block.counts, state=np.where(counted, state, np.int32(-1)), batch=known, size=size)

    def merge(self, other: "Placing") -> None:
        """Take in the cells that another one placed."""
        self.parts.update(other.parts)
        if self.sums is not None and other.sums is not None:
            self.sums.merge(other.sums)  # type: ignore[arg-type]  # both are of the kind of the plan

    def finish(self) -> Placed:
        """Put the blocks together, which are let go."""
        codes = self._codes.rows
        n_cells = len(codes)
        embedding = np.empty((n_cells, self._embedding.value[0].basis.shape[1]), dtype=np.float32)
        sample = np.full(n_cells, -1, dtype=np.int64)
        cell, share = np.zeros(n_cells), overlap_by_state(self._support)
        members = np.zeros(self._support.shape, dtype=np.int64)
        stateless = np.zeros(self._support.shape[1], dtype=np.int64)
        for start in sorted(self.parts):
            where, state = self.parts.pop(start)
            cells = slice(start, start + len(state))
            embedding[cells], sample[cells] = where, state
            batch = self._compact[codes[cells]]
            here, lost = np.flatnonzero(state >= 0), (state < 0) & (batch < len(stateless))
            np.add.at(members, (state[here], batch[here]), 1)
            stateless += np.bincount(batch[lost], minlength=len(stateless))
            cell[start + here] = share[state[here], batch[here]]
        overlap = Overlap(cell, overlap_by_batch(members, self._support, stateless=stateless))
        return Placed(embedding, sample, overlap, None if self.sums is None else self.sums.finish())


def nearest_state(where: FloatArray, level: CodeArray, centres: FloatArray, centre_level: CodeArray) -> CodeArray:
    """Find the state with the nearest centre for each cell, among those of its level, (n_cells,); -1 without one."""
    code = np.empty(len(where), dtype=np.int32)

    def some(start: int, stop: int) -> None:
        nearest_centre(where[start:stop], level[start:stop], centres, centre_level, code[start:stop])

    in_ranges(some, len(where), step=_CELLS)
    return code


def overlap_by_state(support: BoolArray) -> FloatArray:
    """Share of the other batches that have cells in a state, for cells of each batch that takes part in it.

    Parameters
    ----------
    support
        (n_states, n_batches) whether the cells of a batch take part in a state.

    Returns
    -------
    (n_states, n_batches), 0 for batches that take no part.
    """
    others = support.sum(axis=1, keepdims=True) - support
    return np.asarray(others * support / max(support.shape[1] - 1, 1), dtype=np.float64)


def overlap_by_batch(members: IntArray, support: BoolArray, *, stateless: IntArray | None = None) -> FloatArray:
    """Share of the cells of a batch (row) whose state has cells of another batch (column).

    Parameters
    ----------
    members
        (n_states, n_batches) number of cells.
    support
        (n_states, n_batches) whether the cells of a batch take part in a state.
    stateless
        (n_batches,) further cells, that have no state.

    Returns
    -------
    (n_batches, n_batches), 0 on the diagonal.
    """
    cells = members.sum(axis=0) + (0 if stateless is None else stateless)
    shared = (members * support).T.astype(np.float64) @ support.astype(np.float64)  # whole numbers, so exact
    np.fill_diagonal(shared, 0.0)
    return np.asarray(shared / np.maximum(cells, 1)[:, None])


def overlap_of_fitted(fitted: MatchedFit, batch: CodeArray) -> Overlap:
    """Overlap of the cells that were fitted, whose batches in the fit are `batch`, (n_cells,)."""
    members = np.zeros(fitted.support.shape, dtype=np.int64)
    np.add.at(members, (fitted.states.code, batch), 1)
    cell = overlap_by_state(fitted.support)[fitted.states.code, batch]
    return Overlap(cell, overlap_by_batch(members, fitted.support))


def spread_out(overlap: Overlap, *, used: IntArray, n_batches: int) -> Overlap:
    """Give the overlap of the batches that were fitted its place among all batches."""
    support = np.zeros((n_batches, n_batches))
    support[np.ix_(used, used)] = overlap.support
    return Overlap(overlap.cell, support)
