"""Which batches can be compared if cells are compared inside the levels of a condition only."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from unbatch._types import BoolArray, CodeArray, IntArray


@dataclass(frozen=True)
class Crossing:
    """Result of `cross`.

    Attributes
    ----------
    table
        (n_batches, n_levels) number of cells.
    occupied
        (n_batches, n_levels) bool, where enough cells are.
    group
        (n_batches,) batches with the same number can be compared, directly or through others; -1 for a batch that takes
        no part. Numbers run from 0 in the order of the batches.
    """

    table: IntArray
    occupied: BoolArray
    group: CodeArray

    @property
    def n_groups(self) -> int:
        """Number of groups; 1 if all batches can be compared."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def one_level_each(self) -> bool:
        """Whether every batch that takes part has a single level of the condition."""
        return bool((self.occupied[self.group >= 0].sum(axis=1) == 1).all())


def cross(
    batch: CodeArray, condition: CodeArray, *, n_batches: int, n_levels: int, active: BoolArray, min_cells: int = 2
) -> Crossing:
    """Tabulate batch x condition, and find the connected components of batches that share levels.

    Two batches are comparable if both have `min_cells` cells in the same level, or if a chain of such pairs joins them:
    contrasts add up along the chain. Batches in different components share nothing, and the effect of the batch
    cannot be told from that of the condition between them, whatever the method.

    Parameters
    ----------
    batch
        (n_cells,) codes from 0.
    condition
        (n_cells,) codes from 0.
    n_batches, n_levels
        Number of batches and levels.
    active
        (n_batches,) batches that take part.
    min_cells
        Cells that a batch must have in a level to be compared there. Larger values count fewer batches as comparable.

    Returns
    -------
    Crossing
    """
    table = np.zeros((n_batches, n_levels), dtype=np.int64)
    np.add.at(table, (batch, condition), 1)
    occupied = (table >= min_cells) & active[:, None]
    return Crossing(table, occupied, comparable(occupied, active))


def comparable(occupied: BoolArray, active: BoolArray | None = None) -> CodeArray:
    """Group batches that share levels, directly or through others.

    Parameters
    ----------
    occupied
        (n_batches, n_levels) whether the batch has enough cells in the level.
    active
        (n_batches,) batches that take part; None for those with a level.

    Returns
    -------
    (n_batches,) numbers from 0 in the order of the batches; -1 for those that take no part.
    """
    if active is None:
        active = np.asarray(occupied.any(axis=1))
    shared = sparse.csr_array(occupied.astype(np.int64))
    _, found = csgraph.connected_components(shared @ shared.T, directed=False)
    numbers = {component: number for number, component in enumerate(dict.fromkeys(found[active].tolist()))}
    return np.array([numbers[int(part)] if on else -1 for part, on in zip(found, active, strict=True)], dtype=np.int32)
