"""Which batches can be compared with the others at all."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from unbatch._types import BoolArray, FloatArray, IntArray

_FEW_BATCHES = 3
_LEAST_SPREAD = 0.25
_MOST_RATIO = 1.3
_LEAST_SD = 0.1
_LEAST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What ties each batch to the others.

    Attributes
    ----------
    group
        (n_batches,) batches of one group can be compared, directly or through others of the group: its number, 0 for
        the group with most cells; -1 for a batch whose effects cannot be told from differences between cell states.
    information
        (n_batches,) effective number of cells by which the batch is compared with all others: the sum over states of
        the product of its cells and those of the others, over all cells of the state.
    spread
        (n_batches,) variance between the states that the batch shares with others, over that between all states:
        near 0 if all comparisons go through one state.
    ratio
        (n_batches,) standard deviation of the batch's effects over the one usual among the other batches; 1 with fewer
        than three batches.
    """

    group: IntArray
    information: FloatArray
    spread: FloatArray
    ratio: FloatArray

    @property
    def identifiable(self) -> BoolArray:
        """Whether the batch can be compared with any other, (n_batches,)."""
        return self.group >= 0


def judge_batches(
    cells: FloatArray,
    support: BoolArray,
    *,
    batch_sizes: IntArray,
    centres: FloatArray,
    log_delta: FloatArray,
    min_support: float,
) -> Identifiability:
    """Judge which batches are tied to each other by cells of shared states.

    A batch is left out if it shares fewer cells than `min_support` with every other. It is also left out if it is
    compared through one state alone and the effects that follow are larger than those of the other batches: a
    difference between two cell types, taken for one, would look like that, while a true batch effect shows alike in
    several states. Two batches alone cannot be judged in this second way.

    Parameters
    ----------
    cells
        Number of cells, (n_states, n_batches).
    support
        Whether the batch's cells of the state are compared with those of others, (n_states, n_batches).
    batch_sizes
        Number of cells of each batch, those counted in no state included, (n_batches,).
    centres
        Coordinates of the states, (n_states, n_dims).
    log_delta
        Effects of well-measured genes, (n_genes, n_batches): of those that all batches measured, or the effects of the
        others would seem to be none.
    min_support
        Effective number of cells, ``n_a n_b / (n_a + n_b)`` summed over states, by which two batches must be tied; a
        tenth of the smaller one is enough.

    Returns
    -------
    Identifiability
    """
    compared = cells * support
    total = compared.sum(axis=1, keepdims=True)
    information = (compared * (total - compared) / np.maximum(total, 1)).sum(axis=0)
    pairs = _pairs(compared)
    spread, ratio = _spread(compared, cells, centres), _ratio(log_delta)
    alone = (spread < _LEAST_SPREAD) & (ratio > _MOST_RATIO)
    needed = np.minimum(min_support, _LEAST_SHARE * np.minimum(batch_sizes, batch_sizes[:, None]))
    tied = (pairs > 0) & (pairs >= needed) & ~alone & ~alone[:, None]
    _, component = connected_components(tied, directed=False)
    return Identifiability(_number(component, batch_sizes), information, spread, ratio)


def _pairs(compared: FloatArray) -> FloatArray:
    """Effective number of cells that tie two batches: the sum over states of ``n_a n_b / (n_a + n_b)``."""
    n_batches = compared.shape[1]
    pairs = np.zeros((n_batches, n_batches))
    for cells in compared:
        here = np.flatnonzero(cells > 0)
        both = cells[here][:, None] + cells[here]
        pairs[np.ix_(here, here)] += np.outer(cells[here], cells[here]) / both
    np.fill_diagonal(pairs, 0)
    return pairs


def _number(component: IntArray, batch_sizes: IntArray) -> IntArray:
    """Give each component of two batches or more a number, that with most cells first, and single batches -1."""
    cells = np.bincount(component, batch_sizes)
    several = np.bincount(component) > 1
    order = [code for code in np.argsort(-cells, kind="stable") if several[code]]
    numbers = np.full(len(cells), -1, dtype=np.int64)
    numbers[order] = np.arange(len(order))
    return numbers[component]


def _spread(compared: FloatArray, cells: FloatArray, centres: FloatArray) -> FloatArray:
    def variance(weight: FloatArray) -> float:
        if not weight.any():
            return 0.0
        mean = np.average(centres, axis=0, weights=weight)
        return float(np.average(((centres - mean) ** 2).sum(axis=1), weights=weight))

    overall = variance(cells.sum(axis=1))
    return np.array([variance(weight) for weight in compared.T]) / max(overall, 1e-300)


def _ratio(log_delta: FloatArray) -> FloatArray:
    """Compare each batch's distance from the mean of the others with theirs from each other, without it."""
    n_batches = log_delta.shape[1]
    if n_batches < _FEW_BATCHES or not len(log_delta):
        return np.ones(n_batches)
    off = log_delta - log_delta.mean(axis=0)
    covariance = off.T @ off / len(off)
    with_sum, variance = covariance.sum(axis=1), np.diag(covariance)
    of_sum = float(with_sum.sum())

    def less_mean(own: FloatArray, with_others: FloatArray, of_others: FloatArray | float, n: int) -> FloatArray:
        """Variance of what is left of a batch without the mean of n others, corrected for the noise of that mean."""
        left = own - 2 / n * with_others + of_others / n**2
        return np.maximum(left, 0.0) / (1 + 1 / n)

    alone = less_mean(variance, with_sum - variance, of_sum - 2 * with_sum + variance, n_batches - 1)
    # without batch (row), the others (columns) from each other
    sums = of_sum - 2 * (with_sum[:, None] + with_sum) + variance[:, None] + variance + 2 * covariance
    rest = less_mean(variance[None, :], with_sum - covariance - variance, sums, n_batches - 2)
    usual = np.median(rest[~np.eye(n_batches, dtype=bool)].reshape(n_batches, -1), axis=1)
    return np.asarray(np.sqrt(alone / np.maximum(usual, _LEAST_SD**2)))
