"""Where the cells of batches are in states: of each batch, of all together, and of all but one."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import CodeArray, FloatArray, IntArray

_FEWEST_CELLS = 3.0
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: means of states, (n_states, n_dims), their shares, and the variances of the means."""

    mean: FloatArray
    share: FloatArray
    chance: FloatArray


@dataclass(frozen=True, eq=False)
class Moments:
    """Where the cells of batches are in states; arrays without a shape are (n_states, n_batches)."""

    mean: FloatArray
    """(n_states, n_batches, n_dims)"""
    share: FloatArray
    """Share of the cells of the batch in the level of the state that are in the state."""
    of_mean: FloatArray
    """Share of the variance of cells by which chance moves the mean; 0 with fewer than three of them."""
    variance: FloatArray
    """Of the cells of a state around the means of their batches, (n_states, n_dims)."""
    spread: float
    """Mean squared distance from the mean of the batch."""

    def of(self, states: IntArray, batch: int) -> Side:
        """Take one batch."""
        chance = self.of_mean[states, batch, None] * self.variance[states]
        return Side(self.mean[states, batch], self.share[states, batch], chance)


@dataclass(frozen=True, eq=False)
class Together:
    """Some batches added up, each of which counts the same, so that any of them can be taken out again."""

    number: int
    here: IntArray
    """How many of them have cells in a state, (n_states,)."""
    share: FloatArray
    mean: FloatArray
    """Weighted by the shares, (n_states, n_dims)."""
    chance: FloatArray
    """Weighted by their squares, (n_states, n_dims)."""

    @classmethod
    def of(cls, moments: Moments, *, states: IntArray, batches: IntArray) -> Self:
        """Add batches up."""
        shape = (len(states), moments.mean.shape[2])
        here, share = np.zeros(len(states), dtype=np.int64), np.zeros(len(states))
        mean, chance = np.zeros(shape), np.zeros(shape)
        for batch in batches:
            one = moments.of(states, batch)
            here += one.share > 0
            share += one.share
            mean += one.share[:, None] * one.mean
            chance += one.share[:, None] ** 2 * one.chance
        return cls(len(batches), here, share, mean, chance)

    def without(self, one: Side) -> Self:
        """Take a batch out."""
        share = one.share[:, None]
        return replace(
            self,
            number=self.number - 1,
            here=self.here - (one.share > 0),
            share=self.share - one.share,
            mean=self.mean - share * one.mean,
            chance=self.chance - share**2 * one.chance,
        )

    def average(self) -> Side:
        """Average them, where any is."""
        there = self.here > 0
        share = np.where(there, self.share, 0.0)
        total = np.where(there, self.share, np.inf)[:, None]
        return Side(self.mean / total, share / max(self.number, 1), np.maximum(self.chance, 0.0) / total**2)


def moments_of(
    where: FloatArray, batch: CodeArray, weights: FloatArray, *, levels: CodeArray, n_batches: int
) -> Moments:
    """Find where the cells of batches are in states.

    Parameters
    ----------
    where
        Coordinates of the cells, (n_cells, n_dims).
    batch
        Batch of each cell, (n_cells,); cells with a negative one count in none.
    weights
        Share of each cell in the states, (n_cells, n_states).
    levels
        Level of each state, (n_states,).
    n_batches
        Number of batches.

    Returns
    -------
    Moments
        A batch with the cells of fewer than three in a state has no share of it.
    """
    shape = (weights.shape[1], n_batches)
    cells, squared = np.zeros(shape), np.zeros(shape)
    mean, scatter = np.zeros((*shape, where.shape[1])), np.zeros((shape[0], where.shape[1]))
    for k in range(n_batches):
        mine = np.flatnonzero(batch == k)
        share, points = weights[mine].T, where[mine]
        cells[:, k], squared[:, k] = share.sum(axis=1), np.square(share).sum(axis=1)
        mean[:, k] = share @ points / np.maximum(cells[:, k, None], _TINY)
        scatter += share @ points**2 - cells[:, k, None] * mean[:, k] ** 2
    scatter = np.maximum(scatter, 0.0)
    variance = scatter / np.maximum(cells.sum(axis=1), _TINY)[:, None]
    enough = np.where(cells >= _FEWEST_CELLS, cells, 0.0)
    of_mean = np.where(enough > 0, squared / np.maximum(cells**2, _TINY), 0.0)
    share = np.zeros(shape)
    for value in np.unique(levels):
        states = levels == value
        share[states] = enough[states] / np.maximum(enough[states].sum(axis=0), _TINY)
    return Moments(
        mean=mean,
        share=share,
        of_mean=of_mean,
        variance=variance,
        spread=float(max(scatter.sum() / max(cells.sum(), _TINY), _TINY)),
    )
