r"""The embedding that users take home: coordinates of adjusted counts, less what a batch does to some states only.

Effects that are the same in all states are divided out of the counts. What is left is taken out here, where cells of
several batches show it: in rounds of grouping all cells into states, and shifting the cells of each batch in a state
towards the mean of the batches in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray
from unbatch.core.clustering import k_means
from unbatch.core.kernels.shifts import move, weigh
from unbatch.core.log_counts import LogCounts
from unbatch.core.parallel import in_ranges
from unbatch.core.states import clear_of_control, state_basis

_ROUNDS = 5
_CELLS_PER_STATE = 40
_FEWEST_STATES, _MOST_STATES = 4, 60
_MOST_CELLS = 20_000
"""Cells by which states are found; of more, evenly spaced ones."""
_FEWEST_CELLS = 3.0
_N_GENES = 2000
_CALIPER = 2.5
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
    target
        (n_states, n_dims) mean of the batches in the state, of the largest group of them.
    met
        (n_states,) whether two batches meet in the state; without, its target means nothing.
    shift
        (n_states, n_batches, n_dims), 0 for batches that stay.
    """

    centres: FloatArray
    level: CodeArray
    width: float
    target: FloatArray
    met: BoolArray
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


@dataclass(frozen=True, eq=False)
class Embedding:
    r"""Axes, and rounds of shifts along them.

    .. math:: q \leftarrow q + \sum_s w_s(q)\, d_{s k}, \qquad
              w_s(q) \propto \exp(-\lVert q - c_s \rVert^2 / h)

    Attributes
    ----------
    basis
        (n_genes, n_dims) axes for the log counts of `LogCounts`.
    centre
        (n_genes,) log effect in the batch of the mean cell: effects are divided out relative to it.
    rounds
        The shifts, one after the other.
    """

    basis: FloatArray
    centre: FloatArray
    rounds: tuple[Shifts, ...]

    def apply(self, where: FloatArray, batch: CodeArray, level: CodeArray) -> FloatArray:
        """Take what is left of the batches out of coordinates along the axes.

        Parameters
        ----------
        where
            Coordinates, (n_cells, n_dims).
        batch
            Batch of each cell, (n_cells,); cells with any number that is no batch stay.
        level
            Level of each cell, (n_cells,).

        Returns
        -------
        (n_cells, n_dims)
        """
        for one in self.rounds:
            where = one.apply(where, batch, level)
        return where

    def of_new_batch(self, where: FloatArray, level: CodeArray) -> tuple[FloatArray, ...]:
        """Find the shifts of a batch that was not there when the embedding was found, which does not change.

        Cells are drawn to the mean of the batches in their state, or to the centre of a state in which no batches met,
        less where chance explains the distance, and not beyond the caliper.

        Parameters
        ----------
        where
            Coordinates along the axes of cells of the batch that have counterparts, (n_cells, n_dims).
        level
            Level of each cell, (n_cells,).

        Returns
        -------
        One (n_states, n_dims) for each round.
        """
        batch, shifts = np.zeros(len(where), dtype=np.int32), list[FloatArray]()
        with threadpool_limits(limits=1):  # with more, the order of sums is that of the threads
            for one in self.rounds:
                effective, mean, variance = _moments(where, batch, one.weights(where, level), n_batches=1)
                target = np.where(one.met[:, None], one.target, one.centres)
                shift = np.zeros_like(target)
                for state in np.flatnonzero(effective[:, 0] > 0):
                    line, chance = target[state] - mean[state], variance[state].sum() / effective[state]
                    shift[state] = _shrunk(line, chance=chance, variance=variance[state])[0]
                shifts.append(shift)
                where = replace(one, shift=shift[:, None]).apply(where, batch, level)
        return tuple(shifts)

    def with_shifts(self, shifts: Sequence[Sequence[FloatArray]]) -> Self:
        """Put other batches in the place of these, given the shifts of each by round, (n_states, n_dims)."""
        rounds = (replace(one, shift=np.stack(own, axis=1)) for one, own in zip(self.rounds, shifts, strict=True))
        return replace(self, rounds=tuple(rounds))

    def among_batches(self, used: IntArray, n_batches: int) -> Self:
        """Give the batches their numbers `used` among all; the others stay where they are."""
        rounds = []
        for one in self.rounds:
            shift = np.zeros((len(one.centres), n_batches, one.centres.shape[1]))
            shift[:, used] = one.shift
            rounds.append(replace(one, shift=shift))
        return replace(self, rounds=tuple(rounds))


