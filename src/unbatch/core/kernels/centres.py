"""The nearest of a few centres."""

from unbatch._types import CodeArray, FloatArray
from unbatch.core.kernels._compile import compiled


def _nearest_centre(
    where: FloatArray, level: CodeArray, centres: FloatArray, centre_level: CodeArray, code: CodeArray
) -> None:
    # where: (n_cells, n_dims). centres: (n_centres, n_dims). code: (n_cells,), -1 where no centre is of the level.
    for row in range(where.shape[0]):
        nearest, least = -1, 0.0
        for centre in range(centres.shape[0]):
            if centre_level[centre] != level[row]:
                continue
            squared = 0.0
            for d in range(centres.shape[1]):
                step = where[row, d] - centres[centre, d]
                squared += step * step
            if nearest < 0 or squared < least:
                nearest, least = centre, squared
        code[row] = nearest


nearest_centre = compiled(_nearest_centre)
"""Find the nearest centre of the same level; of equally near ones, the first."""
