"""Balance: how far the matched cells of two batches still differ, gene by gene, in standard deviations."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.diagnostics.sample import squared, sums_by

MOST_PAIRS = 45
"""Of more pairs of batches, each batch is compared with all others together."""
_VALUES = 8_000_000
"""Sums held at a time."""
_EXTREME = 2.0
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which batches are compared, and how the cells of each state count.

    Attributes
    ----------
    batch, other
        (n_pairs,) codes; -1 in `other` is all other batches.
    cells
        (n_states, n_batches) number of cells of each batch in each state.
    weight
        (n_pairs, n_states) weight of each state, :math:`n_a n_b / (n_a + n_b)`: 0 where it holds one of the two only.
    """

    batch: IntArray
    other: IntArray
    cells: IntArray
    weight: FloatArray

    @property
    def n_matched(self) -> IntArray:
        """Number of cells compared, (n_pairs,)."""
        total = self.cells.sum(axis=1)
        theirs = np.where(self.other >= 0, self.cells[:, self.other], total[:, None] - self.cells[:, self.batch])
        both = self.cells[:, self.batch] + theirs
        return np.asarray((both * (self.weight.T > 0)).sum(axis=0), dtype=np.int64)

    @property
    def chance(self) -> FloatArray:
        r"""Variance of a difference, in that of a cell, if chance alone parts the batches: :math:`1 / \sum_s w_s`."""
        return np.asarray(1 / np.maximum(self.weight.sum(axis=1), _TINY))


def pair_batches(state: CodeArray, batch: CodeArray, *, shape: tuple[int, int]) -> Pairs:
    """List the pairs of batches that share a state, each once; of more than 45 pairs, each batch against all others.

    Parameters
    ----------
    state
        (n_cells,) codes; -1 for cells that are compared with none.
    batch
        (n_cells,) codes.
    shape
        Number of states and of batches.

    Returns
    -------
    Pairs
    """
    n_states, n_batches = shape
    here = state >= 0
    group = state[here].astype(np.int64) * n_batches + batch[here]
    cells = np.bincount(group, minlength=n_states * n_batches).reshape(shape)
    present = np.unique(batch)
    if len(present) * (len(present) - 1) // 2 <= MOST_PAIRS:
        found = [(a, b) for i, a in enumerate(present) for b in present[i + 1 :]]
    else:
        found = [(a, -1) for a in present]
    first, second = (np.array([pair[i] for pair in found], dtype=np.int64) for i in (0, 1))
    own = cells[:, first].astype(np.float64)
    theirs = np.where(second >= 0, cells[:, second], cells.sum(axis=1)[:, None] - cells[:, first])
    weight = (own * theirs / np.maximum(own + theirs, 1.0)).T
    some = weight.any(axis=1)
    return Pairs(first[some], second[some], cells, weight[some])


@dataclass(frozen=True, eq=False)
class Spread:
    """How cells of one batch scatter, from which differences get their unit.

    Attributes
    ----------
    variance
        (n_batches, n_features) variance of the cells of each batch.
    cells
        (n_batches,) number of cells.
    within
        (n_features,) variance of cells of one batch and one state.
    """

    variance: FloatArray
    cells: IntArray
    within: FloatArray

    def of(self, pairs: Pairs) -> FloatArray:
        """Mean variance of the two batches, of those with at least two cells, (n_pairs, n_features)."""
        counted = (self.cells > 1).astype(np.float64)
        out = np.empty((len(pairs.batch), self.variance.shape[1]))
        total_cells = (counted * self.cells).sum()
        total = (counted * self.cells) @ self.variance
        for place, (a, b) in enumerate(zip(pairs.batch, pairs.other, strict=True)):
            if b >= 0:
                theirs, known = self.variance[b], counted[b]
            else:
                left = total_cells - counted[a] * self.cells[a]
                theirs = (total - counted[a] * self.cells[a] * self.variance[a]) / max(left, 1.0)
                known = float(left > 0)
            out[place] = (counted[a] * self.variance[a] + known * theirs) / max(counted[a] + known, 1.0)
        return out


def spread_of(values: Counts, *, batch: CodeArray, state: CodeArray, shape: tuple[int, int]) -> Spread:
    """Measure how the cells of each batch scatter, before anything is corrected."""
    n_states, n_batches = shape
    genes = np.arange(values.shape[1])
    cells = np.bincount(batch, minlength=n_batches)
    squares = sums_by(squared(values), batch + n_batches * (state < 0), n_codes=2 * n_batches, genes=genes)
    names, group = np.unique(np.where(state >= 0, state, n_states) * np.int64(n_batches) + batch, return_inverse=True)
    size, inside = np.bincount(group, minlength=len(names)), names < n_states * n_batches
    sums, within = np.zeros((n_batches, len(genes))), squares[:n_batches].sum(axis=0)
    for part in _chunks(len(genes), len(names)):
        by_group = sums_by(values, group, n_codes=len(names), genes=genes[part])
        sums[:, part] = _indicator(names % n_batches, n_batches) @ by_group
        within[part] -= (inside / size) @ np.square(by_group, out=by_group)
    variance = squares[:n_batches] + squares[n_batches:] - sums**2 / np.maximum(cells, 1)[:, None]
    variance = np.maximum(variance, 0.0) / np.maximum(cells - 1, 1)[:, None]
    freedom = float((size[inside] - 1).sum())
    return Spread(variance, cells, np.maximum(within, 0.0) / max(freedom, 1.0))