def mean_effect(log_delta: FloatArray, *, sizes: IntArray, known: BoolArray) -> FloatArray:
    """Average log effects over cells: unlike their mean over batches, it stays when a batch is split in two.

    Parameters
    ----------
    log_delta
        Log effects, (n_genes, n_batches).
    sizes
        Cells of each batch, (n_batches,).
    known
        Where the effect is known, (n_genes, n_batches).

    Returns
    -------
    (n_genes,), 0 where nothing is known.
    """
    weights = known * sizes.astype(np.float64)
    return np.asarray((weights * log_delta).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0))


def find_embedding(
    logs: LogCounts,
    *,
    centre: FloatArray,
    level: CodeArray,
    group: IntArray,
    genes: BoolArray,
    n_dims: int,
    seed: int,
    control_genes: BoolArray | None = None,
) -> Embedding:
    r"""Find axes and shifts for cells whose effects are divided out.

    The axes are the pooled within-batch principal axes of log adjusted counts, over the genes that vary most within
    batches. In each round cells are grouped by k-means and shared out to the groups; with m the mean of the positions
    of a batch's cells in a group, its shift is

    .. math:: d_{sk} = f_{sk} (\bar m_s - m_{sk}), \qquad
              f_{sk} = \max(0, 1 - v_{sk} / \lVert \bar m_s - m_{sk} \rVert^2)

    where v is the squared length that chance alone gives to the difference (positive-part James-Stein shrinkage: James
    and Stein 1961; Efron and Morris 1973), so that batches which differ by nothing stay. A batch further than 2.5
    standard deviations of its cells from the mean of the others is not shifted: it holds another type of cell.

    Parameters
    ----------
    logs
        Log counts of the cells.
    centre
        What the effects that were divided out are relative to, (n_genes,): see `mean_effect`.
    level
        Level of each cell, (n_cells,): batches are drawn together within levels only.
    group
        Group of each batch, (n_batches,): those of one group can be compared, those with -1 with none.
    genes
        Genes that may take part, (n_genes,).
    n_dims
        Number of axes.
    seed
        Start of the clustering.
    control_genes
        Genes known to carry technical variation only, (n_genes,): what they predict is taken out of the axes.

    Returns
    -------
    Embedding
    """
    with threadpool_limits(limits=1):  # with more, the order of sums is that of the threads
        basis = state_basis(logs, batch=logs.batch, genes=genes, n_dims=n_dims, n_genes=_N_GENES)
        if not basis.any():
            return Embedding(basis, centre, ())
        if control_genes is not None:
            basis = clear_of_control(basis, logs, batch=logs.batch, control_genes=control_genes & genes)
        where, rounds = logs.project(basis), []
        for number in range(_ROUNDS):
            rounds.append(_shifts(where, batch=logs.batch, level=level, group=group, seed=seed + number))
            where = rounds[-1].apply(where, logs.batch, level)
    return Embedding(basis, centre, tuple(rounds))


def _shifts(where: FloatArray, *, batch: CodeArray, level: CodeArray, group: IntArray, seed: int) -> Shifts:
    centres, centre_level, width = _states(where, level, seed=seed)
    nothing = np.zeros((len(centres), len(group), where.shape[1]))
    met = np.zeros(len(centres), dtype=bool)
    found = Shifts(centres, centre_level, width, np.zeros_like(centres), met, nothing)
    weights = found.weights(where, level)
    effective, mean, variance = _moments(where, batch, weights, n_batches=len(group))
    for state, batches in _together(effective, group):
        at = (state, batches)
        target = mean[at].mean(axis=0)
        found.shift[at] = _towards(target, mean[at], effective=effective[at], variance=variance[state])
        found.target[state], found.met[state] = target, True
    return found


