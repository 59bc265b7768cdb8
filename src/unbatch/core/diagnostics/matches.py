"""Distances to the nearest cells of each batch, and to which batches the nearest of all belong."""

from dataclasses import dataclass

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.kernels.nearest import kth_least
from unbatch.core.matching import ExactSearch
from unbatch.core.parallel import in_ranges

_ROWS = 256
_FLOOR_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class Matches:
    """Result of `find_matches`.

    Attributes
    ----------
    shares
        (n_cells, n_batches) share of a cell's nearest neighbours that are of each batch; 0 without neighbours.
    nearest
        (n_cells, n_batches) distance to the nearest other cell of each batch; inf where there is none.
    """

    shares: FloatArray
    nearest: FloatArray

    def same(self, batch: CodeArray) -> FloatArray:
        """Share of a cell's nearest neighbours that are of its own batch, (n_cells,)."""
        return np.asarray(self.shares[np.arange(len(batch)), batch])

    def ratios(self, batch: CodeArray) -> FloatArray:
        """Distance to the nearest cell of each batch over that in the own one, (n_cells, n_batches).

        1 where batches are mixed, and in the column of the own batch; large where the other batch has no cell like this
        one; 0 for batches without cells. A cell alone in its batch takes the distance that is usual for cells of other
        batches.
        """
        rows = np.arange(len(batch))
        own = self.nearest[rows, batch]
        known = np.isfinite(own)
        usual = float(np.median(own[known])) if known.any() else 1.0
        own = np.where(known, own, usual)
        positive = own[own > 0]
        floor = _FLOOR_SHARE * float(np.median(positive)) if positive.size else 1.0
        there = np.where(np.isfinite(self.nearest), self.nearest, -floor)
        ratio = (there + floor) / (own + floor)[:, None]
        ratio[rows, batch] = 1.0
        return np.asarray(ratio)


def find_matches(
    points: FloatArray | Float32Array, batch: CodeArray, *, n_batches: int, n_neighbors: int = 15
) -> Matches:
    """Compare each cell with all others.

    Parameters
    ----------
    points
        (n_cells, n_dims), compared by Euclidean distance.
    batch
        (n_cells,) codes from 0.
    n_batches
        Number of batches.
    n_neighbors
        Neighbours among which those of each batch are counted, and those that are as near as the last; of fewer
        cells, all. More of them look at a wider
        surrounding.

    Returns
    -------
    Matches
        The same bits for any number of threads.
    """
    order = np.argsort(batch, kind="stable")
    sorted_batch = batch[order]
    here, starts = np.unique(sorted_batch, return_index=True)
    centred = np.asarray(points, dtype=np.float64)[order]
    centred = centred - centred.mean(axis=0)
    length2, n_cells = np.square(centred).sum(axis=1), len(batch)
    k = min(n_neighbors, n_cells - 1)
    shares, nearest = np.zeros((n_cells, n_batches)), np.full((n_cells, n_batches), np.inf)

    def some(start: int, stop: int) -> None:
        distance2 = length2[start:stop, None] + length2 - 2 * (centred[start:stop] @ centred.T)
        np.maximum(distance2, 0.0, out=distance2)
        distance2[np.arange(stop - start), np.arange(start, stop)] = np.inf
        nearest[np.ix_(order[start:stop], here)] = np.sqrt(np.minimum.reduceat(distance2, starts, axis=1))
        if k > 0:
            farthest = np.empty(stop - start)
            kth_least(distance2, np.empty(k), farthest)
            near = distance2 <= farthest[:, None]
            by_batch = np.add.reduceat(near, starts, axis=1, dtype=np.int64)
            shares[np.ix_(order[start:stop], here)] = by_batch / by_batch.sum(axis=1, keepdims=True)

    with one_thread():
        in_ranges(some, n_cells, step=_ROWS)
    return Matches(shares, nearest)


