"""Nearest neighbours of cells among all others."""

import numpy as np

from unbatch._types import FloatArray
from unbatch.core.matching import ExactSearch, Neighbors


def neighbors_of_others(points: FloatArray, *, n_neighbors: int) -> Neighbors:
    """Find the nearest neighbours of each point among the others, nearest first."""
    # one neighbour more than asked, then the point itself taken out: it need not come first among its duplicates
    found = ExactSearch().build(points).query(points, n_neighbors=n_neighbors + 1)
    n_points, k = found.indices.shape
    itself = found.indices == np.arange(n_points)[:, None]
    itself[~itself.any(axis=1), -1] = True
    return Neighbors(found.indices[~itself].reshape(n_points, k - 1), found.distances[~itself].reshape(n_points, k - 1))
