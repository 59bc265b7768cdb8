"""Poisson regression of the counts of one cell on given programmes, with shares that are not negative."""

import math

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

_EM_STEPS = 6
_SMALL = 1e-3
_SWEEPS = 200
_EXACT = 1e-12
_RIDGE = 1e-10
_HALVINGS = 30
_ARMIJO = 1e-4
_TINY = 1e-300


def _slopes(
    values: FloatArray, rows: FloatArray, share: FloatArray, means: FloatArray, total: float, slope: FloatArray
) -> float:
    # rows: (n, n_factors). means: (n,) and slope: (n_factors,), written. Gives sum(Y log mean) / total.
    likelihood = 0.0
    slope[:] = 0.0
    for i in range(values.size):
        row, mean = rows[i], 0.0
        for t in range(share.size):
            mean += share[t] * row[t]
        mean = max(mean, _TINY)
        means[i] = mean
        weight = values[i] / (total * mean)
        likelihood += values[i] * math.log(mean)
        for t in range(share.size):
            slope[t] += weight * row[t]
    return likelihood / total


_slopes = compiled(_slopes)


def _find_active(share: FloatArray, slope: FloatArray, active: IntArray) -> int:
    # Shares that are not 0, or would rise from 0. active: (n_factors,), the first of them written. Gives their number.
    n = 0
    for t in range(share.size):
        if share[t] > 0 or slope[t] > 1.0:
            active[n] = t
            n += 1
    return n


_find_active = compiled(_find_active)


def _curvature(
    values: FloatArray,
    rows: FloatArray,
    means: FloatArray,
    total: float,
    active: IntArray,
    packed: FloatArray,
    hessian: FloatArray,
) -> None:
    # Second derivatives of -sum(Y log mean) / total. active: (n,). packed: (n,), scratch. hessian: (n, n), written.
    n = active.size
    hessian[:] = 0.0
    for i in range(values.size):
        row, weight = rows[i], values[i] / (total * means[i] * means[i])
        for a in range(n):
            packed[a] = row[active[a]]
        for a in range(n):
            pull, here = weight * packed[a], hessian[a]
            for b in range(a + 1):
                here[b] += pull * packed[b]
    for a in range(n):
        hessian[a, a] += _RIDGE
        for b in range(a):
            hessian[b, a] = hessian[a, b]


_curvature = compiled(_curvature)


def _newton_target(
    share: FloatArray, slope: FloatArray, active: IntArray, hessian: FloatArray, target: FloatArray
) -> None:
    # Where the quadratic model of sum(share) - sum(Y log mean) / total is least among shares of 0 or more, by
    # coordinate descent; those that are not active stay. active: (n,). hessian: (n, n). target: (n_factors,), written.
    for t in range(share.size):
        target[t] = share[t]
    for _ in range(_SWEEPS):
        moved = 0.0
        for a in range(active.size):
            t, gradient = active[a], 1.0 - slope[active[a]]
            for b in range(active.size):
                gradient += hessian[a, b] * (target[active[b]] - share[active[b]])
            new = max(target[t] - gradient / hessian[a, a], 0.0)
            moved = max(moved, abs(new - target[t]))
            target[t] = new
        if moved < _EXACT:
            break


_newton_target = compiled(_newton_target)


def _likelihood_between(
    values: FloatArray,
    rows: FloatArray,
    share: FloatArray,
    target: FloatArray,
    step: float,
    total: float,
    mixed: FloatArray,
) -> float:
    # mixed: (n_factors,), written: shares that sum to 1, a step of the way to the target.
    whole, likelihood = 0.0, 0.0
    for t in range(share.size):
        mixed[t] = share[t] + step * (target[t] - share[t])
        whole += mixed[t]
    for t in range(share.size):
        mixed[t] /= whole
    for i in range(values.size):
        row, mean = rows[i], 0.0
        for t in range(share.size):
            mean += mixed[t] * row[t]
        likelihood += values[i] * math.log(max(mean, _TINY))
    return likelihood / total


_likelihood_between = compiled(_likelihood_between)


