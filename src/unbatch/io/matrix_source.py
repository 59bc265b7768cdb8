"""One matrix with its names as a CountSource: block size, random rows, and errors that name the input."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import BoolArray, CodeArray, Counts, IntArray
from unbatch.io.failures import reading
from unbatch.io.part_names import trail_of
from unbatch.io.readers import ReadRows, RowReader
from unbatch.io.source import Block, check_block_size, check_range, check_rows, cut

BLOCK_BYTES = 64 * 2**20
"""Size of a block in memory that is aimed at."""
_GAP_BYTES = 2**18
"""Rows nearer to each other than this are read in one go: about what a disk or a decompressor moves anyway."""


def _no_alternatives() -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, eq=False)
class MatrixSource:
    """A `CountSource` of one part, made of a reader and the names.

    Attributes
    ----------
    reader
        Reads the rows.
    obs, var : DataFrame
        Annotation, indexed by names as text.
    description
        What is read from where.
    path
        File or folder, None for a matrix in memory.
    find_alternatives
        Looks for other matrices of the same input that hold counts.
    """

    reader: RowReader
    obs: pd.DataFrame
    var: pd.DataFrame
    description: str
    path: Path | None = None
    find_alternatives: Callable[[], tuple[str, ...]] = _no_alternatives

    def __post_init__(self) -> None:
        n_cells, n_genes = self.reader.shape
        if n_cells == 0 or n_genes == 0:
            raise InputError(f"{self.description} has {n_cells} cells and {n_genes} genes: there is nothing to read")
        for names, length, what in ((self.obs, n_cells, "cells"), (self.var, n_genes, "genes")):
            if len(names) != length:
                raise InputError(f"{self.description} has {length} {what} but names for {len(names)}: write it again")

    @property
    def n_cells(self) -> int:
        """Number of rows."""
        return int(self.reader.shape[0])

    @property
    def n_genes(self) -> int:
        """Number of columns."""
        return int(self.reader.shape[1])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The path, if there is one."""
        return () if self.path is None else (self.path,)

    @property
    def parts(self) -> tuple[str, ...]:
        """The last piece of the path, without its ending; "AnnData" if there is none."""
        return (self.trails[0][0],)

    @property
    def trails(self) -> tuple[tuple[str, ...], ...]:
        """Pieces of the path from its end, or "AnnData"."""
        return (("AnnData",) if self.path is None else trail_of(self.path),)

    @property
    def part(self) -> CodeArray:
        """Zero for every cell."""
        return np.zeros(self.n_cells, dtype=np.int32)

    @property
    def measured(self) -> BoolArray:
        """True for every gene."""
        return np.ones((self.n_genes, 1), dtype=np.bool_)

    def alternatives(self) -> tuple[str, ...]:
        """Other matrices that look like counts, as values of `layer`."""
        with reading(self.description):
            return self.find_alternatives()

    @cached_property
    def _cuts(self) -> IntArray:
        with reading(self.description):
            return self.reader.cuts(BLOCK_BYTES)

    def bounds(self, block_size: int | None = None) -> list[tuple[int, int]]:
        """Give (start, stop) of each block, at most `block_size` cells each."""
        check_block_size(block_size)
        cuts = self._cuts if block_size is None else np.append(np.arange(0, self.n_cells, block_size), self.n_cells)
        return list(itertools.pairwise(cuts.tolist()))

    def blocks(self, block_size: int | None = None, *, cells: tuple[int, int] | None = None) -> Iterator[Block]:
        """Read cells in order, at most `block_size` at a time."""
        wanted = check_range(cells, self.n_cells)
        check_block_size(block_size)
        return self._blocks(block_size, wanted)

    def _blocks(self, block_size: int | None, cells: tuple[int, int]) -> Iterator[Block]:
        bounds = self.bounds(block_size)
        with reading(self.description):
            opened = self.reader.open()
            read = opened.__enter__()
        try:
            for start, stop in cut(bounds, cells):
                with reading(self.description):
                    counts = read(start, stop)
                yield Block(start, counts)
        finally:
            opened.__exit__(None, None, None)

    def rows(self, indices: ArrayLike) -> Counts:
        """Read some cells, in ascending order."""
        wanted = check_rows(indices, self.n_cells)
        with reading(self.description), self.reader.open() as read:
            return self._rows(wanted, read)

    def _rows(self, wanted: np.ndarray[tuple[int], np.dtype[np.int64]], read: ReadRows) -> Counts:
        if not wanted.size:
            return read(0, 0)
        gap = max(int(_GAP_BYTES / max(self.reader.row_bytes, 1.0)), self.reader.row_chunk)
        pieces = []
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > gap) + 1):
            first = 0
            while first < run.size:
                start = int(run[first])
                end = self._cuts[np.searchsorted(self._cuts, start, side="right")]  # of the block that has it
                last = int(np.searchsorted(run, end))
                span = read(start, int(run[last - 1]) + 1)
                pieces.append(span[run[first:last] - start])
                first = last
        return pieces[0] if len(pieces) == 1 else sparse.vstack(pieces, format="csr")
