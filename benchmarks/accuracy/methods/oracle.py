"""Quasi-Poisson log-linear model that knows the true cell types: gene x type + gene x batch, library size as offset.

`Y_gj ~ l_j exp(a_{g c(j)} + b_{g k(j)})`. Given b, the best `exp(a_gc)` is `Y_gc / sum_k E_ck exp(b_gk)`, with E the
summed library sizes, so that Newton's method runs over the few b of each gene, all genes at once.
"""

import numpy as np
from scipy import sparse

from accuracy.problem import Estimate, largest_component
from unbatch._types import CodeArray, Counts, FloatArray, IntArray

USES_TYPES = True
_MAX_ITER = 100
_TOL = 1e-8
_RIDGE = 1e-3
"""Prior precision of b, in counts: only there to keep a gene without counts in a batch finite."""
_MAX_STEP = 2.0
_TINY = 1e-300
_LEAST_DISPERSION = 1e-3


def estimate(counts: Counts, batch: CodeArray, n_batches: int, cell_type: CodeArray) -> Estimate:
    """Fit the batches that shared types tie together; claim nothing about the others."""
    inside = largest_component(batch, cell_type, n_batches)
    cells = np.flatnonzero(inside[batch])
    codes = (np.cumsum(inside) - 1)[batch[cells]]
    fitted, fitted_se = _fit(counts[cells], codes, int(inside.sum()), cell_type[cells])
    log_delta, se = np.zeros((counts.shape[1], n_batches)), np.full((counts.shape[1], n_batches), np.inf)
    log_delta[:, inside], se[:, inside] = fitted, fitted_se
    return Estimate(log_delta, se)


def _fit(counts: Counts, batch: IntArray, n_batches: int, cell_type: CodeArray) -> tuple[FloatArray, FloatArray]:
    """Fit all genes by maximum likelihood and scale the standard errors by each gene's Pearson dispersion."""
    n_cells, n_types = len(batch), int(cell_type.max()) + 1
    library = np.maximum(np.asarray(counts.sum(axis=1)).ravel().astype(np.float64), 1.0)
    size = library / library.mean()
    groups = sparse.csr_array(
        (np.ones(n_cells), (cell_type * n_batches + batch, np.arange(n_cells))), shape=(n_types * n_batches, n_cells)
    )
    shape = (n_types, n_batches)
    exposure = np.asarray(groups @ size).reshape(shape)
    y = _by_group(groups @ counts, shape)
    b, covariance = _newton(y, exposure)
    rate = y.sum(axis=2) / np.maximum((exposure * np.exp(b)[:, None, :]).sum(axis=2), _TINY)
    mu = rate[:, :, None] * np.exp(b)[:, None, :]
    squares = _by_group(groups @ (sparse.diags_array(1 / size).tocsr() @ counts.power(2)), shape)
    chi2 = np.divide(squares, mu, out=np.zeros_like(mu), where=mu > 0) - 2 * y + exposure * mu
    phi = np.maximum(chi2.sum(axis=(1, 2)) / max(n_cells - n_types - n_batches + 1, 1), _LEAST_DISPERSION)
    return b, np.sqrt(phi[:, None] * np.diagonal(covariance, axis1=1, axis2=2))


def _by_group(sums: Counts, shape: tuple[int, int]) -> FloatArray:
    """Arrange sums (n_groups, n_genes) as (n_genes, n_types, n_batches)."""
    dense = np.asarray(sums.todense(), dtype=np.float64)
    result: FloatArray = np.ascontiguousarray(dense.T).reshape(-1, *shape)
    return result


def _newton(y: FloatArray, exposure: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Maximise the profile likelihood; return b and its covariance under sum(b) = 0."""
    n_batches = y.shape[2]
    by_type, by_batch = y.sum(axis=2), y.sum(axis=1)
    b = np.zeros_like(by_batch)
    level = np.maximum(by_batch.sum(axis=1), 1.0)[:, None, None] / n_batches  # fixes the free constant of b
    for _ in range(_MAX_ITER):
        information, gradient = _derivatives(b, by_type, by_batch, exposure)
        step = np.linalg.solve(information + level, (gradient - _RIDGE * b)[:, :, None])[:, :, 0]
        b = b + np.clip(step, -_MAX_STEP, _MAX_STEP)
        b -= b.mean(axis=1, keepdims=True)
        if np.abs(step).max() < _TOL:
            break
    information, _ = _derivatives(b, by_type, by_batch, exposure)
    centring = np.eye(n_batches) - 1 / n_batches
    return b, centring @ np.linalg.inv(information + level) @ centring


def _derivatives(
    b: FloatArray, by_type: FloatArray, by_batch: FloatArray, exposure: FloatArray
) -> tuple[FloatArray, FloatArray]:
    weight = exposure * np.exp(b)[:, None, :]
    p = weight / np.maximum(weight.sum(axis=2, keepdims=True), _TINY)
    expected = by_type[:, :, None] * p
    information = -np.matmul(expected.transpose(0, 2, 1), p)
    diagonal = np.arange(b.shape[1])
    information[:, diagonal, diagonal] += expected.sum(axis=1) + _RIDGE
    return information, by_batch - expected.sum(axis=1)
