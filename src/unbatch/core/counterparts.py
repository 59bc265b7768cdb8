"""How many cells have counterparts in other batches, and whether it helps to draw cells together."""

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray
from unbatch.core.states import States

GAINED = 0.1
"""What must be won for cells to be drawn together, of the cells of a batch with counterparts or of what is told."""
SHOWN = 1 / 3
"""Least share of the way of cells that states must show for them to be drawn."""
_TINY = 1e-300


def comparable(here: BoolArray) -> BoolArray:
    """Leave out states that a single batch has, (n_states, n_batches)."""
    return np.asarray(here & (here.sum(axis=1, keepdims=True) > 1))


def with_counterparts(states: States, batch: CodeArray, *, n_batches: int) -> FloatArray:
    """Find the share of the cells of each batch whose state others have too, (n_batches,)."""
    cells = np.zeros((states.n_states, n_batches))
    np.add.at(cells, (states.code, batch), 1)
    shared = (cells * comparable((cells > 0) & ~states.apart)).sum(axis=0)
    return np.asarray(shared / np.maximum(cells.sum(axis=0), 1))


def may_regain(shared: FloatArray) -> BoolArray:
    """Tell which batches share something, but a tenth or more of their cells nothing, (n_batches,)."""
    return np.asarray((shared > 0) & (shared <= 1 - GAINED))


def regained(before: FloatArray, after: FloatArray) -> bool:
    """Tell whether cells have found counterparts again, given the share of each batch that has some, (n_batches,).

    None may lose as much as another has to gain, and a batch that shared nothing stays refused: links of few
    pseudobulks find counterparts for all its cells.
    """
    gains = (may_regain(before) & (after >= before + GAINED)).any() and after.mean() >= before.mean()
    loses = (after <= before - GAINED).any()
    invents = ((before == 0) & (after > 0)).any()
    return bool(gains and not loses and not invents)


def common_share(moved: FloatArray, batch: CodeArray, *, n_batches: int) -> float:
    """Find the share of how far cells are moved, squared, that all cells of a batch have in common."""
    cells = np.maximum(np.bincount(batch, minlength=n_batches), 1)
    sums = np.stack([np.bincount(batch, axis, n_batches) for axis in moved.T])
    return float((sums**2 / cells).sum() / max(np.square(moved).sum(), _TINY))


def visible_share(where: FloatArray, moved: FloatArray, states: States, batch: CodeArray, *, n_batches: int) -> float:
    r"""Find how much of what lies between batches, by how far their cells are moved, is to be seen inside states.

    .. math:: \rho = \frac{\sum_{sk} w_{sk}\, d_{sk} \cdot v_{sk} + m^2}{\sum_{sk} w_{sk} \lVert v_{sk} \rVert^2 + m^2},
              \qquad w_{sk} = \frac{n_{sk} r_{sk}}{n_{sk} + r_{sk}}

    where d is the difference of the mean coordinates of the n cells of batch k in state s from those of the r cells of
    other batches there, v what moving them takes off that difference, and m the root mean square way of a cell. If
    batches are displaced, cells that happen to share a state are so, too, towards the rest of their batch. If one batch
    has many cells of one type and few of another, and another batch the reverse, cells of the same type lie in the same
    place, and moving the many of the one onto the many of the other is a way that no state shows.

    Parameters
    ----------
    where, moved
        Coordinates of the cells, (n_cells, n_dims), and where they would be moved.
    states
        States of the cells as they are.
    batch
        Batch of each cell, (n_cells,).
    n_batches
        Number of batches.

    Returns
    -------
    About 1 if all is seen, or no state has two batches, and 0 if nothing is.
    """
    shape = (states.n_states, n_batches)
    group = states.code.astype(np.int64) * n_batches + batch
    cells = np.bincount(group, minlength=states.n_states * n_batches).reshape(shape) * ~states.apart
    others = cells.sum(axis=1, keepdims=True) - cells
    weight = cells * others / np.maximum(cells + others, 1)

    def differences(values: FloatArray) -> FloatArray:
        sums = np.stack([np.bincount(group, axis, cells.size) for axis in values.T], axis=1).reshape(*shape, -1)
        sums *= ~states.apart[:, :, None]
        rest = sums.sum(axis=1, keepdims=True) - sums
        return np.asarray(sums / np.maximum(cells, 1)[..., None] - rest / np.maximum(others, 1)[..., None])

    way, of_a_cell = -differences(moved - where), max(float(np.square(moved - where).sum(axis=1).mean()), _TINY)
    seen, whole = (weight[..., None] * differences(where) * way).sum(), (weight[..., None] * way**2).sum()
    return float((seen + of_a_cell) / (whole + of_a_cell))
