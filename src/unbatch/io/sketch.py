"""Which cells to keep in memory, when not all of them fit."""

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts
from unbatch.io.known import PerCell
from unbatch.io.source import Block


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


class KeptRows:
    """Accumulator that keeps the chosen cells of each block, in any order of the blocks.

    Parameters
    ----------
    chosen
        Whether each cell is kept, (n_cells,).
    """

    def __init__(self, chosen: BoolArray) -> None:
        self._chosen = PerCell(chosen)
        self.parts: dict[int, Counts] = {}

    def add(self, block: Block) -> None:
        """Keep the chosen cells of a block."""
        self.parts[block.start] = block.counts[np.flatnonzero(self._chosen.of(block.start, block.stop))]

    def merge(self, other: "KeptRows") -> None:
        """Take in the cells that another one kept."""
        self.parts.update(other.parts)

    def counts(self) -> Counts:
        """Give the kept cells in the order of the source, (n_chosen, n_genes)."""
        return sparse.csr_array(sparse.vstack([self.parts[start] for start in sorted(self.parts)], format="csr"))