def _climb(
    values: FloatArray,
    rows: FloatArray,
    share: FloatArray,
    target: FloatArray,
    slope: FloatArray,
    likelihood: float,
    total: float,
    mixed: FloatArray,
) -> bool:
    # Go towards the target, half as far until the likelihood has risen enough. share: moved. Tells whether it has.
    rise, length = 0.0, 1.0
    for t in range(share.size):
        rise += (slope[t] - 1.0) * (target[t] - share[t])
    for _ in range(_HALVINGS):
        reached = _likelihood_between(values, rows, share, target, length, total, mixed)
        if reached >= likelihood + _ARMIJO * length * rise:
            for t in range(share.size):
                share[t] = mixed[t]
            return True
        length *= 0.5
    return False


_climb = compiled(_climb)


def _prune(share: FloatArray, slope: FloatArray) -> None:
    # Small shares that fall are put to 0, where most of them end: the rest is faster without them.
    whole = 0.0
    for t in range(share.size):
        if share[t] < _SMALL and slope[t] < 1.0:
            share[t] = 0.0
        whole += share[t]
    share /= whole


_prune = compiled(_prune)


def _fit_shares(
    values: FloatArray,
    rows: FloatArray,
    tol: float,
    max_iter: int,
    means: FloatArray,
    slope: FloatArray,
    active: IntArray,
    hessian: FloatArray,
    target: FloatArray,
    mixed: FloatArray,
    share: FloatArray,
) -> float:
    # One cell. share: (n_factors,), sums to 1, moved. Gives how far the log-likelihood may be from its maximum.
    total, gap = values.sum(), 0.0
    for step in range(max_iter):
        likelihood = _slopes(values, rows, share, means, total, slope)
        gap = total * (slope.max() - 1.0)
        if gap <= tol:
            break
        if step == _EM_STEPS:
            _prune(share, slope)
            likelihood = _slopes(values, rows, share, means, total, slope)
        if step >= _EM_STEPS:
            n = _find_active(share, slope, active)
            _curvature(values, rows, means, total, active[:n], target[:n], hessian[:n, :n])
            _newton_target(share, slope, active[:n], hessian[:n, :n], target)
            if _climb(values, rows, share, target, slope, likelihood, total, mixed):
                continue
        share *= slope
    return gap


_fit_shares = compiled(_fit_shares)


def _fit_activity(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    beta: FloatArray,
    expected: FloatArray,
    tol: float,
    max_iter: int,
    values: FloatArray,
    rows: FloatArray,
    means: FloatArray,
    per_factor: FloatArray,
    active: IntArray,
    hessian: FloatArray,
    theta: FloatArray,
    gap: FloatArray,
) -> None:
    # data and indices begin at position indptr[0]. batch: one per row. beta: (n_genes, n_factors), positive.
    # expected: (n_batches, n_factors), the counts that theta of 1 gives in a batch, 0 where it gives none.
    # values, means: (n,) and rows: (n, n_factors), scratch for the longest row; per_factor: (4, n_factors),
    # active: (n_factors,) and hessian: (n_factors, n_factors), scratch.
    # theta: (n_rows, n_factors), first a start that is positive where it may be, then the result. gap: (n_rows,),
    # written.
    first, n_factors = indptr[0], beta.shape[1]
    share, slope, target, mixed = per_factor[0], per_factor[1], per_factor[2], per_factor[3]
    for j in range(theta.shape[0]):
        n, total, whole, of_one = 0, 0.0, 0.0, expected[batch[j]]
        for t in range(n_factors):
            share[t] = theta[j, t] * of_one[t]
            whole += share[t]
        for at in range(indptr[j] - first, indptr[j + 1] - first):
            gene, mean = beta[indices[at]], 0.0
            for t in range(n_factors):
                rows[n, t] = gene[t] / of_one[t] if of_one[t] > 0 else 0.0
                mean += rows[n, t] * share[t]
            if data[at] > 0 and mean > 0:
                values[n] = data[at]
                total += data[at]
                n += 1
        if n == 0 or not whole > 0:
            theta[j] = 0.0
            gap[j] = 0.0
            continue
        for t in range(n_factors):
            share[t] /= whole
        gap[j] = _fit_shares(values[:n], rows[:n], tol, max_iter, means, slope, active, hessian, target, mixed, share)
        for t in range(n_factors):
            theta[j, t] = share[t] * total / of_one[t] if of_one[t] > 0 else 0.0


fit_activity = compiled(_fit_activity)
"""Find the activities that make the counts of each cell most likely, and a bound on what the log-likelihood lacks."""
