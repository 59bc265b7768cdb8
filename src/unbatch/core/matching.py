"""Matches of each cell in every other batch: the cells that stand in for what it would have been there."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray
from unbatch.core.kernels.nearest import REFERENCES_PER_TILE, nearest
from unbatch.core.parallel import in_ranges

WEIGHT_SCALE = 2.0**40
"""Weights are whole multiples of 1 / WEIGHT_SCALE, so that sums of weighted counts are exact integers."""

QUERIES_PER_TASK = 1024


@dataclass(frozen=True)
class Neighbors:
    """Nearest references of some queries: what any neighbour search returns.

    Attributes
    ----------
    indices
        (n_queries, k) row numbers of the references, nearest first, ties by lower number; -1 where there is none.
    distances
        (n_queries, k) Euclidean distances; inf where there is none. Between unit vectors this is the angular distance
        ``sqrt(2 - 2 cos)``, from 0 to 2.
    """

    indices: IntArray
    distances: FloatArray


class NeighborIndex(Protocol):
    """References ready to be searched."""

    def query(self, queries: FloatArray, *, n_neighbors: int) -> Neighbors:
        """Find the nearest references of each row of queries (n_queries, n_dims)."""
        ...


class NeighborSearch(Protocol):
    """A way to search nearest neighbours; `match_cells` builds one index per batch."""

    def build(self, references: FloatArray) -> NeighborIndex:
        """Index the rows of references (n_references, n_dims)."""
        ...


@dataclass(frozen=True)
class ExactIndex:
    """Brute force over all references.

    Attributes
    ----------
    references
        (n_dims, n_references), C order.
    """

    references: FloatArray

    def query(self, queries: FloatArray, *, n_neighbors: int) -> Neighbors:
        """Find the nearest references of each query.

        Parameters
        ----------
        queries
            (n_queries, n_dims).
        n_neighbors
            How many; of a smaller set of references, all are returned.

        Returns
        -------
        Neighbors
            (n_queries, min(n_neighbors, n_references)). The same bits for any number of threads and any split of the
            queries.
        """
        n_queries, k = len(queries), min(n_neighbors, self.references.shape[1])
        indices = np.full((n_queries, k), -1, dtype=np.int64)
        squared = np.full((n_queries, k), np.inf)
        if n_queries and k:
            queries = np.ascontiguousarray(queries, dtype=np.float64)

            def search(start: int, stop: int) -> None:
                part = slice(start, stop)
                scratch = np.empty(REFERENCES_PER_TILE)
                nearest(queries[part], self.references, scratch, indices[part], squared[part])

            in_ranges(search, n_queries, step=QUERIES_PER_TASK)
        return Neighbors(indices, np.sqrt(squared))


@dataclass(frozen=True)
class ExactSearch:
    """Compare every query with every reference, in O(n_queries n_references n_dims) time and O(n_queries k) memory."""

    def build(self, references: FloatArray) -> ExactIndex:
        """Index the rows of references (n_references, n_dims)."""
        return ExactIndex(np.ascontiguousarray(references.T, dtype=np.float64))


@dataclass(frozen=True)
class Matches:
    """Matches of every cell in the other batches.

    Attributes
    ----------
    weights
        (n_cells, n_cells) W, CSR: row j holds the weights w_ji over the matches i of cell j. A row sums to exactly 1,
        or is empty if the cell has no match. Every weight is a multiple of 2^-40.
    neighbors
        One per batch b: the matches of each cell in b, as (n_cells, min(n_neighbors, cells of b)) numbers of cells;
        -1 and inf for cells of b itself and cells that take no part.
    """

    weights: sparse.csr_array
    neighbors: tuple[Neighbors, ...]

    @property
    def matched(self) -> BoolArray:
        """(n_cells,) whether the cell has a match."""
        return np.asarray(np.diff(self.weights.indptr) > 0)


def unit_rows(values: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Scale rows to unit length.

    Parameters
    ----------
    values
        (n_cells, n_dims).

    Returns
    -------
    (n_cells, n_dims) unit rows, rows of length zero left at zero; (n_cells,) which rows have a direction.
    """
    peak = np.abs(values).max(axis=1, initial=0.0, keepdims=True)
    pointing = peak[:, 0] > 0
    scaled = values / np.where(peak > 0, peak, 1.0)  # squares neither overflow nor vanish
    length = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    return scaled / np.where(length > 0, length, 1.0), pointing