def _states(where: FloatArray, level: CodeArray, *, seed: int) -> tuple[FloatArray, CodeArray, float]:
    """Find centres within each level, their levels, and the mean squared distance of cells from the nearest one."""
    every = -(-len(where) // _MOST_CELLS)
    points, level = where[::every], level[::every]
    wanted = np.clip(len(where) // _CELLS_PER_STATE, _FEWEST_STATES, _MOST_STATES)
    centres, levels, squares = [], [], 0.0
    for value in np.unique(level):
        mine = points[level == value]
        code = k_means(mine, max(1, min(round(wanted * len(mine) / len(points)), len(mine))), seed=seed)
        compact = np.unique(code, return_inverse=True)[1]
        cells = np.bincount(compact)
        means = np.stack([np.bincount(compact, column) for column in mine.T], axis=1) / cells[:, None]
        squares += float(np.square(mine - means[compact]).sum())
        centres.append(means)
        levels.append(np.full(len(means), value, dtype=np.int32))
    return np.concatenate(centres), np.concatenate(levels), max(squares / len(points), _TINY)


def _moments(
    where: FloatArray, batch: CodeArray, weights: FloatArray, *, n_batches: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Effective cells and mean of each batch in each state, and the variances within batches, (n_states, n_dims)."""
    shape = (weights.shape[1], n_batches)
    cells, squared = np.zeros(shape), np.zeros(shape)
    mean, scatter = np.zeros((*shape, where.shape[1])), np.zeros((shape[0], where.shape[1]))
    for k in range(n_batches):
        mine = np.flatnonzero(batch == k)
        share, points = weights[mine].T, where[mine]
        cells[:, k], squared[:, k] = share.sum(axis=1), np.square(share).sum(axis=1)
        mean[:, k] = share @ points / np.maximum(cells[:, k, None], _TINY)
        scatter += share @ points**2 - cells[:, k, None] * mean[:, k] ** 2
    enough = cells >= _FEWEST_CELLS
    effective = np.where(enough, cells**2 / np.maximum(squared, _TINY), 0.0)
    variance = np.maximum(scatter, 0.0) / np.maximum(cells.sum(axis=1), _TINY)[:, None]
    return effective, mean, variance


def _together(effective: FloatArray, group: IntArray) -> Iterable[tuple[int, IntArray]]:
    """Give the batches that meet in each state, those of each group on their own, the largest group last."""
    for state, here in enumerate(effective):
        present = np.flatnonzero((here > 0) & (group >= 0))
        size = np.bincount(group[present], here[present])
        for number in np.argsort(size, kind="stable"):
            mine = present[group[present] == number]
            if len(mine) > 1:
                yield state, mine


def _towards(target: FloatArray, mean: FloatArray, *, effective: FloatArray, variance: FloatArray) -> FloatArray:
    """Shift batches, (n_present, n_dims), towards the target: less where chance explains it, not beyond the caliper."""
    n, one_over = len(mean), 1 / effective
    chance = ((1 - 1 / n) ** 2 * one_over + (one_over.sum() - one_over) / n**2) * variance.sum()
    return _shrunk(target - mean, chance=chance, variance=variance, share=1 - 1 / n)


def _shrunk(line: FloatArray, *, chance: FloatArray, variance: FloatArray, share: float = 1.0) -> FloatArray:
    """Shorten lines, (n, n_dims), by what chance explains of their squared length; to nothing beyond the caliper.

    The caliper is for the distance from the other batches, of which the line is a share.
    """
    length2 = np.maximum((line**2).sum(axis=1), _TINY)
    along = line**2 @ variance / length2
    far = length2 > (_CALIPER * share) ** 2 * along
    return np.asarray(np.where(far, 0.0, np.maximum(1 - chance / length2, 0.0))[:, None] * line)
