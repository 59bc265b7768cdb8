"""Whether batches differ inside states along the directions in which states differ: as composition would have it."""

import numpy as np

from unbatch._types import FloatArray, IntArray
from unbatch.core.parallel import in_ranges

_FEWEST_CELLS, _FEWEST_STATES = 2, 3
_TINY = 1e-300


def alignment(
    counts: tuple[FloatArray, FloatArray],
    exposure: tuple[FloatArray, FloatArray],
    cells: FloatArray,
    delta: FloatArray,
) -> float:
    r"""Compare the covariance of genes over batches inside states with their covariance over states.

    Where states are pieces of a continuum, two batches have other parts of each piece, and differ there along the
    directions in which the continuum runs. What a batch does to a state has directions of its own. With the rates
    :math:`r_{gs}` of states and :math:`r_{gsk}` of their cells of one batch, in Poisson standard deviations of the mean
    rate,

    .. math:: R_{gh} = \sum_s w_s\, r_{gs} r_{hs}, \qquad
              D_{gh} = \sum_{sk} w_{sk} (r_{gsk} - r_{gs\bar k}) (r_{hsk} - r_{hs\bar k}), \qquad
              \cos(D, R) = \frac{\langle D, R \rangle}{\sqrt{\langle D, D \rangle \langle R, R \rangle}},

    :math:`\bar k` being the other batches; r is less its mean over states. It is 1 for composition that follows the
    continuum evenly, and near 0 for effects on single states. Splitting a batch at random, its depth and its size
    change nothing that is expected.

    Noise has no part in the products: those of counts are taken between the two parts of the counts. Pairs of a gene
    with itself, and in :math:`\langle D, D \rangle` of two differences in the same state, are left out, in which the
    excess variance of each gene by itself would be found again.

    Parameters
    ----------
    counts
        Two independent parts of the counts by state and batch, (n_genes, n_states, n_batches) each.
    exposure
        Exposure of each part, (n_states, n_batches).
    cells
        Number of cells, (n_states, n_batches).
    delta
        Multiplicative effects, (n_genes, n_batches).

    Returns
    -------
    The cosine, somewhat beyond 1 by chance; 0 if there is too little to compare. If the differences do not go together
    beyond noise, 1 or 0 by the sign of the product.
    """
    whole = exposure[0] + exposure[1]
    expected = [np.einsum("sk,gk->sg", part, delta) for part in exposure]
    states = np.flatnonzero((expected[0].min(axis=1) > 0) & (expected[1].min(axis=1) > 0))
    if len(states) < _FEWEST_STATES:
        return 0.0
    total = sum(part.sum(axis=(1, 2)) for part in counts)
    unit = 1 / np.sqrt(np.maximum(total / np.maximum((expected[0] + expected[1]).sum(axis=0), _TINY), _TINY))
    rates = [
        np.einsum("gsk->sg", part[:, states]) / by[states] * unit for part, by in zip(counts, expected, strict=True)
    ]
    weight = whole.sum(axis=1)[states] / whole[states].sum()
    rates = [rate - weight @ rate for rate in rates]
    pooled = (rates[0] + rates[1]) / 2
    r_r = float(weight @ (rates[0] @ rates[1].T * (rates[1] @ rates[0].T)) @ weight)
    r_r -= float(((weight @ (rates[0] * rates[1])) ** 2).sum())
    places, first, second = _differences(counts, exposure, cells, delta, unit)
    if len(np.unique(places)) < _FEWEST_STATES:
        return 0.0
    alone = first * second  # the products of a gene with itself
    d_r = float(((first @ pooled.T) * (second @ pooled.T) @ weight).sum())
    d_r -= float(alone.sum(axis=0) @ (weight @ pooled**2))
    d_d = _between_states(first, second, places) - _between_states_alone(alone, places)
    d_d *= len(np.unique(places)) / (len(np.unique(places)) - 1)
    if d_d <= 0:
        return float(d_r > 0)
    return d_r / float(np.sqrt(max(d_d * r_r, _TINY)))


def _differences(
    counts: tuple[FloatArray, FloatArray],
    exposure: tuple[FloatArray, FloatArray],
    cells: FloatArray,
    delta: FloatArray,
    unit: FloatArray,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """List what cells of a batch differ by from the others of their state, less the mean over states of the batch.

    Return the state of each difference, (n,), and it by either part of the counts, (n, n_genes), times the root of its
    weight.
    """
    parts = []
    sums = [part.sum(axis=2) for part in counts]
    expected = [by @ delta.T for by in exposure]
    for k in range(delta.shape[1]):
        rest = np.arange(delta.shape[1]) != k
        enough = (cells[:, k] >= _FEWEST_CELLS) & (cells[:, rest].sum(axis=1) >= _FEWEST_CELLS)
        states = np.flatnonzero(enough & (exposure[0][:, k] > 0) & (exposure[0][:, rest].sum(axis=1) > 0))
        if len(states) < _FEWEST_STATES:
            continue
        whole = (exposure[0] + exposure[1])[states]
        own, other = whole[:, k], whole[:, rest].sum(axis=1)
        weight = own * other / (own + other)
        found = []
        for part, by, of_all, by_all in zip(counts, exposure, sums, expected, strict=True):
            mine, by_mine = part[:, states, k].T, by[states, k][:, None] * delta[:, k]
            theirs, by_theirs = of_all[:, states].T - mine, by_all[states] - by_mine
            line = (mine / by_mine - theirs / by_theirs) * unit
            found.append((line - np.average(line, axis=0, weights=weight)) * np.sqrt(weight)[:, None])
        parts.append((states, *found))
    if not parts:
        nothing = np.zeros((0, len(delta)))
        return np.zeros(0, dtype=np.int64), nothing, nothing
    places, first, second = (np.concatenate(part) for part in zip(*parts, strict=True))
    return places, first, second


def _between_states(first: FloatArray, second: FloatArray, places: IntArray) -> float:
    """Sum the products of any two differences of different states, in one part of the counts times in the other."""
    states = np.unique(places)
    products = np.zeros(len(states))

    def one(at: int, _: int) -> None:
        mine, later = places == states[at], places > states[at]
        products[at] = ((first[mine] @ second[later].T) * (second[mine] @ first[later].T)).sum()

    in_ranges(one, len(states), step=1)
    return 2 * float(products.sum())


def _between_states_alone(alone: FloatArray, places: IntArray) -> float:
    """Sum the products of what any two differences of different states have of a gene with itself."""
    of_states = np.zeros((int(places.max()) + 1, alone.shape[1]))
    np.add.at(of_states, places, alone)
    return float(np.square(of_states.sum(axis=0)).sum() - np.square(of_states).sum())
