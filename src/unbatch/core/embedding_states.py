"""Cells grouped by where they are in the embedding: the states by which it is mended."""

import numpy as np

from unbatch._types import CodeArray, FloatArray, KeyArray
from unbatch.core.clustering import k_means
from unbatch.core.keyed import evenly

_FEWEST_STATES, _MOST_STATES = 4, 60
_MOST_CELLS = 20_000
"""Cells by which states are found; of more, so many drawn by their keys."""
_TINY = 1e-12


def find_states(
    where: FloatArray, level: CodeArray, keys: KeyArray, *, cells_each: int, seed: int
) -> tuple[FloatArray, CodeArray, float]:
    """Group cells by k-means within each level, into 4 to 60 states in all.

    Parameters
    ----------
    where
        Coordinates of the cells, (n_cells, n_dims).
    level
        Level of each cell, (n_cells,).
    keys
        What the random numbers of each cell follow from, (n_cells,): see `keys_of`.
    cells_each
        Cells for each of which there is a state, within these limits.
    seed
        Start of the clustering.

    Returns
    -------
    centres
        (n_states, n_dims) means of the states.
    levels
        (n_states,) level of each.
    squared
        Mean squared distance of cells from the centre of their state.
    """
    some = evenly(keys, _MOST_CELLS)
    points, level, keys = where[some], level[some], keys[some]
    wanted = np.clip(len(where) // cells_each, _FEWEST_STATES, _MOST_STATES)
    centres, levels, squares = [], [], 0.0
    for value in np.unique(level):
        here = level == value
        mine = points[here]
        n_states = max(1, min(round(wanted * len(mine) / len(points)), len(mine)))
        code = k_means(mine, n_states, keys=keys[here], seed=seed)
        compact = np.unique(code, return_inverse=True)[1]
        cells = np.bincount(compact)
        means = np.stack([np.bincount(compact, column) for column in mine.T], axis=1) / cells[:, None]
        squares += float(np.square(mine - means[compact]).sum())
        centres.append(means)
        levels.append(np.full(len(means), value, dtype=np.int32))
    return np.concatenate(centres), np.concatenate(levels), max(squares / len(points), _TINY)
