"""Several inputs as one: cells one after another, genes united, and for each input which genes it measured."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from unbatch._check import InputError, warn
from unbatch._types import BoolArray, CodeArray, Counts, IntArray
from unbatch.io.part_names import name_parts
from unbatch.io.source import Block, CountSource, check_block_size, check_range, check_rows, cut
from unbatch.io.tables import join_tables

_FEW = 4
_LEAST_SHARED = 0.5


@dataclass(frozen=True, eq=False)
class UnionSource:
    """A `CountSource` of several parts.

    Genes come in the order in which they first occur. Names of cells that occur in more than one part get the name of
    their part appended, ``AAACCTG-1-donor2``, and then those of all cells do, as ``anndata.concat(...,
    index_unique="-")`` does it; if no name occurs in two parts, all stay as they are.

    Attributes
    ----------
    sources
        The parts.
    parts
        Their names.
    trails
        What these are pieces of: their paths, from the end; or the names, where they were given.
    """

    sources: tuple[CountSource, ...]
    parts: tuple[str, ...]
    trails: tuple[tuple[str, ...], ...]

    @cached_property
    def _genes(self) -> pd.Index:
        return pd.Index(dict.fromkeys(name for source in self.sources for name in source.var.index), dtype=object)

    @cached_property
    def gene_of(self) -> tuple[CodeArray, ...]:
        """For each part, where its genes are among those of all."""
        return tuple(self._genes.get_indexer(source.var.index).astype(np.int32) for source in self.sources)

    @cached_property
    def _starts(self) -> IntArray:
        """Position of the first cell of each part, and the number of cells."""
        return np.cumsum([0, *(source.n_cells for source in self.sources)])

    @property
    def n_cells(self) -> int:
        """Number of cells of all parts."""
        return int(self._starts[-1])

    @property
    def n_genes(self) -> int:
        """Number of genes that at least one part measured."""
        return len(self._genes)

    @property
    def description(self) -> str:
        """The number of inputs and their names."""
        listed = ", ".join(self.parts[:_FEW]) + (", ..." if len(self.parts) > _FEW else "")
        return f"the {len(self.parts)} inputs ({listed})"

    @property
    def path(self) -> None:
        """None: see `paths`."""
        return

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files and folders of all parts."""
        return tuple(path for source in self.sources for path in source.paths)

    @cached_property
    def part(self) -> CodeArray:
        """The part of each cell."""
        return np.repeat(np.arange(len(self.sources), dtype=np.int32), np.diff(self._starts))

    @cached_property
    def measured(self) -> BoolArray:
        """Whether a part has a gene, (n_genes, n_parts)."""
        measured = np.zeros((self.n_genes, len(self.sources)), dtype=np.bool_)
        for part, genes in enumerate(self.gene_of):
            measured[genes, part] = True
        return measured

    @cached_property
    def obs(self) -> pd.DataFrame:
        """Annotation of all cells, with all columns that a part has; missing where it has not."""
        obs = join_tables([source.obs for source in self.sources])
        names = obs.index
        if self._names_clash():
            names = names.astype(str) + "-" + np.asarray(self.parts, dtype=object)[self.part]
        obs.index = pd.Index(names, dtype=object)
        return obs

    @cached_property
    def var(self) -> pd.DataFrame:
        """Annotation of all genes, from the first part that has them."""
        pieces = [
            source.var[~self.measured[genes, :part].any(axis=1)]
            for part, (source, genes) in enumerate(zip(self.sources, self.gene_of, strict=True))
        ]
        return join_tables(pieces)

    def alternatives(self) -> tuple[str, ...]:
        """Other matrices that look like counts and that every part has."""
        found = [source.alternatives() for source in self.sources]
        return tuple(name for name in found[0] if all(name in names for names in found[1:]))

    def bounds(self, block_size: int | None = None) -> list[tuple[int, int]]:
        """Give (start, stop) of each block, at most `block_size` cells and never of two parts."""
        return [
            (int(first) + start, int(first) + stop)
            for first, source in zip(self._starts, self.sources, strict=False)
            for start, stop in source.bounds(block_size)
        ]

    def blocks(self, block_size: int | None = None, *, cells: tuple[int, int] | None = None) -> Iterator[Block]:
        """Read cells in order, at most `block_size` at a time and never of two parts at once."""
        check_block_size(block_size)
        return self._blocks(block_size, check_range(cells, self.n_cells))

    def _blocks(self, block_size: int | None, cells: tuple[int, int]) -> Iterator[Block]:
        for part, source in enumerate(self.sources):
            first = int(self._starts[part])
            for start, stop in cut([(first, first + source.n_cells)], cells):
                for block in source.blocks(block_size, cells=(start - first, stop - first)):
                    yield Block(first + block.start, self._unite(part, block.counts))

    def rows(self, indices: ArrayLike) -> Counts:
        """Read some cells, in ascending order."""
        wanted = check_rows(indices, self.n_cells)
        cuts = np.searchsorted(wanted, self._starts)
        pieces = [
            self._unite(part, source.rows(wanted[cuts[part] : cuts[part + 1]] - self._starts[part]))
            for part, source in enumerate(self.sources)
        ]
        return sparse.vstack(pieces, format="csr")

    def _unite(self, part: int, counts: Counts) -> Counts:
        columns = self.gene_of[part][counts.indices]
        united = sparse.csr_array((counts.data, columns, counts.indptr), shape=(counts.shape[0], self.n_genes))
        if not united.has_sorted_indices:
            united.data = counts.data.copy()  # which may be those of an AnnData in memory, and are sorted in place
            united.sort_indices()
        return united

    def _names_clash(self) -> bool:
        names = [pd.Index(source.obs.index.unique()) for source in self.sources]
        return bool(names[0].append(names[1:]).has_duplicates)


