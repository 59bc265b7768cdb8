"""Points and a few centres: which is nearest, how far it is, and the sums of the points of each."""

from unbatch._types import CodeArray, FloatArray
from unbatch.core.kernels._compile import compiled, compiled_to_sum


def _assign(points: FloatArray, centres: FloatArray, half: FloatArray, work: FloatArray, code: CodeArray) -> None:
    # points: (n, n_dims). centres: (n_dims, n_centres), so that one loop goes over all of them. half: half of their
    # squared lengths. work: (n_centres,). Written: code, (n,), the nearest; of equally near ones, the first.
    n_dims, n_centres = centres.shape
    for row in range(points.shape[0]):
        for c in range(n_centres):
            work[c] = half[c]
        for d in range(n_dims):
            value, along = points[row, d], centres[d]
            for c in range(n_centres):
                work[c] -= value * along[c]
        nearest = 0
        for c in range(1, n_centres):
            if work[c] < work[nearest]:
                nearest = c
        code[row] = nearest


assign = compiled(_assign)
"""Find the nearest centre of each point."""


def _squares(points: FloatArray, centres: FloatArray, squared: FloatArray) -> None:
    # points: (n, n_dims). centres: (n_centres, n_dims). Written: squared, (n_centres, n).
    for c in range(centres.shape[0]):
        for row in range(points.shape[0]):
            total = 0.0
            for d in range(points.shape[1]):
                step = points[row, d] - centres[c, d]
                total += step * step
            squared[c, row] = total


squares = compiled_to_sum(_squares)
"""Squared distance of each point from each centre."""


def _add_points(points: FloatArray, weight: FloatArray, code: CodeArray, sums: FloatArray, total: FloatArray) -> None:
    # points: (n, n_dims). weight and code: (n,). sums: (n_centres, n_dims) and total: (n_centres,), added to.
    for row in range(points.shape[0]):
        here, times = sums[code[row]], weight[row]
        total[code[row]] += times
        for d in range(points.shape[1]):
            here[d] += points[row, d] * times


add_points = compiled(_add_points)
"""Add up points and their weights by centre, in their order."""