def expected_same(batch: CodeArray, state: CodeArray) -> FloatArray:
    r"""Share of the own batch among a cell's neighbours if batches were mixed at random within states, (n_cells,).

    .. math:: (n_{s k} - 1) / (n_s - 1)

    A cell without a state, or alone in it, is compared with all cells.

    Parameters
    ----------
    batch
        (n_cells,) codes from 0.
    state
        (n_cells,) codes from 0, or -1.

    Returns
    -------
    From 0 to 1.
    """
    n_batches = int(batch.max(initial=0)) + 1
    sizes = np.bincount(batch, minlength=n_batches)
    overall = (sizes[batch] - 1) / max(len(batch) - 1, 1)
    group = np.where(state >= 0, state, 0).astype(np.int64) * n_batches + batch
    pairs = np.bincount(group[state >= 0], minlength=int(group.max(initial=0)) + 1)
    of_state = np.bincount(state[state >= 0], minlength=int(state.max(initial=0)) + 1)
    own, others = pairs[group] - 1, of_state[np.maximum(state, 0)] - 1
    return np.asarray(np.where((state >= 0) & (others > 0), own / np.maximum(others, 1), overall), dtype=np.float64)


def share_elsewhere(shares: FloatArray, batch: CodeArray, state: CodeArray) -> FloatArray:
    r"""Share of a cell's batch among the neighbours of the cells of other batches in its state, (n_cells,).

    .. math:: \frac{n_{s k} - 1}{n_{s k}} \operatorname*{mean}_{i \in s,\ k(i) \ne k} p_{i k}

    Where batches are mixed, it is what the cell's own share is too, whatever the density of cells: those that were
    counted deeply have less noise, lie closer together, and are neighbours of everybody. The factor is due to the cell,
    which is none of its own neighbours. A cell without a state, or with none of another batch in it, is compared with
    the cells of all states.

    Parameters
    ----------
    shares
        (n_cells, n_batches) p, the share of each batch among the neighbours of a cell.
    batch
        (n_cells,) codes from 0.
    state
        (n_cells,) codes from 0, or -1.

    Returns
    -------
    From 0 to 1.
    """
    n_batches = shares.shape[1]
    own = shares[np.arange(len(batch)), batch]

    def beside(group: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
        """Cells of the own batch and of others in the group of each cell, and the mean share among those of others."""
        n_groups = int(group.max(initial=0)) + 1
        pair = group * n_batches + batch
        total = np.zeros((n_groups, n_batches))
        np.add.at(total, group, shares)
        mine = np.bincount(pair, minlength=n_groups * n_batches)[pair]
        others = np.bincount(group, minlength=n_groups)[group] - mine
        of_others = total[group, batch] - np.bincount(pair, own, n_groups * n_batches)[pair]
        return mine, others, of_others / np.maximum(others, 1)

    mine, others, mean = beside(np.where(state >= 0, state, int(state.max(initial=0)) + 1).astype(np.int64))
    mine_of_all, _, mean_of_all = beside(np.zeros(len(batch), dtype=np.int64))
    compared = (state >= 0) & (others > 0)
    mine, mean = np.where(compared, mine, mine_of_all), np.where(compared, mean, mean_of_all)
    return np.asarray((mine - 1) / mine * mean)


def share_among_neighbors(
    points: FloatArray | Float32Array, *, asked: BoolArray, counted: BoolArray, n_neighbors: int = 15
) -> float:
    """Take the mean share of some cells among the nearest neighbours of others.

    Parameters
    ----------
    points
        (n_cells, n_dims), compared by Euclidean distance.
    asked
        (n_cells,) whose neighbours are looked at.
    counted
        (n_cells,) which of these are counted.
    n_neighbors
        Neighbours per cell, the cell itself not counted. More of them look at a wider surrounding.

    Returns
    -------
    From 0 to 1; 0 if no cell is asked for.
    """
    queries = np.flatnonzero(asked)
    if not queries.size or len(points) < 2:  # noqa: PLR2004
        return 0.0
    every = np.asarray(points, dtype=np.float64)
    found = ExactSearch().build(every).query(every[queries], n_neighbors=n_neighbors + 1).indices
    other = found != queries[:, None]
    other[other.all(axis=1), -1] = False
    return float((counted[found] & other).sum() / other.sum())
