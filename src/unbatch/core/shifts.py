"""What a batch does to some states only, and cells moved by it: one round of the embedding."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.embedding_states import find_states
from unbatch.core.kernels.shifts import move, weigh
from unbatch.core.parallel import in_ranges
from unbatch.core.shrinkage import shrink
from unbatch.core.state_moments import Moments, Side, Together, moments_of
from unbatch.core.transport import transport

_CELLS_PER_STATE = 40
_SMOOTHING, _GIVE_UP = 0.02, 0.5
"""Of transport, in units of the mean squared distance of cells from their mean."""
_MATCHED = (0.1, 0.3)
"""Share of a state's mass with counterparts, up to which it is not seen and from which it is trusted."""
_WIDTH = 0.3
"""Of a state, in units of the mean squared distance of cells from the nearest centre."""
_ROWS = 1024
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Shifts:
    """One round: where states are, and how far their cells are shifted.

    Attributes
    ----------
    centres
        (n_states, n_dims) centres of the states.
    level
        (n_states,) level whose cells the state is for.
    width
        Squared distance over which a cell's share in a state falls to 1/e.
    spread
        Mean squared distance of the cells of a batch from their mean in a state.
    target
        (n_states, n_dims) mean of the batches in the state, of the largest group of them; 0 in a state without any, and
        in a round that follows links (`find_linked_shifts`), by which no new batch is drawn.
    share
        (n_states,) share of a batch's cells of the level that are in the state, mean over those batches.
    shift
        (n_states, n_batches, n_dims), 0 for batches that stay.
    """

    centres: FloatArray
    level: CodeArray
    width: float
    spread: float
    target: FloatArray
    share: FloatArray
    shift: FloatArray

    def weights(self, where: FloatArray, level: CodeArray) -> FloatArray:
        """Share cells out to the states, (n_cells, n_states); rows sum to 1."""
        weights, centres = np.empty((len(where), len(self.centres))), np.ascontiguousarray(self.centres.T)

        def some(start: int, stop: int) -> None:
            weigh(where[start:stop], level[start:stop], centres, self.level, self.width, weights[start:stop])

        in_ranges(some, len(where), step=_ROWS)
        return weights

    def apply(self, where: FloatArray, batch: CodeArray, level: CodeArray) -> FloatArray:
        """Shift cells, (n_cells, n_dims). Neither blocks nor threads change a bit."""
        moved, centres = where.copy(), np.ascontiguousarray(self.centres.T)

        def some(start: int, stop: int) -> None:
            cells = slice(start, stop)
            weights = np.empty((stop - start, len(self.centres)))
            weigh(where[cells], level[cells], centres, self.level, self.width, weights)
            move(moved[cells], batch[cells], weights, self.shift)

        in_ranges(some, len(where), step=_ROWS)
        return moved

    def of_new_batch(self, where: FloatArray, level: CodeArray) -> FloatArray:
        """Find the shifts of a batch that was not there when these were found, (n_states, n_dims)."""
        batch = np.zeros(len(where), dtype=np.int32)
        moments = moments_of(where, batch, self.weights(where, level), levels=self.level, n_batches=1)
        shift = np.zeros_like(self.centres)
        for value in np.unique(self.level):
            states = np.flatnonzero(self.level == value)
            there = Side(self.target[states], self.share[states], np.zeros((len(states), where.shape[1])))
            shift[states] = _drawn(moments.of(states, 0), there, spread=self.spread)
        return shift


def find_shifts(
    where: FloatArray, *, batch: CodeArray, level: CodeArray, group: IntArray, keys: KeyArray, seed: int
) -> Shifts:
    """Group cells into states, and draw those of each batch to their counterparts among the others.

    Parameters
    ----------
    where
        Coordinates of the cells, (n_cells, n_dims).
    batch, level
        Batch and level of each cell, (n_cells,): batches are drawn together within levels only.
    group
        Group of each batch, (n_batches,): those of one group can be compared, those with -1 with none.
    keys
        What the random numbers of each cell follow from, (n_cells,): see `keys_of`.
    seed
        Start of the clustering.

    Returns
    -------
    Shifts
    """
    found, moments = _find(where, batch=batch, level=level, n_batches=len(group), keys=keys, seed=seed)
    levels = found.level
    for value in np.unique(levels):
        states = np.flatnonzero(levels == value)
        for batches in _groups(moments.share[states].sum(axis=0) > 0, group, batch):
            together = Together.of(moments, states=states, batches=batches)
            whole = together.average()
            found.target[states], found.share[states] = whole.mean, whole.share
            _draw_each(batches, states, moments, together, shift=found.shift)
    return found


