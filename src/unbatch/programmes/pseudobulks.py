"""Groups of cells that are alike, and the counts of each group, added up in one pass."""

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray, IntArray
from unbatch.core.clustering import k_means
from unbatch.core.factors import Pseudobulks
from unbatch.core.kernels.pseudobulks import add_groups
from unbatch.core.parallel import in_ranges
from unbatch.core.projection import LogAxes
from unbatch.core.rows import rows_of
from unbatch.io.known import PerCell, Shared
from unbatch.io.source import Block
from unbatch.methods.placing import nearest_state

_SAMPLE = 50_000
_SIZE_UNITS = 2.0**16
"""Units in 1: sums over 10^8 cells of 10^6 counts stay below 2^63."""
_GROUPS = 32


def group_cells(embedding: Float32Array, level: CodeArray, *, n_groups: int, seed: int) -> CodeArray:
    """Group cells by k-means of their coordinates.

    Centres are found among at most 50,000 cells drawn at random; every cell then goes to the nearest.

    Parameters
    ----------
    embedding
        (n_cells, n_dims) coordinates.
    level
        (n_cells,) cells of different levels are never in one group; those of a negative level are in none.
    n_groups
        Number of groups, shared out to the levels by their cells, at least one each.
    seed
        Start of the random numbers.

    Returns
    -------
    (n_cells,) group of each cell, -1 for none.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    members = np.flatnonzero(level >= 0)
    if len(members) > _SAMPLE:
        members = np.sort(rng.choice(members, _SAMPLE, replace=False))
    centres, levels = list[FloatArray](), list[int]()
    for number in np.unique(level[level >= 0]).tolist():
        mine = members[level[members] == number]
        mine = mine if mine.size else np.flatnonzero(level == number)[:_SAMPLE]
        wanted = min(max(1, round(n_groups * mine.size / members.size)), mine.size)
        points = embedding[mine].astype(np.float64)
        code = k_means(points, wanted, seed=seed)
        found = np.unique(code)
        centres += [points[code == one].mean(axis=0) for one in found.tolist()]
        levels += [int(number)] * len(found)
    where = embedding.astype(np.float64)
    return nearest_state(where, level.astype(np.int32), np.array(centres), np.array(levels, dtype=np.int32))


class PseudobulkSums:
    """Accumulator of the counts and size factors of groups of cells.

    Parameters
    ----------
    group
        (n_cells,) group of each cell, -1 for none.
    batch
        (n_cells,) column of `delta` of each cell.
    delta
        (n_genes, n_batches) multiplicative effects; 0 where the batch does not measure the gene.
    n_groups
        Number of groups.
    """

    def __init__(self, group: CodeArray, batch: CodeArray, *, delta: FloatArray, n_groups: int) -> None:
        self._group, self._batch, self._n_groups = PerCell(group), PerCell(batch), n_groups
        self._delta = Shared(delta)
        self.counts: IntArray | None = None
        self.size = np.zeros((n_groups, delta.shape[1]), dtype=np.int64)

    def add(self, block: Block) -> None:
        """Add the cells of a block."""
        cells = block.start, block.stop
        self.add_cells(block.counts, group=self._group.of(*cells), batch=self._batch.of(*cells))

    def add_cells(self, counts: Counts, *, group: CodeArray, batch: CodeArray) -> None:
        """Add cells, (n_cells, n_genes), of given groups and batches, (n_cells,)."""
        delta = self._delta.value
        counts = measured_counts(counts, delta > 0, batch)
        size = cell_sizes(counts, delta, batch)
        used = np.flatnonzero(group >= 0)
        np.add.at(self.size, (group[used], batch[used]), np.rint(size[used] * _SIZE_UNITS).astype(np.int64))
        sums = np.zeros((self._n_groups, len(delta)), dtype=np.int64) if self.counts is None else self.counts
        order = used[np.argsort(group[used], kind="stable")]
        edges = np.searchsorted(group[order], np.arange(self._n_groups + 1))
        rows = rows_of(counts, 0, counts.shape[0])

        def some(start: int, stop: int) -> None:
            add_groups(*rows, order[edges[start] : edges[stop]], group, sums)

        in_ranges(some, self._n_groups, step=_GROUPS)
        self.counts = sums

    def merge(self, other: "PseudobulkSums") -> None:
        """Add what another one has added up, which stays as it is."""
        self.size = self.size + other.size
        if other.counts is not None:
            self.counts = other.counts.copy() if self.counts is None else self.counts + other.counts

    def result(self) -> Pseudobulks:
        """Give the sums so far."""
        counts = np.zeros((self._n_groups, len(self._delta.value))) if self.counts is None else self.counts
        return Pseudobulks(counts.astype(np.float64), self.size / _SIZE_UNITS)


def cell_sizes(counts: Counts, delta: FloatArray, batch: CodeArray) -> FloatArray:
    """Size factor of each cell: its adjusted counts of the genes that all batches measure, or of all if none is.

    Parameters
    ----------
    counts
        (n_cells, n_genes).
    delta
        (n_genes, n_batches) multiplicative effects; 0 where the batch does not measure the gene.
    batch
        (n_cells,) column of `delta`.

    Returns
    -------
    (n_cells,)
    """
    measured = delta > 0
    common: BoolArray = np.asarray(measured.all(axis=1))
    genes = common if common.any() else np.ones(len(delta), dtype=np.bool_)
    log_delta = np.log(np.where(measured, delta, 1.0))
    return LogAxes.of(np.zeros((len(delta), 1)), log_delta=log_delta, genes=genes).sizes(counts, batch)


def measured_counts(counts: Counts, measured: BoolArray, batch: CodeArray) -> Counts:
    """Leave out counts of genes that a batch is held not to measure, as where one of its files lacks them.

    Parameters
    ----------
    counts
        (n_cells, n_genes).
    measured
        (n_genes, n_batches).
    batch
        (n_cells,) column of `measured`.

    Returns
    -------
    (n_cells, n_genes)
    """
    if measured.all():
        return counts
    kept = measured[counts.indices, np.repeat(batch, np.diff(counts.indptr))]
    if kept.all():
        return counts
    ends = np.concatenate([[0], np.cumsum(kept)])[counts.indptr].astype(counts.indptr.dtype)
    return sparse.csr_array((counts.data[kept], counts.indices[kept], ends), shape=counts.shape)