def open_union(sources: Sequence[CountSource], *, labels: Sequence[str] | None = None) -> CountSource:
    """Unite sources; a single one is given back as it is.

    Parameters
    ----------
    sources
        The parts.
    labels
        Their names; None makes them from their paths.

    Raises
    ------
    InputError
        If there is none, one is given twice, or no gene is measured by two of them.

    Warns
    -----
    InputWarning
        If a part shares less than half of its genes with the others.
    """
    if not sources:
        raise InputError("no input is given: give at least one file or AnnData")
    if len(sources) == 1 and labels is None:
        return sources[0]
    _check_twice([path for source in sources for path in source.paths])
    trails = [source.trails[0] for source in sources] if labels is None else [(label,) for label in labels]
    union = UnionSource(tuple(sources), name_parts(trails), tuple(trails))
    if len(sources) > 1:
        _check_overlap(union)
    return union


def _check_twice(paths: Sequence[Path]) -> None:
    """Refuse a file or folder that is given twice, under two names too: a link of either kind is the same file."""
    first: dict[tuple[int, int] | str, Path] = {}
    for path in paths:
        matrices = [file for file in path.glob("*matrix.mtx*") if file.is_file()]
        file = matrices[0] if len(matrices) == 1 else path  # a 10x folder, which may be given by its matrix
        found = file.stat() if file.exists() else None
        same = (found.st_dev, found.st_ino) if found and found.st_ino else os.path.realpath(file)
        if same in first:
            also = "" if path == first[same] else f", also as {path}"
            raise InputError(
                f"{first[same]} is given more than once{also}: its cells would be counted twice, leave out all but one"
            )
        first[same] = path


def _check_overlap(union: UnionSource) -> None:
    shared = union.measured.sum(axis=1) > 1
    if not shared.any():
        examples = "; ".join(
            f"{part!r} has {', '.join(repr(name) for name in source.var.index[:2])}, ..."
            for part, source in zip(union.parts[:_FEW], union.sources, strict=False)
        )
        raise InputError(f"{union.description} have no gene in common: {examples}. Name genes alike in all of them")
    for part, source in enumerate(union.sources):
        number = int((shared & union.measured[:, part]).sum())
        if number < _LEAST_SHARED * source.n_genes:
            warn(
                f"only {number} of the {source.n_genes} genes of {union.parts[part]!r} are in another input, the "
                "others get no effect: check that all inputs name genes alike (symbols or identifiers)"
            )
