"""Cells that are in the data more than once: found while it is read, and named."""

import numpy as np

from unbatch._check import warn
from unbatch._types import BoolArray, IntArray, KeyArray
from unbatch.core.fingerprints import Copies, fingerprints, marks_of, with_totals
from unbatch.io.batches import Batches
from unbatch.io.known import Shared
from unbatch.io.source import Block, CountSource


class Fingerprints:
    """Accumulator that takes the fingerprint of each cell, in any order of the blocks; their values must be counts.

    Parameters
    ----------
    genes
        Genes by which cells are compared, (n_genes,): those that all of them measured. None for all.
    """

    def __init__(self, genes: BoolArray | None = None) -> None:
        self._genes = Shared(None if genes is None or genes.all() else genes)
        self.parts: dict[int, KeyArray] = {}

    def add(self, block: Block) -> None:
        """Take those of a block."""
        genes = self._genes.value
        if genes is None:
            self.parts[block.start] = fingerprints(block.counts)
            return
        self.parts[block.start] = marks_of(block.counts[:, np.flatnonzero(genes)])

    def merge(self, other: "Fingerprints") -> None:
        """Take over those that another one took."""
        self.parts.update(other.parts)

    def values(self, totals: IntArray) -> KeyArray:
        """Give the fingerprints, in the order of the cells, whose counts of all genes add up to `totals`."""
        marks = np.concatenate([self.parts[start] for start in sorted(self.parts)])
        return with_totals(marks, totals) if self._genes.value is None else marks


def warn_of_copies(
    copies: Copies,
    source: CountSource,
    batches: Batches,
    *,
    once: bool = True,
    left_out: IntArray | None = None,
) -> None:
    """Warn of cells that are in the data more than once.

    Parameters
    ----------
    copies
        What was found.
    source
        Where the cells are.
    batches
        Batch of each cell.
    once
        Whether copies with the same label are counted once.
    left_out
        Those with another label that are not counted; None if all are.

    Warns
    -----
    InputWarning
        Of copies in the same batch, and of those in another one.
    """

    def named(cell: int) -> str:
        return f"{source.obs.index[cell]!r} of batch {batches.levels[batches.codes[cell]]!r}"

    if copies.cells.size:
        consequence = "are taken for the same cell and counted once" if once else "all count, and errors are too small"
        warn(
            f"{copies.cells.size} of {source.n_cells} cells have the very counts of another cell of their batch (the "
            f"first is {named(copies.cells[0])}, like {source.obs.index[copies.like[0]]!r}): they {consequence}; drop "
            "what is in the data more than once"
        )
    if copies.contested.size:
        same = batches.codes[copies.contested] == batches.codes[copies.unlike]
        other = "batch or condition" if same.any() else "batch"
        if left_out is None or copies.in_two(left_out):
            consequence = "between batches that count the same cells effects come out too small"
        elif left_out.size < copies.contested.size:
            consequence = "they count only in a batch that mostly consists of them"
        else:
            consequence = "they tell nothing of the effects and are not counted"
        warn(
            f"{copies.contested.size} of {source.n_cells} cells have the very counts of a cell of another {other} (the "
            f"first is {named(copies.contested[0])}, like {named(copies.unlike[0])}): {consequence}; keep each where "
            "it belongs (of CELLxGENE data, where is_primary_data is True)"
        )
