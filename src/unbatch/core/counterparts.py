"""How many cells have counterparts in other batches, and whether it helps to draw cells together."""

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray
from unbatch.core.states import States

GAINED = 0.1
"""What must be won for cells to be drawn together, of the cells of a batch with counterparts or of what is told."""
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
