"""Log ratio of the batches' mean counts after division by library size: no matching, no states."""

import numpy as np
from scipy import sparse

from accuracy.problem import Estimate
from unbatch._types import CodeArray, Counts

_HALF = 0.5
"""Counts added to each gene and batch, so that the logarithm exists."""


def estimate(counts: Counts, batch: CodeArray, n_batches: int) -> Estimate:
    """Compare batch means; standard errors from the variance over the cells of each batch."""
    library = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)
    size = np.maximum(library, 1.0) / library.mean()
    normalised = sparse.diags_array(1 / size).tocsr() @ counts
    member = sparse.csr_array((np.ones(len(batch)), (batch, np.arange(len(batch)))), shape=(n_batches, len(batch)))
    n_cells = np.bincount(batch, minlength=n_batches)[:, None]
    total = np.asarray((member @ normalised).todense())
    squares = np.asarray((member @ normalised.power(2)).todense())
    mean = (total + _HALF) / n_cells
    variance = np.maximum(squares / n_cells - (total / n_cells) ** 2, mean / n_cells) / np.maximum(n_cells - 1, 1)
    log_mean, log_variance = np.log(mean), variance / mean**2
    return Estimate((log_mean - log_mean.mean(axis=0)).T, np.sqrt(_centred(log_variance)).T)


def _centred(variance: np.ndarray) -> np.ndarray:
    """Variance of x_k minus the mean over batches, for independent x_k; batches along rows."""
    n = len(variance)
    return variance * (1 - 2 / n) + variance.sum(axis=0) / n**2
