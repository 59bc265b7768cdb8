"""Exact nearest neighbours."""

import math

from unbatch._types import FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

REFERENCES_PER_TILE = 512
"""References compared at once; with 50 dimensions they take 200 kB and stay in a core's cache."""


def _nearest(
    queries: FloatArray, references: FloatArray, scratch: FloatArray, indices: IntArray, squared: FloatArray
) -> None:
    # references: (n_dims, n_references). indices and squared: (n_queries, k), filled with -1 and inf by the caller.
    # Each distance is summed over the dimensions in order, so how queries and references are tiled changes no bit.
    n_dims, n_references = references.shape
    last = indices.shape[1] - 1
    for start in range(0, n_references, scratch.size):
        width = min(scratch.size, n_references - start)
        distances = scratch[:width]
        for i in range(queries.shape[0]):
            distances[:] = 0.0
            for d in range(n_dims):
                here = queries[i, d]
                there = references[d, start : start + width]
                for r in range(width):
                    step = there[r] - here
                    distances[r] += step * step
            farthest = squared[i, last]
            for r in range(width):
                distance = distances[r]
                # strictly nearer: of equal distances the lower index, seen first, stays
                if distance < farthest:
                    place = last
                    while place > 0 and squared[i, place - 1] > distance:
                        squared[i, place] = squared[i, place - 1]
                        indices[i, place] = indices[i, place - 1]
                        place -= 1
                    squared[i, place] = distance
                    indices[i, place] = start + r
                    farthest = squared[i, last]


nearest = compiled(_nearest)
"""Exact k nearest references of each query by squared Euclidean distance, nearest first, ties by index."""


def _kth_least(values: FloatArray, least: FloatArray, out: FloatArray) -> None:
    # values: (n_rows, n_columns). least: (k,), scratch, k <= n_columns. out: (n_rows,), written. Of many values few are
    # among the k least so far, so that this takes about as long as to read them.
    for i in range(values.shape[0]):
        row = values[i]
        for place in range(least.size):
            least[place] = math.inf
        most = math.inf
        for j in range(row.size):
            value = row[j]
            if value < most:
                place = least.size - 1
                while place > 0 and least[place - 1] > value:
                    least[place] = least[place - 1]
                    place -= 1
                least[place] = value
                most = least[least.size - 1]
        out[i] = most


kth_least = compiled(_kth_least)
"""Find the k-th least value of each row."""


def _nearest_of_groups(
    queries: FloatArray,
    references: FloatArray,
    bounds: IntArray,
    scratch: FloatArray,
    nearest_of: IntArray,
    squared: FloatArray,
) -> None:
    # references: (n_dims, n_references), those of a group beside each other; bounds: (n_groups + 1,), where they begin.
    # scratch: (n_references,). Written: nearest_of and squared, (n_queries, n_groups); of equally near ones, the first.
    n_dims, n_references = references.shape
    for i in range(queries.shape[0]):
        scratch[:] = 0.0
        for d in range(n_dims):
            here, there = queries[i, d], references[d]
            for r in range(n_references):
                step = there[r] - here
                scratch[r] += step * step
        for group in range(bounds.size - 1):
            best = bounds[group]
            for r in range(bounds[group] + 1, bounds[group + 1]):
                if scratch[r] < scratch[best]:
                    best = r
            nearest_of[i, group], squared[i, group] = best, scratch[best]


nearest_of_groups = compiled(_nearest_of_groups)
"""Find the nearest reference of each group, and its squared Euclidean distance."""