def standardised_differences(
    values: Counts, pairs: Pairs, *, batch: CodeArray, state: CodeArray, variance: FloatArray
) -> FloatArray:
    r"""Difference of the means of matched cells of two batches, in standard deviations of the cells.

    .. math:: \mathrm{smd}_g = \frac{\sum_s w_s (\bar x_{gsa} - \bar x_{gsb})}{\sum_s w_s} \Big/
              \sqrt{\tfrac12 (v_{ga} + v_{gb})}, \qquad w_s = \frac{n_{sa} n_{sb}}{n_{sa} + n_{sb}}

    States count alike for both batches, so that their composition is not taken for imbalance. The unit is that of the
    cells before anything was corrected or left out, as is usual for balance (Austin 2009, Stat. Med. 28:3083-3107;
    above 0.1 is commonly called imbalanced).

    Parameters
    ----------
    values
        (n_cells, n_features) log counts, or coordinates.
    pairs
        Which batches are compared.
    batch, state
        (n_cells,) codes.
    variance
        (n_pairs, n_features) mean variance of the two, see `Spread.of`.

    Returns
    -------
    (n_pairs, n_features), from a means minus b; 2 or -2 where batches differ but no cell within them does.
    """
    n_states, n_batches = pairs.cells.shape
    out = np.zeros((len(pairs.batch), values.shape[1]))
    if not len(pairs.batch):
        return out
    inside = np.flatnonzero(state >= 0)
    names, group = np.unique(state[inside] * np.int64(n_batches) + batch[inside], return_inverse=True)
    code = np.full(len(state), -1)
    code[inside] = group
    of_groups, of_states = _contrasts(pairs, names)
    genes = np.arange(values.shape[1])
    for part in _chunks(len(genes), len(names)):
        by_group = sums_by(values, code, n_codes=len(names), genes=genes[part])
        out[:, part] = of_groups @ by_group + of_states @ (_indicator(names // n_batches, n_states) @ by_group)
    unit = np.sqrt(variance)
    flat = variance <= _TINY
    out[np.abs(out) < _TINY] = 0.0
    return np.where(flat, _EXTREME * np.sign(out), out / np.where(flat, 1.0, unit))


def _indicator(code: IntArray, n_codes: int) -> sparse.csr_array:
    """Sum rows by code, as a matrix, (n_codes, n_rows)."""
    return sparse.csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=(n_codes, len(code)))


def _contrasts(pairs: Pairs, names: IntArray) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Weights of the sums of groups (state x batch, by name), and of states, that give each difference."""
    n_states, n_batches = pairs.cells.shape
    column = np.full(n_states * n_batches, -1)
    column[names] = np.arange(len(names))
    rows, columns, weights = list[int](), list[int](), list[float]()
    total = pairs.cells.sum(axis=1)
    for place, (a, b) in enumerate(zip(pairs.batch, pairs.other, strict=True)):
        share = pairs.weight[place] / pairs.weight[place].sum()
        for s in np.flatnonzero(share > 0):
            own = share[s] / pairs.cells[s, a]
            if b >= 0:
                entries = [(column[s * n_batches + a], own), (column[s * n_batches + b], -share[s] / pairs.cells[s, b])]
            else:
                others = share[s] / (total[s] - pairs.cells[s, a])
                entries = [(column[s * n_batches + a], own + others), (len(names) + s, -others)]
            for at, weight in entries:
                rows.append(place)
                columns.append(int(at))
                weights.append(float(weight))
    both = sparse.csr_array((weights, (rows, columns)), shape=(len(pairs.batch), len(names) + n_states))
    return both[:, : len(names)], both[:, len(names) :]


def measured_by_pair(pairs: Pairs, measured: BoolArray) -> BoolArray:
    """Tell which genes both batches of a pair measured; with all others, all of them, (n_pairs, n_genes)."""
    asked = np.zeros((len(pairs.batch), len(measured)), dtype=bool)
    present = np.flatnonzero(pairs.cells.any(axis=0))
    everywhere = measured[:, present].all(axis=1)
    for place, (a, b) in enumerate(zip(pairs.batch, pairs.other, strict=True)):
        asked[place] = measured[:, a] & (measured[:, b] if b >= 0 else everywhere)
    return asked


def _chunks(n_features: int, n_rows: int) -> list[slice]:
    step = max(1, _VALUES // max(n_rows, 1))
    return [slice(start, min(start + step, n_features)) for start in range(0, n_features, step)]
