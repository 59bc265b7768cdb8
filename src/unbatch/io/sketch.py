"""Which cells to keep in memory, when not all of them fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from unbatch._memory import release
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.io.known import PerCell, Shared
from unbatch.io.narrow_rows import NarrowRows
from unbatch.io.source import Block

Novelty: TypeAlias = Callable[[Counts, CodeArray], FloatArray]
"""Tells of cells, given their counts and batches, how far they are from all that is common, (n_cells,)."""

_NOVEL_SHARE = 0.2
_SLACK = 2.0
_PARTS_RELEASED = 16
_GENEROUS, _SPARE = 3.0, 5
_PILOT_CELLS, _STRETCHES = 4096, 64
_LARGEST_INT32 = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class SketchPlan:
    """Which cells to keep, as far as it is known before they are read.

    Attributes
    ----------
    even
        (n_cells,) whether a cell is kept whatever it is: the same number of each batch, small ones whole.
    novel
        (n_batches,) how many cells of each batch are kept besides: those that are least like common ones.
    """

    even: BoolArray
    novel: IntArray


def plan_sketch(batch: CodeArray, n_rows: int, *, seed: int) -> SketchPlan:
    """Share out the rows of a sketch: all cells if they fit, else most rows evenly and some to novel cells.

    Parameters
    ----------
    batch
        Batch of each cell, (n_cells,); cells with code -1 are left out.
    n_rows
        Most cells to keep.
    seed
        Start of the random choice.

    Returns
    -------
    SketchPlan
    """
    sizes = np.bincount(batch[batch >= 0])
    if sizes.sum() <= n_rows:
        return SketchPlan(choose_rows(batch, n_rows, seed=seed), np.zeros(len(sizes), dtype=np.int64))
    n_novel = int(_NOVEL_SHARE * n_rows)
    even = choose_rows(batch, n_rows - n_novel, seed=seed)
    left = sizes - np.bincount(batch[even], minlength=len(sizes))
    return SketchPlan(even, np.array(_quota(left, n_novel), dtype=np.int64))


def pilot_rows(batch: CodeArray, *, seed: int, number: int = 0) -> IntArray:
    """Choose a few thousand cells to look at beforehand: short stretches, spread evenly over the batches.

    Parameters
    ----------
    batch
        Batch of each cell, (n_cells,); cells with code -1 are left out.
    seed, number
        Start of the random choice; another number gives other cells, as far as there are others.

    Returns
    -------
    Positions in ascending order. Every batch has some, if not very many.
    """
    sizes = np.bincount(batch[batch >= 0])
    codes = np.flatnonzero(sizes)
    n_each = max(1, _STRETCHES // len(codes))
    length = max(1, _PILOT_CELLS // (n_each * len(codes)))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(12, number)))
    starts = [rng.choice(np.flatnonzero(batch == code), min(n_each, sizes[code]), replace=False) for code in codes]
    rows = np.unique(np.concatenate(starts)[:, None] + np.arange(length))
    rows = rows[rows < len(batch)]
    return np.asarray(rows[batch[rows] >= 0], dtype=np.int64)


def choose_rows(batch: CodeArray, n_rows: int, *, seed: int) -> BoolArray:
    """Choose cells for a sketch: all of them if they fit, else the same number of each batch, small ones whole.

    Parameters
    ----------
    batch
        Batch of each cell, (n_cells,); cells with code -1 are left out.
    n_rows
        Most cells to choose. More of them make estimates sharper and rare states better covered, and take memory.
    seed
        Start of the random choice.

    Returns
    -------
    (n_cells,) whether the cell is chosen.
    """
    chosen = batch >= 0
    sizes = np.bincount(batch[chosen])
    if sizes.sum() <= n_rows:
        return np.asarray(chosen)
    quota = _quota(sizes, n_rows)
    chosen = np.zeros(batch.size, dtype=bool)
    for code, stream in enumerate(np.random.SeedSequence(seed, spawn_key=(11,)).spawn(len(sizes))):
        members = np.flatnonzero(batch == code)
        chosen[np.random.default_rng(stream).permutation(members)[: quota[code]]] = True
    return chosen


def _quota(sizes: np.ndarray[tuple[int], np.dtype[np.int64]], n_rows: int) -> list[int]:
    """Share out rows evenly; what small batches leave goes to the larger ones."""
    quota = [0] * len(sizes)
    left = n_rows
    order = np.argsort(sizes, kind="stable")
    for rank, code in enumerate(order):
        quota[code] = min(int(sizes[code]), left // (len(order) - rank))
        left -= quota[code]
    return quota


def least_novelty(found: FloatArray, batch: CodeArray, plan: SketchPlan, *, batches: CodeArray) -> FloatArray:
    """Guess from a few cells how novel a cell must be to be among the most novel ones of its batch, generously.

    Parameters
    ----------
    found
        Novelty of those cells.
    batch
        Their batches.
    plan
        How many are wanted.
    batches
        Batch of each cell, (n_cells,).

    Returns
    -------
    (n_batches,) what several times as many cells as are wanted should reach; -inf where too few cells tell.
    """
    floor = np.full(len(plan.novel), -np.inf)
    others = np.bincount(batches[(batches >= 0) & ~plan.even], minlength=len(floor))
    for code, wanted in enumerate(plan.novel):
        mine = np.sort(found[batch == code])[::-1]
        rank = int(np.ceil(_GENEROUS * wanted / max(others[code], 1) * len(mine))) + _SPARE
        if rank < len(mine):
            floor[code] = mine[rank]
    return floor


@dataclass(frozen=True, eq=False)
class _Part:
    """Cells kept of a block: their positions, batches, novelty (inf for those kept whatever they are) and counts."""

    cells: IntArray
    batch: CodeArray
    novelty: FloatArray
    counts: NarrowRows

    def only(self, rows: BoolArray) -> "_Part":
        if rows.all():
            return self
        return _Part(self.cells[rows], self.batch[rows], self.novelty[rows], self.counts.only(rows))


class KeptRows:
    """Accumulator that keeps cells of each block, in any order of the blocks.

    In the meantime it holds more novel cells than it will keep, but no more than `_SLACK` times as many.

    Parameters
    ----------
    plan
        Which cells to keep.
    batch
        Batch of each cell, (n_cells,).
    novelty
        Tells the novel cells from the others. Without it, none is kept for being novel.
    floor
        (n_batches,) least novelty, see `least_novelty`. None for no such limit: then the first blocks are kept whole,
        and on a cluster most blocks are the first of somebody.

    Attributes
    ----------
    floor
        (n_batches,) no cell of the batch that is less novel than this will be kept for being novel.
    n_novel
        Number of novel cells that are held.
    parts
        What is held, by the start of its block.
    """

    def __init__(
        self,
        plan: SketchPlan,
        batch: CodeArray,
        *,
        novelty: Novelty | None = None,
        floor: FloatArray | None = None,
    ) -> None:
        self._even, self._batch, self._novelty = PerCell(plan.even), PerCell(batch), Shared(novelty)
        self._quota = plan.novel if novelty is not None else np.zeros_like(plan.novel)
        self.floor = np.where(self._quota > 0, -np.inf if floor is None else floor, np.inf)
        self.n_novel = 0
        self.parts: dict[int, _Part] = {}

    def add(self, block: Block) -> None:
        """Keep cells of a block."""
        even, batch = self._even.of(block.start, block.stop), self._batch.of(block.start, block.stop)
        novelty = np.full(len(batch), -np.inf)
        if self._novelty.value is not None and self._quota.any():
            own = np.maximum(batch, 0)
            found = self._novelty.value(block.counts, own)
            novelty = np.where((batch >= 0) & (found >= self.floor[own]), found, -np.inf)
        novelty[even] = np.inf
        rows = np.flatnonzero(novelty > -np.inf)
        self.parts[block.start] = _Part(
            block.start + rows, batch[rows], novelty[rows], NarrowRows.of(block.counts[rows])
        )
        self.n_novel += len(rows) - int(even.sum())
        self._thin()

    def merge(self, other: "KeptRows") -> None:
        """Take in the cells that another one kept."""
        self.parts.update(other.parts)
        self.floor = np.maximum(self.floor, other.floor)
        self.n_novel += other.n_novel
        self._thin()

    def _thin(self) -> None:
        """Let go of novel cells if they are too many by far."""
        if self.n_novel > _SLACK * self._quota.sum():
            self._trim()

    def _trim(self) -> None:
        """Let go of the novel cells of each batch that are more than its share."""
        cells, batch, novelty = (
            np.concatenate([getattr(part, name) for part in self.parts.values()])
            for name in ("cells", "batch", "novelty")
        )
        self.n_novel = 0
        for code, most in enumerate(self._quota):
            mine = np.flatnonzero((batch == code) & np.isfinite(novelty))
            self.n_novel += min(len(mine), int(most))
            if len(mine) > most > 0:
                ranked = mine[np.lexsort((cells[mine], -novelty[mine]))]
                novelty[ranked[most:]] = -np.inf
                self.floor[code] = novelty[ranked[most - 1]]
        ends = np.cumsum([len(part.cells) for part in self.parts.values()])
        for start, kept in zip(list(self.parts), np.split(novelty > -np.inf, ends[:-1]), strict=True):
            self.parts[start] = self.parts[start].only(kept)

    def finish(self) -> tuple[IntArray, Counts]:
        """Give the positions of the cells, ascending, and their counts; the accumulator lets go of them."""
        if self.n_novel:
            self._trim()  # each batch: what others lack is no reason to keep more, how many would depend on the blocks
        parts = [self.parts.pop(start) for start in sorted(self.parts)]
        cells = np.concatenate([part.cells for part in parts])
        n_values, width = sum(part.counts.nnz for part in parts), parts[0].counts.n_columns
        kind = np.int32 if n_values <= _LARGEST_INT32 else np.int64
        data = np.empty(n_values, dtype=np.result_type(*{part.counts.dtype for part in parts}))
        indices, indptr = np.empty(n_values, dtype=kind), np.zeros(len(cells) + 1, dtype=kind)
        row = at = 0
        for place, part in enumerate(parts):
            n_rows, n_new = len(part.cells), part.counts.nnz
            data[at : at + n_new], indices[at : at + n_new] = part.counts.data, part.counts.indices
            indptr[row + 1 : row + n_rows + 1] = part.counts.indptr[1:] + kind(at)
            parts[place] = _NOTHING
            if place % _PARTS_RELEASED == 0:
                release()
            row, at = row + n_rows, at + n_new
        return cells, sparse.csr_array((data, indices, indptr), shape=(len(cells), width))


_NOTHING = _Part(
    np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0), NarrowRows.of(sparse.csr_array((0, 0), dtype=np.float32))
)
