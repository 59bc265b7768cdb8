# ruff: noqa: PLR0917
"""Compiled leaves of the simulation: alias tables and the molecules drawn from them."""

import numba
import numpy as np

from unbatch._types import CodeArray, Float32Array, FloatArray, IntArray


@numba.njit(cache=True, nogil=True)
def fill_alias(scaled: FloatArray, keep: FloatArray, alias: CodeArray, work: CodeArray) -> None:
    """Fill the alias table of `scaled` (mean 1) by Vose's method.

    `work` holds the genes below 1 from the left and those above from the right.
    """
    n = scaled.size
    small, large = 0, n
    for g in range(n):
        keep[g] = scaled[g]
        alias[g] = g
        if scaled[g] < 1.0:
            work[small] = g
            small += 1
        else:
            large -= 1
            work[large] = g
    while small > 0 and large < n:
        small -= 1
        poor, rich = work[small], work[large]
        alias[poor] = rich
        keep[rich] -= 1.0 - keep[poor]
        if keep[rich] < 1.0:
            large += 1
            work[small] = rich
            small += 1
    for i in range(small):
        keep[work[i]] = 1.0


@numba.njit(cache=True, nogil=True)
def _draw_gene(u: float, keep: FloatArray, alias: CodeArray) -> int:
    x = u * keep.size
    g = min(int(x), keep.size - 1)
    return g if x - g < keep[g] else alias[g]


@numba.njit(cache=True, nogil=True)
def _flush(scratch: CodeArray, data: Float32Array, indices: CodeArray, nnz: int) -> int:
    """Append the non-zero entries of `scratch` at `nnz` and empty it; return the new end."""
    for g in range(scratch.size):
        if scratch[g] > 0:
            data[nnz] = scratch[g]
            indices[nnz] = g
            scratch[g] = 0
            nnz += 1
    return nnz


@numba.njit(cache=True, nogil=True)
def fill_poisson(
    batch: CodeArray,
    n_draws: IntArray,
    keep: FloatArray,
    alias: CodeArray,
    uniform: FloatArray,
    scratch: CodeArray,
    data: Float32Array,
    indices: CodeArray,
    indptr: CodeArray,
) -> None:
    """Draw `n_draws[j, t]` molecules of each programme t for each cell j and write the cells' counts as CSR."""
    nnz, draw = 0, 0
    for j in range(batch.size):
        k = batch[j]
        for t in range(n_draws.shape[1]):
            for _ in range(n_draws[j, t]):
                scratch[_draw_gene(uniform[draw, 0], keep[k, t], alias[k, t])] += 1
                draw += 1
        nnz = _flush(scratch, data, indices, nnz)
        indptr[j + 1] = nnz


@numba.njit(cache=True, nogil=True)
def fill_clustered(
    batch: CodeArray,
    n_draws: IntArray,
    keep: FloatArray,
    alias: CodeArray,
    uniform: FloatArray,
    scratch: CodeArray,
    weight: FloatArray,
    rates: FloatArray,
    dispersion: float,
    data: Float32Array,
    indices: CodeArray,
    indptr: CodeArray,
) -> None:
    """Do as `fill_poisson`, but thin the molecules to clusters and give each cluster a logarithmic size.

    The size is drawn by Kemp's method with `log(1 - p) = -log(1 + a m)`.
    """
    nnz, draw = 0, 0
    for j in range(batch.size):
        k = batch[j]
        for t in range(n_draws.shape[1]):
            for _ in range(n_draws[j, t]):
                g = _draw_gene(uniform[draw, 0], keep[k, t], alias[k, t])
                mean = 0.0
                for s in range(n_draws.shape[1]):
                    mean += weight[j, s] * rates[k, s, g]
                log_q = np.log1p(dispersion * mean)
                if uniform[draw, 1] * dispersion * mean < log_q:
                    q = -np.expm1(-log_q * uniform[draw, 2])
                    scratch[g] += 1 if q <= 0.0 else int(1.0 + np.log1p(-uniform[draw, 3]) / np.log(q))
                draw += 1
        nnz = _flush(scratch, data, indices, nnz)
        indptr[j + 1] = nnz
