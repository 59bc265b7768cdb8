"""Cells of a new batch that the reference has no counterparts of, though some state is their nearest."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray
from unbatch.core.clustering import k_means
from unbatch.core.convention import weighted_median
from unbatch.core.landmarks import Landmarks
from unbatch.core.partial import nearest_of

_CELLS_PER_GROUP, _MOST_GROUPS = 5, 16
_FEW = 3
_REACH = 1.5
"""How far the mean of a group may lie from its state, in units of the root mean square distance of single cells."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Cells of a new batch within each state, in a few groups, of which some are of a kind that the state has not.

    A kind of cells that the reference lacks need not stand out on its axes, which were found without it. So cells are
    compared on further axes too, on which those of the new batch differ.

    Attributes
    ----------
    own
        (n_genes, n_own) further axes.
    centres
        (n_groups, n_dims + n_own) mean coordinates.
    state
        (n_groups,) state of the cells.
    far
        (n_groups,) whether the group lies farther from the state than is usual for single cells of it.
    """

    own: FloatArray
    centres: FloatArray
    state: CodeArray
    far: BoolArray

    @classmethod
    def none(cls, landmarks: Landmarks) -> Self:
        """Have no groups."""
        n_dims = landmarks.centres.shape[1]
        own, nothing = np.zeros((len(landmarks.mean_logs), 0)), np.zeros(0, dtype=np.int32)
        return cls(own, np.zeros((0, n_dims)), nothing, nothing > 0)

    @classmethod
    def of(cls, where: FloatArray, state: CodeArray, *, own: FloatArray, landmarks: Landmarks, seed: int) -> Self:
        """Group the cells of each state and see which groups lie apart.

        Parameters
        ----------
        where
            Coordinates on the axes of the reference and the further ones, (n_cells, n_dims + n_own).
        state
            Nearest state of each cell, (n_cells,); -1 without one.
        own
            The further axes, (n_genes, n_own).
        landmarks
            The states.
        seed
            Start of the clustering.
        """
        n_dims = landmarks.centres.shape[1]
        group, states = _group(where, state, seed=seed)
        here = np.flatnonzero(group >= 0)
        if not here.size:
            return cls.none(landmarks)
        cells = np.bincount(group[here])
        centres = np.stack([np.bincount(group[here], column) for column in where[here].T], axis=1) / cells[:, None]
        middle = np.hstack([landmarks.centres, landmarks.mean_logs.T.astype(np.float64) @ own])
        line = centres - middle[states]
        for axis in range(n_dims, where.shape[1]):  # what all groups have in common is the error of the effects
            line[:, axis] -= weighted_median(line[:, axis], cells.astype(np.float64))
        residual = (where[here] - centres[group[here]])[:, n_dims:]
        beside = float((residual**2).sum()) / max(len(here) - len(cells), 1)
        radius2 = np.einsum("sdd->s", landmarks.spread)[states] + beside
        far = (line**2).sum(axis=1) > radius2 * (_REACH**2 + 1 / cells)
        return cls(own, centres, states, far & (cells >= _FEW))

    def apart(self, where: FloatArray, beside: FloatArray, state: CodeArray) -> BoolArray:
        """Tell which cells are of a group that lies apart, (n_cells,), given both parts of their coordinates."""
        if not self.far.any():
            return np.zeros(len(state), dtype=bool)
        found = nearest_of(np.hstack([where, beside]), state, self.centres, self.state)
        return np.asarray(np.append(self.far, False)[found])


def _group(where: FloatArray, state: CodeArray, *, seed: int) -> tuple[CodeArray, CodeArray]:
    """Group the cells of each state by k-means; give the group of each cell, -1 without one, and their states."""
    group, states = np.full(len(state), -1, dtype=np.int32), list[int]()
    for s in np.unique(state[state >= 0]).tolist():
        mine = np.flatnonzero(state == s)
        wanted = int(np.clip(len(mine) // _CELLS_PER_GROUP, 1, _MOST_GROUPS))
        code = k_means(where[mine], wanted, seed=seed) if wanted > 1 else np.zeros(len(mine), dtype=np.int32)
        names, compact = np.unique(code, return_inverse=True)
        group[mine] = len(states) + compact
        states += [s] * len(names)
    return group, np.array(states, dtype=np.int32)
