"""Move cells by the shifts of the states that they are near to."""

import numpy as np

from unbatch._types import CodeArray, FloatArray
from unbatch.core.kernels._compile import compiled

_NEGLIGIBLE = 40.0
"""Exponent beyond which a share is below 1e-17 of the largest, and is 0."""


def _weigh(
    where: FloatArray,
    level: CodeArray,
    centres: FloatArray,
    centre_level: CodeArray,
    width: float,
    weights: FloatArray,
) -> None:
    # where: (n_cells, n_dims). centres: (n_dims, n_centres), so that the innermost loop works on many at once.
    # weights: (n_cells, n_centres), sum to 1 in each row, or are all 0 for cells of a level without a centre.
    n_dims, n_centres = centres.shape
    for row in range(where.shape[0]):
        here, least = weights[row], -1.0
        here[:] = 0.0
        for d in range(n_dims):
            along, axis = where[row, d], centres[d]
            for centre in range(n_centres):
                step = along - axis[centre]
                here[centre] += step * step
        for centre in range(n_centres):
            if centre_level[centre] == level[row] and (least < 0.0 or here[centre] < least):
                least = here[centre]
        total = 0.0
        for centre in range(n_centres):
            exponent = (here[centre] - least) / width
            here[centre] = 0.0
            if least >= 0.0 and centre_level[centre] == level[row] and exponent < _NEGLIGIBLE:
                here[centre] = np.exp(-exponent)
                total += here[centre]
        if total > 0.0:
            for centre in range(n_centres):
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
