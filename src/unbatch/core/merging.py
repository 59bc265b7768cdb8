"""States that counts hardly tell apart, made one: from all states down to a few."""

import numpy as np
from scipy import special

from unbatch._types import CodeArray, FloatArray, IntArray


def merged(sums: FloatArray, level: CodeArray) -> dict[int, IntArray]:
    r"""Merge states two by two, each time those whose counts lose least of their likelihood by it.

    If the counts :math:`Y_{gs}` of each state are multinomial with probabilities of their own, their log-likelihood at
    its largest is :math:`\sum_s H(Y_s)`, :math:`H(y) = \sum_g y_g \log (y_g / \sum_i y_i)`, and a merger costs
    :math:`H(Y_s) + H(Y_t) - H(Y_s + Y_t)`: the agglomerative information bottleneck (Slonim and Tishby 1999, NIPS 12).

    Parameters
    ----------
    sums
        Counts without batch effects, (n_genes, n_states).
    level
        Level of the cells of each state, (n_states,): states of different levels are never merged.

    Returns
    -------
    By the number of groups, from one for each level to n_states: the group of each state, (n_states,), from 0 on.
    """
    n_states = sums.shape[1]
    label, found = np.arange(n_states), {n_states: np.arange(n_states)}
    counts, own = sums.T.copy(), _likelihood(sums.T)
    loss = np.full((n_states, n_states), np.inf)
    for s in range(n_states):
        _weigh(loss, s, counts, own, level)
    while np.isfinite(loss).any():
        kept, gone = np.unravel_index(int(loss.argmin()), loss.shape)
        label[label == label[gone]] = label[kept]
        counts[kept] += counts[gone]
        own[kept] = _likelihood(counts[kept])
        loss[gone], loss[:, gone] = np.inf, np.inf
        own[gone] = np.nan
        _weigh(loss, int(kept), counts, own, level)
        groups = np.unique(label, return_inverse=True)[1]
        found[int(groups.max()) + 1] = groups
    return found


def _weigh(loss: FloatArray, s: int, counts: FloatArray, own: FloatArray, level: CodeArray) -> None:
    """Find what it costs to merge a state with each of the others."""
    others = np.flatnonzero((level == level[s]) & np.isfinite(own))
    others = others[others != s]
    loss[s, others] = loss[others, s] = own[s] + own[others] - _likelihood(counts[s] + counts[others])


def _likelihood(counts: FloatArray) -> FloatArray:
    """Log-likelihood of multinomial counts at its largest, along the last axis."""
    return np.asarray(special.xlogy(counts, counts).sum(axis=-1) - special.xlogy(*[counts.sum(axis=-1)] * 2))
