"""Where counts come from: one protocol for every format, and the door that opens them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from unbatch._check import InputError
from unbatch._types import BoolArray, CodeArray, Counts

if TYPE_CHECKING:
    from anndata import AnnData

OneInput: TypeAlias = "str | Path | AnnData"
Input: TypeAlias = "OneInput | Sequence[OneInput] | Mapping[str, OneInput]"


@dataclass(frozen=True)
class Block:
    """Consecutive cells of a source.

    Attributes
    ----------
    start
        Position of the first cell in the source.
    counts : csr_array, (n_cells of the block, n_genes)
        float32 or float64, indices sorted, no duplicates, no stored zeros.
    """

    start: int
    counts: Counts

    @property
    def stop(self) -> int:
        """Position after the last cell."""
        return self.start + int(self.counts.shape[0])


class CountSource(Protocol):
    """A count matrix that is read some rows at a time, as often as needed, with the names of its rows and columns.

    A *part* is one input: a single file or AnnData is one part, a list of them has one part each. A gene that a part
    did not measure has no counts there, which is not the same as zero counts: see `measured`.

    Attributes
    ----------
    n_cells, n_genes
        Shape of the matrix.
    obs : DataFrame, (n_cells, ...)
        Annotation of the cells, indexed by their names.
    var : DataFrame, (n_genes, ...)
        Annotation of the genes, indexed by their names, which are unique.
    description
        What is read from where, in one line, with anything worth knowing about how.
    path
        The file or folder, or None where there is none or more than one.
    paths
        Every file or folder that is read: what an output must not overwrite.
    parts
        Name of each part.
    trails
        For each part, what its name is a piece of: the pieces of its path from the end, or the one name that it has.
    part : (n_cells,) int32
        The part that each cell belongs to.
    measured : (n_genes, n_parts) bool
        Whether a part measured a gene.
    """

    @property
    def n_cells(self) -> int: ...  # noqa: D102
    @property
    def n_genes(self) -> int: ...  # noqa: D102
    @property
    def obs(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def var(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> Path | None: ...  # noqa: D102
    @property
    def paths(self) -> tuple[Path, ...]: ...  # noqa: D102
    @property
    def parts(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def trails(self) -> tuple[tuple[str, ...], ...]: ...  # noqa: D102
    @property
    def part(self) -> CodeArray: ...  # noqa: D102
    @property
    def measured(self) -> BoolArray: ...  # noqa: D102

    def bounds(self, block_size: int | None = None) -> list[tuple[int, int]]:
        """Give (start, stop) of each block that `blocks` reads: in order, without gaps, from first to last cell.

        Blocks have at most `block_size` cells; without it, they take about 64 MB. A block never spans two parts.
        """
        ...

    def blocks(self, block_size: int | None = None, *, cells: tuple[int, int] | None = None) -> Iterator[Block]:
        """Read the cells (start, stop), all of them without it, in order, in the blocks of `bounds`.

        A block that lies outside `cells` in part is cut, one that lies outside is not read. May be called any number of
        times.
        """
        ...

    def rows(self, indices: ArrayLike) -> Counts:
        """Read the cells at the given positions, which must be in ascending order."""
        ...

    def alternatives(self) -> tuple[str, ...]:
        """Values of `layer` that name another matrix of the same input which looks like counts."""
        ...


def open_counts(
    data: Input, *, layer: str | None = None, usual: str | None = None, scratch: Path | None = None
) -> CountSource:
    """Open a count matrix to be read in blocks of rows; only the names of cells and genes are read now.

    Parameters
    ----------
    data
        One of

        - an AnnData, in memory, backed, lazily read or of Dask arrays;
        - the path of an ``.h5ad`` file, a ``.zarr`` folder written by AnnData, a 10x Genomics ``.h5`` file, or a
          folder with ``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv`` or ``genes.tsv``, each plain or gzipped;
        - a list of these, or a dictionary from names to these: they are read one after another, their genes are
          united, and a gene that one of them lacks is unmeasured there.
    layer
        Which matrix: None is `usual`, "X" is X, "raw" is raw.X, anything else the layer of that name. For a 10x file of
        several genomes, the genome.
    usual
        Which matrix where none is asked for, such as that of a fit: None is X. A 10x file or folder of one matrix has
        no layers and gives that one.
    scratch
        Folder for the scratch file, should one be needed; None is the folder for temporary files.

    Returns
    -------
    CountSource

    Raises
    ------
    InputError
        If the input is missing, unreadable, damaged or of another format, holds no such matrix or no cells or genes,
        or its values are not numbers, or its gene names are not unique.

    Notes
    -----
    CSR and dense matrices are read block by block, Dask arrays chunk by chunk. A matrix that is stored by column (CSC)
    or as text (mtx) cannot be: it is turned to rows at the first use, up to 128 MB in memory, a larger one once into a
    private scratch file, in at most a few hundred MB of memory, which a message tells.
    """
    from anndata import AnnData

    from unbatch.io.anndata_source import open_anndata
    from unbatch.io.files import open_path
    from unbatch.io.layers import Wanted
    from unbatch.io.union_source import open_union

    if isinstance(data, AnnData):
        return open_anndata(data, layer=layer or usual)
    if isinstance(data, str | PathLike):
        return open_path(Path(data), Wanted(layer, usual), scratch=scratch)
    if isinstance(data, Mapping):
        parts = [open_counts(one, layer=layer, usual=usual, scratch=scratch) for one in data.values()]
        return open_union(parts, labels=[str(name) for name in data])
    if isinstance(data, Sequence):
        return open_union([open_counts(one, layer=layer, usual=usual, scratch=scratch) for one in data])
    raise InputError(
        f"cannot read counts from {type(data).__name__}: give an AnnData, a path (.h5ad, .zarr, 10x .h5, "
        "10x mtx folder) or a list of them",
    )


def check_range(cells: tuple[int, int] | None, n_cells: int) -> tuple[int, int]:
    """Check a range of cells, None being all of them.

    Raises
    ------
    InputError
        If it reaches out of the matrix or ends before it begins.
    """
    start, stop = (0, n_cells) if cells is None else cells
    if not 0 <= start <= stop <= n_cells:
        raise InputError(f"cells {start} to {stop} are no range within 0 to {n_cells}: give (start, stop)")
    return start, stop


def check_block_size(block_size: int | None) -> None:
    """Check a number of cells per block.

    Raises
    ------
    InputError
        If it is less than 1.
    """
    if block_size is not None and block_size < 1:
        raise InputError(f"block_size must be at least 1 cell, got {block_size}")


def cut(bounds: Iterable[tuple[int, int]], cells: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Give the pieces of blocks that lie within a range of cells."""
    for start, stop in bounds:
        first, last = max(start, cells[0]), min(stop, cells[1])
        if first < last:
            yield first, last


def check_rows(indices: ArrayLike, n_cells: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Check positions of cells: within range and ascending.

    Raises
    ------
    InputError
        If a position is outside the matrix or smaller than the one before it.
    """
    rows = np.asarray(indices, dtype=np.int64).ravel()
    if rows.size and (rows.min() < 0 or rows.max() >= n_cells):
        raise InputError(f"rows must lie in 0 to {n_cells - 1}, got {rows.min()} to {rows.max()}")
    if (np.diff(rows) < 0).any():
        raise InputError("rows must be in ascending order: sort them")
    return rows
