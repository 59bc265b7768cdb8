"""Move cells by the shifts of the states that they are near to."""

import numpy as np

from unbatch._types import CodeArray, FloatArray
from unbatch.core.kernels._compile import compiled


def _weigh(
    where: FloatArray,
    level: CodeArray,
    centres: FloatArray,
    centre_level: CodeArray,
    width: float,
    weights: FloatArray,
) -> None:
    # where: (n_cells, n_dims). centres: (n_centres, n_dims). weights: (n_cells, n_centres), sum to 1 in each row, or
    # are all 0 for cells of a level without a centre.
    for row in range(where.shape[0]):
        here, least = weights[row], -1.0
        for centre in range(centres.shape[0]):
            here[centre] = -1.0
            if centre_level[centre] != level[row]:
                continue
            squared = 0.0
            for d in range(where.shape[1]):
                step = where[row, d] - centres[centre, d]
                squared += step * step
            here[centre] = squared
            if least < 0.0 or squared < least:
                least = squared
        total = 0.0
        for centre in range(centres.shape[0]):
            here[centre] = np.exp((least - here[centre]) / width) if here[centre] >= 0.0 else 0.0
            total += here[centre]
        if total > 0.0:
            for centre in range(centres.shape[0]):
                here[centre] /= total


weigh = compiled(_weigh)
"""Share each cell out to the centres of its level, ``exp(-(d^2 - min d^2) / width)`` over their sum."""


def _move(where: FloatArray, batch: CodeArray, weights: FloatArray, shift: FloatArray) -> None:
    # shift: (n_centres, n_batches, n_dims). Batches without a place in it stay.
    for row in range(where.shape[0]):
        if batch[row] < 0 or batch[row] >= shift.shape[1]:
            continue
        for centre in range(weights.shape[1]):
            weight = weights[row, centre]
            if weight > 0.0:
                along = shift[centre, batch[row]]
                for d in range(where.shape[1]):
                    where[row, d] += weight * along[d]


move = compiled(_move)
"""Add to each cell the weighted shifts of its batch."""
