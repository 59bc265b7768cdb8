"""Shifts from linked pseudobulks: what a batch does to its states, told before states are found across batches."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import cdist

from unbatch._types import CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.shifts import Shifts, find_places

_REACH = 2.0
"""How far a state may be from the nearest linked pseudobulk of its batch, in units of the radius of pseudobulks."""
_LEAST = 1e-12
"""Squared radius of pseudobulks whose cells do not differ."""


@dataclass(frozen=True, eq=False)
class LinkedPseudobulks:
    """Pseudobulks of each batch, and which of them are counterparts.

    Attributes
    ----------
    code
        Pseudobulk of each cell, (n_cells,).
    batch, level
        Of each pseudobulk, (n_pseudobulks,).
    pairs
        (n_pairs, 2) pseudobulks of two batches that are linked.
    """

    code: CodeArray
    batch: CodeArray
    level: CodeArray
    pairs: IntArray


def find_linked_shifts(
    where: FloatArray,
    linked: LinkedPseudobulks,
    *,
    batch: CodeArray,
    level: CodeArray,
    group: IntArray,
    keys: KeyArray,
    seed: int,
) -> Shifts:
    r"""Draw the cells of each batch as far as its linked pseudobulks are from their counterparts.

    With m the mean coordinates of pseudobulks, :math:`d_p` the mean of :math:`m_q - m_p` over the counterparts q of p,
    and r the root mean square distance of the cells of a batch from the mean of their pseudobulk, cells of batch k in
    state s, at :math:`m_{sk}`, are shifted by

    .. math:: \left(1 - \tfrac 1 K\right) \sum_p w_p d_p, \qquad
              w_p \propto n_p \exp(-\lVert m_{sk} - m_p \rVert^2 / r^2),

    over the pseudobulks of the batch with :math:`n_p > 0` counterparts, K being the number of batches of its group.
    States farther than 2 r from all of these go along with what is common to them.

    Mutual nearest pseudobulks are counterparts even where a batch moves each type of cells farther than its cells lie
    apart, so that states of all cells are of one batch each, out of the reach of `find_shifts`.

    Parameters
    ----------
    where, batch, level, group, keys, seed
        See `find_shifts`.
    linked
        The links; those between groups are not used.

    Returns
    -------
    Shifts
    """
    found, places, here = find_places(where, batch=batch, level=level, n_batches=len(group), keys=keys, seed=seed)
    means, shift = _means(where, linked), found.shift
    squared = np.square(where - means[linked.code]).sum(axis=1)
    pairs = linked.pairs
    same = group[linked.batch[pairs[:, 0]]] == group[linked.batch[pairs[:, 1]]]
    way, partners = np.zeros_like(means), np.zeros(len(means))
    for own, other in (pairs[same].T, pairs[same].T[::-1]):
        np.add.at(way, own, means[other] - means[own])
        np.add.at(partners, own, 1)
    way /= np.maximum(partners, 1)[:, None]
    for value in np.unique(found.level):
        states = np.flatnonzero(found.level == value)
        for k in np.flatnonzero(group >= 0):
            told = np.flatnonzero((linked.batch == k) & (linked.level == value) & (partners > 0))
            if told.size:
                radius2 = max(float(squared[(batch == k) & (level == value)].mean()), _LEAST)
                distance2 = cdist(places[states, k], means[told], "sqeuclidean") / radius2
                near = here[states, k] & (distance2.min(axis=1) <= _REACH**2)
                weights = partners[told] * np.exp(distance2.min(axis=1, keepdims=True) - distance2)
                weights = np.where(near[:, None], weights, partners[told])
                part = 1 - 1 / int((group == group[k]).sum())
                shift[states, k] = part * (weights @ way[told]) / weights.sum(axis=1, keepdims=True)
    return replace(found, shift=shift)


def _means(where: FloatArray, linked: LinkedPseudobulks) -> FloatArray:
    cells = np.bincount(linked.code, minlength=len(linked.batch))
    sums = np.stack([np.bincount(linked.code, axis, len(linked.batch)) for axis in where.T], axis=1)
    return np.asarray(sums / np.maximum(cells, 1)[:, None])
