"""k-means, by scikit-learn."""

from typing import Literal

import numpy as np

from unbatch._threads import one_thread, unwarned
from unbatch._types import CodeArray, FloatArray

_MAX_ITER = 30


def k_means(
    points: FloatArray,
    n_clusters: int,
    *,
    start: FloatArray | Literal["k-means++"] = "k-means++",
    weight: FloatArray | None = None,
    n_starts: int = 1,
    seed: int,
) -> CodeArray:
    """Group points by k-means.

    Parameters
    ----------
    points
        Points, (n_points, n_dims).
    n_clusters
        Number of groups. Groups stay empty where fewer points are distinct.
    start
        First centres, (n_clusters, n_dims), or how to draw them.
    weight
        Weight of each point, (n_points,).
    n_starts
        Random starts, of which the best result is kept.
    seed
        Start of the random numbers.

    Returns
    -------
    (n_points,) group of each point.
    """
    from sklearn.cluster import KMeans  # takes a second to load
    from sklearn.exceptions import ConvergenceWarning

    model = KMeans(n_clusters, init=start, n_init=n_starts, max_iter=_MAX_ITER, random_state=seed)
    with unwarned(ConvergenceWarning), one_thread():  # of fewer distinct points than groups
        return np.asarray(model.fit_predict(points, sample_weight=weight), dtype=np.int32)
