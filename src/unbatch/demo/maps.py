"""Maps of cells in the plane by t-SNE."""

import numpy as np

from unbatch._types import FloatArray

PERPLEXITY = 30.0
ITERATIONS = (250, 500)
"""Steps with early exaggeration, and after it."""


def tsne(values: FloatArray, *, seed: int) -> FloatArray:
    """Lay out cells in the plane so that near cells stay near (van der Maaten and Hinton 2008, as in openTSNE).

    Parameters
    ----------
    values
        (n_cells, n_dims), such as principal components of log counts.
    seed
        The same seed gives the same map.

    Returns
    -------
    (n_cells, 2), of no unit.
    """
    from openTSNE import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    early, late = ITERATIONS
    layout = TSNE(
        perplexity=perplexity,
        early_exaggeration_iter=early,
        n_iter=late,
        initialization="pca",
        neighbors="exact",
        n_jobs=1,
        random_state=seed,
    )
    fitted = layout.fit(np.ascontiguousarray(values, dtype=np.float64))
    return np.array(fitted, dtype=np.float64)