def find_places(
    where: FloatArray, *, batch: CodeArray, level: CodeArray, n_batches: int, keys: KeyArray, seed: int
) -> tuple[Shifts, FloatArray, BoolArray]:
    """Find states that shift nothing yet, and where batches are in them.

    Parameters
    ----------
    where, batch, level, keys, seed
        See `find_shifts`.
    n_batches
        Number of batches.

    Returns
    -------
    shifts
        The states; no batch is shifted.
    places
        (n_states, n_batches, n_dims) mean of the cells of a batch that are in a state.
    here
        (n_states, n_batches) whether a batch has cells enough there.
    """
    found, moments = _find(where, batch=batch, level=level, n_batches=n_batches, keys=keys, seed=seed)
    return found, moments.mean, moments.share > 0


def _find(
    where: FloatArray, *, batch: CodeArray, level: CodeArray, n_batches: int, keys: KeyArray, seed: int
) -> tuple[Shifts, Moments]:
    """Find states that shift nothing yet, and where the cells of batches are in them."""
    centres, levels, squared = find_states(where, level, keys, cells_each=_CELLS_PER_STATE, seed=seed)
    nothing = np.zeros((len(centres), n_batches, where.shape[1]))
    found = Shifts(centres, levels, _WIDTH * squared, 0.0, np.zeros_like(centres), np.zeros(len(centres)), nothing)
    moments = moments_of(where, batch, found.weights(where, level), levels=levels, n_batches=n_batches)
    return replace(found, spread=moments.spread), moments


def _groups(here: BoolArray, group: IntArray, batch: CodeArray) -> Iterable[IntArray]:
    """Give the batches that are here and can be compared, those of each group on their own, most cells last."""
    present = np.flatnonzero(here & (group >= 0))
    cells = np.bincount(batch[batch >= 0], minlength=len(group)).astype(np.float64)
    size = np.bincount(group[present], cells[present])
    for number in np.argsort(size, kind="stable"):
        mine = present[group[present] == number]
        if mine.size:
            yield mine


def _draw_each(batches: IntArray, states: IntArray, moments: Moments, together: Together, *, shift: FloatArray) -> None:
    """Draw each batch to the others, as far as to the mean of all: writes to `shift`, (n_states, n_batches, n_dims)."""

    def one(at: int, _: int) -> None:
        own = moments.of(states, batches[at])
        drawn = _drawn(own, together.without(own).average(), spread=moments.spread)
        shift[states, batches[at]] = (1 - 1 / len(batches)) * drawn

    in_ranges(one, len(batches), step=1)


def _drawn(own: Side, others: Side, *, spread: float) -> FloatArray:
    """Draw the states of a batch to their counterparts among the others: shifts, (n_states, n_dims).

    What has no counterpart goes along with what is common to those that have one.
    """
    shift = np.zeros_like(own.mean)
    rows, columns = np.flatnonzero(own.share > 0), np.flatnonzero(others.share > 0)
    if not (rows.size and columns.size):
        return shift
    cost = np.square(own.mean[rows, None] - others.mean[columns]).sum(axis=2) / spread
    moved = transport(cost, own.share[rows], others.share[columns], smoothing=_SMOOTHING, give_up=_GIVE_UP)
    matched = moved.sum(axis=1)
    part = moved / np.maximum(matched, _TINY)[:, None]
    line = part @ others.mean[columns] - own.mean[rows]
    chance = own.chance[rows] + part**2 @ others.chance[columns]
    least, enough = _MATCHED
    trust = np.clip((matched / own.share[rows] - least) / (enough - least), 0.0, 1.0)
    displacement, common = shrink(line, chance, trust)
    shift[:] = common
    shift[rows] += trust[:, None] * (displacement - common)
    return shift
