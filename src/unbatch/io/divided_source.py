"""Counts of another source, divided by a number for each batch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, IntArray
from unbatch.io.source import Block, CountSource


@dataclass(frozen=True, eq=False)
class Divided:
    """A `CountSource` whose counts are those of another one, divided by a number for each batch.

    Attributes
    ----------
    source
        Where the counts are.
    codes : (n_cells,) int32
        Batch of each cell.
    factor : (n_batches,) int64
        What its counts are multiples of.
    """

    source: CountSource
    codes: CodeArray
    factor: IntArray

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.source.n_cells

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.source.n_genes

    @property
    def obs(self) -> pd.DataFrame:
        """Annotation of the cells."""
        return self.source.obs

    @property
    def var(self) -> pd.DataFrame:
        """Annotation of the genes."""
        return self.source.var

    @property
    def description(self) -> str:
        """What is read from where."""
        return self.source.description

    @property
    def path(self) -> Path | None:
        """The file or folder, if it is one."""
        return self.source.path

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file or folder that is read."""
        return self.source.paths

    @property
    def parts(self) -> tuple[str, ...]:
        """Name of each part."""
        return self.source.parts

    @property
    def trails(self) -> tuple[tuple[str, ...], ...]:
        """What the names of parts are pieces of."""
        return self.source.trails

    @property
    def part(self) -> CodeArray:
        """The part of each cell."""
        return self.source.part

    @property
    def measured(self) -> BoolArray:
        """Whether a part measured a gene, (n_genes, n_parts)."""
        return self.source.measured

    def alternatives(self) -> tuple[str, ...]:
        """Other matrices that look like counts."""
        return self.source.alternatives()

    def bounds(self, block_size: int | None = None) -> list[tuple[int, int]]:
        """Give (start, stop) of each block."""
        return self.source.bounds(block_size)

    def blocks(self, block_size: int | None = None, *, cells: tuple[int, int] | None = None) -> Iterator[Block]:
        """Read cells in order, divided."""
        for block in self.source.blocks(block_size, cells=cells):
            yield Block(block.start, self._divide(block.counts, self.codes[block.start : block.stop]))

    def rows(self, indices: ArrayLike) -> Counts:
        """Read some cells, in ascending order, divided."""
        return self._divide(self.source.rows(indices), self.codes[np.asarray(indices, dtype=np.int64).ravel()])

    def _divide(self, counts: Counts, codes: CodeArray) -> Counts:
        by_cell = self.factor[codes]
        if (by_cell == 1).all():
            return counts
        # exact: a whole quotient needs no more bits than the count
        data = counts.data / np.repeat(by_cell.astype(counts.data.dtype), np.diff(counts.indptr))
        return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
