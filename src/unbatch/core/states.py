"""Cells to states: coordinates in which cells can be compared, pseudobulks within a batch, states across batches."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.clustering import k_means
from unbatch.core.keyed import evenly, keys_of
from unbatch.core.leading_axes import leading_axes
from unbatch.core.log_counts import LogCounts
from unbatch.core.parallel import in_ranges
from unbatch.core.projection import batch_design, regress_out

_ROWS, _COLUMNS = 2048, 512
"""Cells, and genes, of which products are added to the scatter at a time."""
_MOST_CELLS = 20_000
"""Cells by which axes are found; of more, so many drawn by their keys."""
_CONTROL_DIMS = 5
_CELLS_PER_PSEUDOBULK = 30
_FEWEST, _MOST = 5, 60
_SMALLEST_PSEUDOBULK = 4
_STATES_PER_KIND, _FEWEST_KINDS = 8, 3
_TINY = 1e-12


def state_basis(logs: LogCounts, *, batch: CodeArray, genes: BoolArray, n_dims: int, n_genes: int) -> FloatArray:
    """Directions in which the cells of one batch differ most: pooled within-batch principal axes.

    The difference between the batches' means, which holds batch effect and composition alike, is left out.

    Parameters
    ----------
    logs
        Log counts of the cells.
    batch
        Batch of each cell, (n_cells,).
    genes
        Genes that all batches measured, (n_genes,).
    n_dims
        Number of axes.
    n_genes
        Number of genes that may take part: those that vary most within batches.

    Returns
    -------
    (n_genes, n_dims), orthonormal columns, zero for genes that take no part; all zero if no gene varies within a batch.
    """
    sums, squares = logs.moments(batch)
    cells = np.maximum(np.bincount(batch), 1)
    means = sums / cells[:, None]
    within = squares - cells @ means**2
    ranked = np.argsort(-np.where(genes, within, -1.0), kind="stable")[: min(n_genes, int(genes.sum()))]
    chosen = np.sort(ranked[within[ranked] > 0])
    n_dims = max(1, min(n_dims, len(chosen) // 4, len(batch) - 1))
    if not chosen.size:
        return np.zeros((logs.n_genes, n_dims))
    basis = np.zeros((logs.n_genes, n_dims))
    basis[chosen] = leading_axes(_scatter_within(logs, batch, genes=chosen), n_dims, n_points=len(batch))
    return basis


def _scatter_within(logs: LogCounts, batch: CodeArray, *, genes: IntArray) -> FloatArray:
    """Sum the products of the logs of any two genes, less the means of the batches, (n_chosen, n_chosen).

    Only the lower triangle is right. Of more than `_MOST_CELLS` cells, so many are drawn.
    """
    cells = np.arange(len(batch)) if len(batch) <= _MOST_CELLS else evenly(keys_of(logs.counts), _MOST_CELLS)
    n_batches = int(batch.max()) + 1
    products, sums = np.zeros((len(genes), len(genes))), np.zeros((n_batches, len(genes)))
    strips = [slice(first, first + _COLUMNS) for first in range(0, len(genes), _COLUMNS)]
    pairs = [(mine, theirs) for i, mine in enumerate(strips) for theirs in strips[: i + 1]]
    for first in range(0, len(cells), _ROWS):
        here = cells[first : first + _ROWS]
        part = logs.dense(here, genes=genes)

        def one(at: int, _: int, part: FloatArray = part) -> None:
            mine, theirs = pairs[at]
            products[mine, theirs] += part[:, mine].T @ part[:, theirs]

        in_ranges(one, len(pairs), step=1)
        members = sparse.csr_array((np.ones(len(here)), (batch[here], np.arange(len(here)))), (n_batches, len(here)))
        sums += members @ part
    cells_of_batch = np.bincount(batch[cells], minlength=n_batches)
    return products - (sums / np.maximum(cells_of_batch, 1)[:, None]).T @ sums


def clear_of_control(basis: FloatArray, logs: LogCounts, *, batch: CodeArray, control_genes: BoolArray) -> FloatArray:
    """Take out of axes what control genes predict: five axes of theirs, by least squares within batches.

    Between batches the control genes differ by the batch effect too, which predicts nothing of the other genes.

    Parameters
    ----------
    basis
        Axes, (n_genes, n_dims).
    logs
        Log counts of the cells.
    batch
        Batch of each cell, (n_cells,).
    control_genes
        Genes that carry technical variation only, measured by all batches, (n_genes,).

    Returns
    -------
    (n_genes, n_dims), no longer orthonormal.
    """
    technical = state_basis(logs, batch=batch, genes=control_genes, n_dims=_CONTROL_DIMS, n_genes=logs.n_genes)
    scores, where = logs.project(technical), logs.project(basis)
    within = batch_design(batch, int(batch.max()) + 1)
    slope = np.linalg.lstsq(regress_out(scores, within), regress_out(where, within), rcond=None)[0]
    return np.asarray(basis - technical @ slope)


def batch_pseudobulks(
    where: FloatArray, *, batch: CodeArray, level: CodeArray, keys: KeyArray, seed: int
) -> tuple[CodeArray, IntArray]:
    """Group the cells of each batch (and level) into pseudobulks of similar cells.

    Parameters
    ----------
    where
        Coordinates, (n_cells, n_dims).
    batch, level
        Batch and level of each cell, (n_cells,).
    keys
        What the random numbers of each cell follow from, (n_cells,): see `keys_of`.
    seed
        Start of the clustering.

    Returns
    -------
    code
        Pseudobulk of each cell, (n_cells,).
    first
        A cell of each pseudobulk, (n_pseudobulks,), by which its batch and level are found.
    """
    parts = [
        np.flatnonzero((batch == k) & (level == v))
        for k, v in sorted(set(zip(batch.tolist(), level.tolist(), strict=True)))
    ]
    code, first = np.zeros(len(batch), dtype=np.int32), [np.zeros(0, dtype=np.int64)] * len(parts)

    def one(part: int, _: int) -> None:
        mine = parts[part]
        wanted = int(np.clip(len(mine) // _CELLS_PER_PSEUDOBULK, _FEWEST, _MOST))
        wanted = max(1, min(wanted, len(mine) // _SMALLEST_PSEUDOBULK))
        own = _cluster(where[mine], wanted, keys=keys[mine], seed=seed)
        at, code[mine] = np.unique(own, return_index=True, return_inverse=True)[1:]
        first[part] = mine[at]

    in_ranges(one, len(parts), step=1)
    starts = np.cumsum([0, *map(len, first)])
    for part, mine in enumerate(parts):
        code[mine] += np.int32(starts[part])
    return code, np.concatenate(first)


def _cluster(
    where: FloatArray, n_clusters: int, *, keys: KeyArray, seed: int, centres: FloatArray | None = None
) -> CodeArray:
    """Group points by k-means, from given centres or from random ones; fewer groups where points coincide."""
    if min(n_clusters, len(where)) <= 1:
        return np.zeros(len(where), dtype=np.int32)
    wanted = min(n_clusters, len(where)) if centres is None else len(centres)
    return k_means(where, wanted, start=centres, keys=keys, seed=seed)


@dataclass(frozen=True, eq=False)
class States:
    """States shared by the batches.

    Attributes
    ----------
    code
        (n_cells,) state of each cell.
    apart
        (n_states, n_batches) whether the batch's cells lie beyond the caliper from those of the other batches.
    centres
        (n_states, n_dims) mean coordinates.
    level
        (n_states,) level of the cells.
    """

    code: CodeArray
    apart: BoolArray
    centres: FloatArray
    level: CodeArray

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.centres)

    def kinds(self) -> IntArray:
        """Group states that lie near to each other (Ward's method), eight of them on average, (n_states,).

        A batch that affects cells of a type in its own way does so in all of its states.
        """
        wanted = kinds_among(self.n_states)
        if self.n_states <= wanted:
            return np.arange(self.n_states)
        return np.asarray(fcluster(linkage(self.centres, "ward"), wanted, "maxclust") - 1, dtype=np.int64)

    def moved(self, where: FloatArray) -> Self:
        """Give the same states of cells that are elsewhere, (n_cells, n_dims)."""
        return replace(self, centres=_means(where, self.code, self.n_states)[0])

    def nearest(self, where: FloatArray, level: CodeArray) -> CodeArray:
        """Give the state with the nearest centre for each cell, among those of its level, (n_cells,)."""
        code = np.zeros(len(where), dtype=np.int32)
        for value in np.unique(level):
            mine, theirs = np.flatnonzero(level == value), np.flatnonzero(self.level == value)
            if theirs.size:
                code[mine] = theirs[cdist(where[mine], self.centres[theirs]).argmin(axis=1)]
        return code


def kinds_among(n_states: int) -> int:
    """Tell how many kinds there are among so many states."""
    return max(_FEWEST_KINDS, round(n_states / _STATES_PER_KIND))


def find_states(
    where: FloatArray,
    *,
    batch: CodeArray,
    n_batches: int,
    n_states: int,
    caliper: float,
    keys: KeyArray,
    seed: int,
    start: CodeArray | None = None,
) -> States:
    """Group the cells of all batches into states, and part the batches that do not overlap within a state.

    Parameters
    ----------
    where
        Coordinates without batch effects, (n_cells, n_dims).
    batch
        Batch of each cell, (n_cells,).
    n_batches, n_states
        Numbers of batches and of states.
    caliper
        Farthest distance between the mean of a batch's cells and that of the others in the state, in within-batch
        standard deviations along the line between them. A larger caliper compares more cells, at more risk that they
        are of different types. Chance alone parts single cells, which say little and are often strays.
    keys
        What the random numbers of each cell follow from, (n_cells,): see `keys_of`.
    seed
        Start of the clustering.
    start
        States of an earlier round to begin from, (n_cells,).

    Returns
    -------
    States
    """
    centres = None if start is None else _means(where, start, int(start.max()) + 1)[0]
    code = _cluster(where, n_states, keys=keys, seed=seed, centres=centres)
    code = np.unique(code, return_inverse=True)[1].astype(np.int32)
    n_found = int(code.max()) + 1
    distance2 = _distances(where, code, batch, (n_found, n_batches))
    return States(
        code=code,
        apart=np.asarray(np.nan_to_num(distance2) > caliper**2),
        centres=_means(where, code, n_found)[0],
        level=np.zeros(n_found, dtype=np.int32),
    )


def _means(values: FloatArray, code: CodeArray, n_codes: int) -> tuple[FloatArray, FloatArray]:
    members = sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=(n_codes, len(code)))
    cells = np.bincount(code, minlength=n_codes).astype(np.float64)
    return np.asarray(members @ values) / np.maximum(cells, 1)[:, None], cells


def _distances(where: FloatArray, code: CodeArray, batch: CodeArray, shape: tuple[int, int]) -> FloatArray:
    """Measure how far each batch's cells of a state lie from those of the other batches, (n_states, n_batches).

    The squared distance is in within-batch variances along the line between the two means; NaN without any to compare.
    """
    n_states, n_batches = shape
    group = code.astype(np.int64) * n_batches + batch
    means, cells = _means(where, group, n_states * n_batches)
    means, cells = means.reshape(n_states, n_batches, -1), cells.reshape(shape)
    residual = where - means[code, batch]
    rest = cells.sum(axis=1, keepdims=True) - cells
    total = np.einsum("sk,skd->sd", cells, means)
    others = (total[:, None, :] - cells[:, :, None] * means) / np.maximum(rest, 1)[..., None]
    n_dims, freedom = where.shape[1], cells.sum(axis=1) - (cells > 0).sum(axis=1)
    pooled = residual.T @ residual / max(float(freedom.sum()), 1.0)
    distance2 = np.full(shape, np.nan)
    for state in range(n_states):
        mine = residual[code == state]
        spread = (mine.T @ mine + n_dims * pooled) / (freedom[state] + n_dims)
        for k in np.flatnonzero((cells[state] > 0) & (rest[state] > 0)):
            line = means[state, k] - others[state, k]
            length2 = float(line @ line)
            along = max(float(line @ spread @ line) / max(length2, _TINY), _TINY)
            distance2[state, k] = length2 / along
    return distance2
