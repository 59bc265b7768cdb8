"""The noise of counts on axes for their logs, and a mixture of Gaussians seen through it."""

import numpy as np

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _add_noise(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    place: CodeArray,
    squared: FloatArray,
    scaling: FloatArray,
    out: FloatArray,
) -> None:
    # data and indices begin at position indptr[0]. place: (n_genes,), the gene's row of squared or -1.
    # factor: (n_batches, n_rows), what counts of the genes on these rows are multiplied by.
    # squared: (n_rows, n_dims), squares of the basis. scaling: (n_cells,), scale over size factor.
    # out: (n_cells, n_dims), overwritten.
    first = indptr[0]
    for row in range(out.shape[0]):
        here, factors, times = out[row], factor[batch[row]], scaling[row]
        here[:] = 0.0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            on_axes = place[indices[at]]
            if on_axes >= 0:
                step, axes = factors[on_axes] * times, squared[on_axes]
                slope = step / (1.0 + data[at] * step)
                variance = data[at] * slope * slope
                for d in range(here.size):
                    here[d] += variance * axes[d]


add_noise = compiled(_add_noise)
"""Sum ``Y (d log(1 + a Y / (delta l)) / dY)^2``, the variance of logs of Poisson counts, times the squared basis."""


_NEGLIGIBLE = 40.0
"""Exponent beyond which a share is below 1e-17 of the largest, and is 0."""
_FACTORS = 8
"""Variances that are multiplied before a logarithm is taken: so many do not leave the range of numbers."""


@compiled
def _deviances(
    where: FloatArray,
    much: float,
    centres: FloatArray,
    signal: FloatArray,
    noise: FloatArray,
    volume: FloatArray,
    out: FloatArray,
) -> None:
    # Of one cell: minus two log densities in each state, without the constant, are added to out. volume: scratch.
    n_dims = where.size
    volume[:] = 1.0
    for d in range(n_dims):
        along, centre, spread, chance = where[d], centres[d], signal[d], noise[d]
        for state in range(out.size):
            variance = spread[state] + much * chance[state]
            step = along - centre[state]
            out[state] += step * step / variance
            volume[state] *= variance
        if (d + 1) % _FACTORS == 0 or d == n_dims - 1:
            for state in range(out.size):
                out[state] += np.log(volume[state])
            volume[:] = 1.0


def _share_out(
    where: FloatArray,
    shallow: FloatArray,
    level: CodeArray,
    of_state: CodeArray,
    log_share: FloatArray,
    centres: FloatArray,
    signal: FloatArray,
    noise: FloatArray,
    weights: FloatArray,
) -> None:
    # where: (n_cells, n_dims). shallow: (n_cells,), what noise is multiplied by. level, of_state: of cells and states.
    # centres, signal, noise: (n_dims, n_states), so that the innermost loop works on many at once; signal is above 0.
    # weights: (n_cells, n_states), sum to 1 in each row, or are all 0 for cells of a level without a state.
    n_states = of_state.size
    volume = np.empty(n_states)
    for row in range(where.shape[0]):
        here, least, total = weights[row], np.inf, 0.0
        for state in range(n_states):
            here[state] = -2.0 * log_share[state]
        _deviances(where[row], shallow[row], centres, signal, noise, volume, here)
        for state in range(n_states):
            if of_state[state] == level[row]:
                least = min(least, here[state])
        for state in range(n_states):
            exponent = 0.5 * (here[state] - least)
            near = of_state[state] == level[row] and exponent < _NEGLIGIBLE
            here[state] = np.exp(-exponent) if near else 0.0
            total += here[state]
        if total > 0.0:
            for state in range(n_states):
                here[state] /= total


share_out = compiled(_share_out)
"""Give the probability that a cell is of each state, by Bayes' rule, in a mixture of Gaussians seen through noise."""


def _expect(
    where: FloatArray,
    shallow: FloatArray,
    weights: FloatArray,
    centres: FloatArray,
    signal: FloatArray,
    noise: FloatArray,
    out: FloatArray,
) -> None:
    # centres, signal, noise: (n_states, n_dims). weights: (n_cells, n_states), 0 for cells that stay.
    # out: (n_cells, n_dims), added to.
    for row in range(where.shape[0]):
        here, there, much = where[row], out[row], shallow[row]
        for state in range(weights.shape[1]):
            weight = weights[row, state]
            if weight > 0.0:
                centre, spread, chance = centres[state], signal[state], noise[state]
                for d in range(here.size):
                    variance = much * chance[d]
                    there[d] += weight * (centre[d] - here[d]) * variance / (spread[d] + variance)


expect = compiled(_expect)
"""Add what cells are expected to be off by."""


def _learn(
    where: FloatArray,
    shallow: FloatArray,
    weights: FloatArray,
    centres: FloatArray,
    signal: FloatArray,
    noise: FloatArray,
    sums: FloatArray,
    squares: FloatArray,
) -> None:
    # As above. sums, squares: (n_states, n_dims), added to.
    for row in range(where.shape[0]):
        here, much = where[row], shallow[row]
        for state in range(weights.shape[1]):
            weight = weights[row, state]
            if weight > 0.0:
                centre, spread, chance = centres[state], signal[state], noise[state]
                total, square = sums[state], squares[state]
                for d in range(here.size):
                    variance = much * chance[d]
                    drawn = variance / (spread[d] + variance)
                    expected = here[d] + drawn * (centre[d] - here[d])
                    total[d] += weight * expected
                    square[d] += weight * (expected * expected + drawn * spread[d])


learn = compiled(_learn)
"""Add up expected true coordinates and their squares by state."""