def match_weights(squared_distances: FloatArray) -> FloatArray:
    r"""Weigh the matches of each cell, over all its matches in all other batches.

    .. math:: w_{ji} = \frac{\exp(-(d_{ji}^2 - \min_i d_{ji}^2))}{\sum_i \exp(-(d_{ji}^2 - \min_i d_{ji}^2))}

    rounded to multiples of 2^-40; the nearest match takes up the rounding, so that each row sums to exactly 1.

    Parameters
    ----------
    squared_distances
        (n_cells, n_matches) squared angular distances, inf where there is no match.

    Returns
    -------
    (n_cells, n_matches), 0 where there is no match.
    """
    if not squared_distances.shape[1]:
        return np.zeros_like(squared_distances)
    least = squared_distances.min(axis=1, keepdims=True)
    weights = np.exp(np.where(np.isfinite(least), least, 0.0) - squared_distances)
    total = weights.sum(axis=1, keepdims=True)
    fixed = np.rint(weights / np.where(total > 0, total, 1.0) * WEIGHT_SCALE)
    rows = np.flatnonzero(total[:, 0] > 0)
    fixed[rows, squared_distances.argmin(axis=1)[rows]] += WEIGHT_SCALE - fixed[rows].sum(axis=1)
    return np.asarray(fixed / WEIGHT_SCALE, dtype=np.float64)


def match_cells(
    features: FloatArray, batch: CodeArray, *, n_neighbors: int = 3, search: NeighborSearch | None = None
) -> Matches:
    """Match each cell with its nearest cells, by angle, in every other batch.

    Parameters
    ----------
    features
        (n_cells, n_dims) batch-free features; only their direction counts. A cell whose features are all zero has no
        direction: it matches no cell and no cell matches it.
    batch
        (n_cells,) codes from 0. A cell with a negative code takes no part.
    n_neighbors
        Matches per other batch. More of them average out the counting noise of single cells, but reach farther, into
        other states. A batch with fewer cells gives all it has.
    search
        How neighbours are found; exact search by default.

    Returns
    -------
    Matches

    Raises
    ------
    InputError
        If n_neighbors is below 1, or features are not finite.
    """
    if n_neighbors < 1:
        raise InputError(f"n_neighbors={n_neighbors}: give at least 1 match per batch")
    if not np.isfinite(features).all():
        raise InputError(f"features of {(~np.isfinite(features)).any(axis=1).sum()} cells are not finite")
    search = ExactSearch() if search is None else search
    units, pointing = unit_rows(features)
    takes_part = pointing & (batch >= 0)
    neighbors = []
    for code in range(int(batch.max(initial=-1)) + 1):
        here = np.flatnonzero(takes_part & (batch == code))
        elsewhere = np.flatnonzero(takes_part & (batch != code))
        found = search.build(units[here]).query(units[elsewhere], n_neighbors=min(n_neighbors, here.size))
        indices = np.full((batch.size, found.indices.shape[1]), -1, dtype=np.int64)
        distances = np.full(indices.shape, np.inf)
        indices[elsewhere] = here[found.indices] if here.size else -1
        distances[elsewhere] = found.distances
        neighbors.append(Neighbors(indices, distances))
    return Matches(weigh(tuple(neighbors), batch.size), tuple(neighbors))


def weigh(neighbors: tuple[Neighbors, ...], n_cells: int) -> sparse.csr_array:
    """Put the weights of all matches in one sparse matrix.

    Parameters
    ----------
    neighbors
        One per batch, rows and indices numbering cells.
    n_cells
        Number of cells.

    Returns
    -------
    (n_cells, n_cells) CSR, see `Matches`.
    """
    indices = np.hstack([np.empty((n_cells, 0), dtype=np.int64), *(found.indices for found in neighbors)])
    weights = match_weights(np.hstack([np.empty((n_cells, 0)), *(found.distances**2 for found in neighbors)]))
    present = indices >= 0
    rows = np.broadcast_to(np.arange(n_cells)[:, None], indices.shape)[present]
    return sparse.csr_array((weights[present], (rows, indices[present])), shape=(n_cells, n_cells))
