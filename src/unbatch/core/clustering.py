"""k-means whose draws belong to the points: the order in which they come changes nothing but rounding."""

from dataclasses import dataclass

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.kernels.clustering import add_points, assign, squares
from unbatch.core.keyed import gumbel, keys_by_place
from unbatch.core.parallel import in_ranges

_MAX_ITER = 30
_SETTLED = 1e-4
_POINTS = 2048


def k_means(
    points: FloatArray,
    n_clusters: int,
    *,
    start: FloatArray | None = None,
    keys: KeyArray | None = None,
    weight: FloatArray | None = None,
    n_starts: int = 1,
    seed: int,
) -> CodeArray:
    r"""Group points by k-means: Lloyd's algorithm from starts by greedy k-means++ (Arthur and Vassilvitskii 2007).

    .. math:: \min_c \sum_i w_i \min_t \lVert q_i - c_t \rVert^2

    Random numbers follow from the keys, so that points in another order, with their keys, get the same groups. It ends
    after 30 steps, or once the centres together move by less than 1e-4 of the mean variance along an axis.

    Parameters
    ----------
    points
        Points q, (n_points, n_dims).
    n_clusters
        Number of groups. Groups stay empty where fewer points are distinct.
    start
        First centres, (n_clusters, n_dims); drawn if None.
    keys
        What the draws of each point follow from, (n_points,); their places by default.
    weight
        Weight w of each point, (n_points,).
    n_starts
        Random starts, of which the best result is kept.
    seed
        Start of the random numbers.

    Returns
    -------
    (n_points,) group of each point.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    data = _Data(
        points,
        np.ones(len(points)) if weight is None else weight,
        keys_by_place(len(points)) if keys is None else keys,
    )
    with one_thread():  # the sums of BLAS
        if start is not None:
            return data.lloyd(start)
        found = [data.lloyd(data.plus_plus(n_clusters, seed=seed, number=number)) for number in range(n_starts)]
        return found[0] if n_starts == 1 else min(found, key=data.inertia)


@dataclass(frozen=True, eq=False)
class _Data:
    """Points, their weights and their keys."""

    points: FloatArray
    weight: FloatArray
    keys: KeyArray

    def plus_plus(self, n_clusters: int, *, seed: int, number: int) -> FloatArray:
        """Draw centres far from each other: of a few candidates, the one that leaves the points nearest is taken."""
        n_draws = 2 + int(np.log(n_clusters))
        draws = iter(range(number * (n_clusters + 1), (number + 1) * (n_clusters + 1)))
        centres = np.empty((n_clusters, self.points.shape[1]))
        first = int(np.argmax(_log(self.weight) + gumbel(self.keys, seed, next(draws))))
        centres[0] = self.points[first]
        least = self._squares(np.array([first]))[0]
        for t in range(1, n_clusters):
            chances = _log(self.weight * least) + gumbel(self.keys, seed, next(draws))
            candidates = np.argpartition(-chances, min(n_draws, len(chances) - 1))[:n_draws]
            left = np.minimum(self._squares(candidates), least)
            best = int(np.argmin(left @ self.weight))
            centres[t], least = self.points[candidates[best]], left[best]
        return centres

    def lloyd(self, centres: FloatArray) -> CodeArray:
        """Move centres to the means of their points until they stay; a centre that no point is nearest to stays."""
        settled = _SETTLED * float(self.points.var(axis=0).mean())
        code = self._assigned(centres)
        for _ in range(_MAX_ITER):
            moved = self._means(code, centres)
            step, centres = float(np.square(moved - centres).sum()), moved
            before, code = code, self._assigned(centres)
            if step <= settled or np.array_equal(before, code):
                break
        return code

    def inertia(self, code: CodeArray) -> float:
        """Sum the squared distances from the means of groups."""
        means = self._means(code, np.zeros((int(code.max()) + 1, self.points.shape[1])))
        return float(np.square(self.points - means[code]).sum(axis=1) @ self.weight)

    def _means(self, code: CodeArray, centres: FloatArray) -> FloatArray:
        total, weight = np.zeros(centres.shape), np.zeros((len(centres), 1))
        add_points(self.points, self.weight, code, total, weight[:, 0])
        return np.asarray(np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), centres))

    def _assigned(self, centres: FloatArray) -> CodeArray:
        code = np.empty(len(self.points), dtype=np.int32)
        across, half = np.ascontiguousarray(centres.T), np.square(centres).sum(axis=1) / 2

        def some(start: int, stop: int) -> None:
            assign(self.points[start:stop], across, half, np.empty(len(half)), code[start:stop])

        in_ranges(some, len(code), step=_POINTS)
        return code

    def _squares(self, chosen: IntArray) -> FloatArray:
        """Squared distances from some of the points, (n_chosen, n_points)."""
        squared, centres = np.empty((len(chosen), len(self.points))), self.points[chosen]

        def some(start: int, stop: int) -> None:
            squares(self.points[start:stop], centres, squared[:, start:stop])

        in_ranges(some, len(self.points), step=_POINTS)
        return squared


def _log(weights: FloatArray) -> FloatArray:
    """Logarithm; -inf of what has no weight, which is drawn last."""
    return np.log(weights, out=np.full(weights.shape, -np.inf), where=weights > 0)
