"""Whether batches share cell states at all."""

from dataclasses import dataclass

import numpy as np

from unbatch._check import InputError
from unbatch._types import CodeArray, FloatArray
from unbatch.core.diagnostics.neighbors import neighbors_of_others
from unbatch.core.matching import ExactSearch, unit_rows


@dataclass(frozen=True)
class Overlap:
    """Result of `overlap`.

    Attributes
    ----------
    cell
        (n_cells,) from 0 to 1, the share of the other batches that hold a cell of the same state; 0 for a cell that
        takes no part.
    support
        (n_batches, n_batches) the share of the cells of the row's batch that have a cell of the same state in the
        column's batch; 1 on the diagonal, 0 for a batch without cells.
    """

    cell: FloatArray
    support: FloatArray


def overlap(features: FloatArray, batch: CodeArray, *, n_neighbors: int = 10, caliper: float = 1.5) -> Overlap:
    r"""Ask of each cell and each other batch whether that batch holds a cell of the same state.

    It does if its nearest cell, by angle, lies within ``caliper`` times the distance of the cell's own n_neighbors-th
    neighbour in its own batch: what passes for "near" is measured where the cell lives. This checks the overlap that
    the method assumes, :math:`0 < p(X_{kj} = 1 \mid Q) < 1`.

    Parameters
    ----------
    features
        (n_cells, n_dims) batch-free features; only their direction counts. A cell whose features are all zero takes no
        part.
    batch
        (n_cells,) codes from 0. A cell with a negative code takes no part.
    n_neighbors
        Rank of the own neighbour that sets the scale. A higher rank gives a wider, steadier scale and more overlap; in
        a batch with fewer cells the farthest one is used. A cell alone in its batch has no scale, and overlap 0.
    caliper
        Factor on that distance. A larger one calls cells the same state that lie farther apart.

    Returns
    -------
    Overlap

    Raises
    ------
    InputError
        If n_neighbors is below 1, or caliper is not positive.
    """
    if n_neighbors < 1 or not caliper > 0:
        raise InputError(f"{n_neighbors=} and {caliper=}: give at least 1 neighbour and a positive caliper")
    n_batches = int(batch.max(initial=-1)) + 1
    units, pointing = unit_rows(features)
    members = [np.flatnonzero(pointing & (batch == code)) for code in range(n_batches)]
    reach = np.full(batch.size, -1.0)
    for own in members:
        if own.size > 1:
            reach[own] = caliper * neighbors_of_others(units[own], n_neighbors=n_neighbors).distances[:, -1]
    shared = np.zeros((batch.size, n_batches))
    for code, there in enumerate(members):
        elsewhere = np.flatnonzero(pointing & (batch >= 0) & (batch != code))
        if there.size:
            nearest = ExactSearch().build(units[there]).query(units[elsewhere], n_neighbors=1).distances[:, 0]
            shared[elsewhere, code] = nearest <= reach[elsewhere]
    n_others = max(sum(there.size > 0 for there in members) - 1, 1)
    support = np.eye(n_batches) * [float(own.size > 0) for own in members]
    for code, own in enumerate(members):
        if own.size:
            support[code] += shared[own].mean(axis=0)
    return Overlap(shared.sum(axis=1) / n_others, support)
