"""Scale rows and columns of a plan in turn until both have the mass that they may keep."""

import numpy as np

from unbatch._types import FloatArray
from unbatch.core.kernels._compile import compiled_to_sum

_TINY = 1e-300


def _scale_in_turn(
    kernel: FloatArray,
    rows: FloatArray,
    columns: FloatArray,
    power: float,
    left: FloatArray,
    right: FloatArray,
    n_steps: int,
    settled: float,
) -> None:
    # kernel: (n_rows, n_columns). left: (n_rows,), right: (n_columns,): where to begin, and what is found.
    n_rows, n_columns = kernel.shape
    across = np.empty(n_columns)
    for _ in range(n_steps):
        most = 0.0
        across[:] = 0.0
        for row in range(n_rows):
            along, total = kernel[row], 0.0
            for column in range(n_columns):
                total += along[column] * right[column]
            scaled = (rows[row] / max(total, _TINY)) ** power
            most = max(most, abs(np.log(scaled / left[row])))
            left[row] = scaled
            for column in range(n_columns):
                across[column] += scaled * along[column]
        for column in range(n_columns):
            right[column] = (columns[column] / max(across[column], _TINY)) ** power
        if most < settled:
            break


scale_in_turn = compiled_to_sum(_scale_in_turn)
"""Sinkhorn's iteration for marginals that are wished for: ``left = (rows / kernel right) ** power``, and so on."""
