"""Whether batches are mixed: the share of a cell's neighbours that are of its own batch."""

import numpy as np

from unbatch._check import InputError
from unbatch._types import CodeArray, FloatArray
from unbatch.core.diagnostics.neighbors import neighbors_of_others


def same_batch_share(embedding: FloatArray, batch: CodeArray, *, n_neighbors: int = 15) -> float:
    """Take the mean share of each cell's nearest neighbours that come from its own batch.

    Parameters
    ----------
    embedding
        (n_cells, n_dims), compared by Euclidean distance.
    batch
        (n_cells,) codes; cells with a negative code are left out.
    n_neighbors
        Neighbours per cell, the cell itself not counted. More of them look at a wider surrounding, where batches differ
        by their composition alone.

    Returns
    -------
    From 0 to 1; `expected_same_batch_share` if batches are mixed at random, 1 if they are apart.

    Raises
    ------
    InputError
        With fewer than 2 cells, or n_neighbors below 1.
    """
    kept = batch >= 0
    points, codes = embedding[kept], batch[kept]
    if len(points) < 2 or n_neighbors < 1:  # noqa: PLR2004
        raise InputError(f"{len(points)} cells and {n_neighbors=}: at least 2 cells and 1 neighbour are needed")
    found = neighbors_of_others(points, n_neighbors=n_neighbors)
    return float((codes[found.indices] == codes[:, None]).mean())


def expected_same_batch_share(batch: CodeArray) -> float:
    r"""Take the share of same-batch neighbours if neighbours were drawn at random.

    .. math:: \sum_k \frac{n_k}{n} \frac{n_k - 1}{n - 1}

    Parameters
    ----------
    batch
        (n_cells,) codes; cells with a negative code are left out.

    Returns
    -------
    From 0 to 1.

    Raises
    ------
    InputError
        With fewer than 2 cells.
    """
    sizes = np.bincount(batch[batch >= 0]).astype(np.float64)
    n_cells = sizes.sum()
    if n_cells < 2:  # noqa: PLR2004
        raise InputError(f"{n_cells:.0f} cells have a batch: at least 2 are needed")
    return float((sizes * (sizes - 1)).sum() / (n_cells * (n_cells - 1)))
