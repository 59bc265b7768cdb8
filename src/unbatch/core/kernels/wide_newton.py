"""Batch effects of each gene by Newton's method where batches are many: by as many numbers as states, not batches."""

import math

from unbatch._types import FloatArray
from unbatch.core.kernels._compile import compiled, compiled_to_sum

_TINY = 1e-300
_NEAR = 0.1
"""After a step below this the curvature is used again, for as long as each step is this small a part of the last."""
_LEAST_PIVOT = 1e-14


# With D = diag(d) the curvature of the log-posterior is D - Q' Q, where the rows of Q are the shares of batches in each
# state, times the root of its counts over the dispersion, and what batches have in common of the prior. With T = Q over
# the root of d, and M = I - T T',
#
#     (D - Q' Q)^-1 = D^-1/2 (I + T' M^-1 T) D^-1/2
#
# (Woodbury 1950): M has as many rows as there are states with counts.


def _expected(
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    log_delta: FloatArray,
    dispersion: float,
    delta: FloatArray,
    by_batch: FloatArray,
    rows: FloatArray,
) -> int:
    # One gene. total: (n_states,). exposure: (n_states, n_batches). factor: (n_states or 1, n_batches) on the exposure.
    # delta: scratch. Written: by_batch, (n_batches,), the counts to be expected of each batch from those of the states,
    # over the dispersion, and the first rows, as above, whose number is given.
    n_states, n_batches = exposure.shape
    for k in range(n_batches):
        delta[k] = math.exp(log_delta[k])
    by_batch[:] = 0.0
    n = 0
    for s in range(n_states):
        if total[s] > 0:
            row, along = rows[n], factor[s if factor.shape[0] > 1 else 0]
            weight = 0.0
            for k in range(n_batches):
                row[k] = exposure[s, k] * along[k] * delta[k]
                weight += row[k]
            counts = total[s] / dispersion
            per_weight, root = counts / max(weight, _TINY), math.sqrt(counts) / max(weight, _TINY)
            for k in range(n_batches):
                by_batch[k] += row[k] * per_weight
                row[k] *= root
            n += 1
    return n


_expected = compiled_to_sum(_expected)


def _gram(rows: FloatArray, n: int, matrix: FloatArray) -> None:
    # M of the first n rows: the upper triangle.
    for i in range(n):
        mine = rows[i]
        j = i
        while j + 3 < n:
            a, b, c, d = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
            of_a, of_b, of_c, of_d = 0.0, 0.0, 0.0, 0.0
            for k in range(mine.size):
                value = mine[k]
                of_a += value * a[k]
                of_b += value * b[k]
                of_c += value * c[k]
                of_d += value * d[k]
            matrix[i, j], matrix[i, j + 1], matrix[i, j + 2], matrix[i, j + 3] = -of_a, -of_b, -of_c, -of_d
            j += 4
        for last in range(j, n):
            total, other = 0.0, rows[last]
            for k in range(mine.size):
                total += mine[k] * other[k]
            matrix[i, last] = -total
        matrix[i, i] += 1.0


_gram = compiled_to_sum(_gram)


def _factorise(matrix: FloatArray, n: int) -> None:
    # Cholesky of the upper triangle, in place. Rounding must not make a pivot of 0 of a small one.
    for k in range(n):
        here = matrix[k]
        pivot = 1.0 / math.sqrt(max(here[k], _LEAST_PIVOT))
        here[k] = max(here[k], _LEAST_PIVOT)
        for j in range(k, n):
            here[j] *= pivot
        for i in range(k + 1, n):
            times, tail, there = here[i], here[i:n], matrix[i, i:n]
            for j in range(tail.size):
                there[j] -= times * tail[j]


_factorise = compiled(_factorise)


def _curvature(
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    log_delta: FloatArray,
    dispersion: float,
    per_width: FloatArray,
    unique: FloatArray,
    common: FloatArray,
    work: FloatArray,
    rows: FloatArray,
    matrix: FloatArray,
) -> int:
    # As above. per_width: (n_batches,), 1 over the standard deviations of the prior, whose inverse correlation is
    # diag(unique) - common' common, common: (n_common, n_batches). work: (4, n_batches). Written: its second row,
    # by_batch, and third, the root of d; rows, T; matrix, the factor of M. Gives the number of rows.
    by_batch, root = work[1], work[2]
    n = _expected(total, exposure, factor, log_delta, dispersion, work[0], by_batch, rows)
    for c in range(common.shape[0]):
        row, along = rows[n], common[c]
        for k in range(along.size):
            row[k] = along[k] * per_width[k]
        n += 1
    for k in range(root.size):
        root[k] = math.sqrt(by_batch[k] + unique[k] * per_width[k] * per_width[k])
    for r in range(n):
        row = rows[r]
        for k in range(root.size):
            row[k] /= root[k]
    _gram(rows, n, matrix)
    _factorise(matrix, n)
    return n


_curvature = compiled(_curvature)


def _solve_small(matrix: FloatArray, n: int, right: FloatArray) -> None:
    # In place, by the factor from above.
    for i in range(n):
        right[i] /= matrix[i, i]
        for j in range(i + 1, n):
            right[j] -= right[i] * matrix[i, j]
    for i in range(n - 1, -1, -1):
        value = right[i]
        for j in range(i + 1, n):
            value -= matrix[i, j] * right[j]
        right[i] = value / matrix[i, i]


_solve_small = compiled(_solve_small)


def _solve(
    rows: FloatArray, n: int, matrix: FloatArray, root: FloatArray, small: FloatArray, right: FloatArray
) -> None:
    # In place, by what `_curvature` gives. small: scratch, one number for each row.
    for k in range(right.size):
        right[k] /= root[k]
    for r in range(n):
        total, row = 0.0, rows[r]
        for k in range(right.size):
            total += row[k] * right[k]
        small[r] = total
    _solve_small(matrix, n, small)
    for r in range(n):
        times, row = small[r], rows[r]
        for k in range(right.size):
            right[k] += times * row[k]
    for k in range(right.size):
        right[k] /= root[k]


_solve = compiled_to_sum(_solve)


def _halve(rows: FloatArray, n: int, matrix: FloatArray) -> None:
    # Rows become B, of which I + T' M^-1 T = I + B' B.
    for r in range(n):
        mine = rows[r]
        for i in range(r):
            times, other = matrix[i, r], rows[i]
            for k in range(mine.size):
                mine[k] -= times * other[k]
        for k in range(mine.size):
            mine[k] /= matrix[r, r]


_halve = compiled(_halve)


def _step(
    observed: FloatArray,
    dispersion: float,
    per_width: FloatArray,
    unique: FloatArray,
    common: FloatArray,
    longest: float,
    work: FloatArray,
    rows: FloatArray,
    n: int,
    matrix: FloatArray,
    small: FloatArray,
    log_delta: FloatArray,
) -> float:
    # One step by the factor of the curvature; gives its longest part.
    by_batch, root, step = work[1], work[2], work[3]
    for k in range(step.size):
        step[k] = observed[k] / dispersion - by_batch[k] - unique[k] * per_width[k] * per_width[k] * log_delta[k]
    for c in range(common.shape[0]):
        along, pulled = common[c], 0.0
        for k in range(step.size):
            pulled += along[k] * per_width[k] * log_delta[k]
        for k in range(step.size):
            step[k] += along[k] * per_width[k] * pulled
    _solve(rows, n, matrix, root, small, step)
    moved = 0.0
    for k in range(step.size):
        step[k] = min(max(step[k], -longest), longest)
        log_delta[k] += step[k]
        moved = max(moved, abs(step[k]))
    return moved


_step = compiled(_step)


def _newton(
    total: FloatArray,
    observed: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    dispersion: float,
    per_width: FloatArray,
    unique: FloatArray,
    common: FloatArray,
    steps: tuple[int, float, float, float],
    work: FloatArray,
    rows: FloatArray,
    spare: FloatArray,
    matrix: FloatArray,
    small: FloatArray,
    log_delta: FloatArray,
) -> int:
    # One gene; leaves rows and factor of the curvature at the end, and gives their number. As with few batches, the
    # curvature of an earlier step serves near the mode. spare: rows that are not kept.
    n_steps, longest, short, same = steps
    moved, since, fresh, n = math.inf, math.inf, True, 0
    for _ in range(n_steps):
        if fresh:
            n = _curvature(
                total, exposure, factor, log_delta, dispersion, per_width, unique, common, work, rows, matrix
            )
            since = 0.0
        else:
            _expected(total, exposure, factor, log_delta, dispersion, work[0], work[1], spare)
        before = moved
        moved = _step(observed, dispersion, per_width, unique, common, longest, work, rows, n, matrix, small, log_delta)
        since += moved
        if moved < short:
            break
        fresh = moved > _NEAR * min(before, 1.0)
    if since > same:
        n = _curvature(total, exposure, factor, log_delta, dispersion, per_width, unique, common, work, rows, matrix)
        _step(observed, dispersion, per_width, unique, common, longest, work, rows, n, matrix, small, log_delta)
    return n


_newton = compiled(_newton)


def _find_wide_modes(
    total: FloatArray,
    observed: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    dispersion: FloatArray,
    per_width: FloatArray,
    unique: FloatArray,
    common: FloatArray,
    steps: tuple[int, float, float, float],
    work: FloatArray,
    rows: FloatArray,
    spare: FloatArray,
    matrix: FloatArray,
    small: FloatArray,
    log_delta: FloatArray,
    variance: FloatArray,
) -> None:
    # total: (n_genes, n_states). observed: (n_genes, n_batches). exposure: (n_states, n_batches).
    # factor: (n_genes or 1, n_states or 1, n_batches). steps: how many, the longest, how short is short enough, and
    # by how much all since the curvature was found may add up to for it to be that of the end.
    # per_width: (n_genes, n_batches). unique: (n_batches,). common: (n_common, n_batches). work: (4, n_batches).
    # rows, spare: (n_states + n_common, n_batches). matrix, small: as many squared, and as many.
    # log_delta: (n_genes, n_batches), moved. variance: (n_genes, n_batches), written.
    n_genes, n_batches = log_delta.shape
    for g in range(n_genes):
        seen = 0.0
        for s in range(total.shape[1]):
            seen = max(seen, total[g, s])
        if seen <= 0.0:
            for k in range(n_batches):
                log_delta[g, k], variance[g, k] = 0.0, 1.0 / per_width[g, k] ** 2
            continue
        n = _newton(
            total[g],
            observed[g],
            exposure,
            factor[g if factor.shape[0] > 1 else 0],
            dispersion[g],
            per_width[g],
            unique,
            common,
            steps,
            work,
            rows,
            spare,
            matrix,
            small,
            log_delta[g],
        )
        _halve(rows, n, matrix)
        here, root = variance[g], work[2]
        here[:] = 1.0
        for r in range(n):
            row = rows[r]
            for k in range(n_batches):
                here[k] += row[k] * row[k]
        for k in range(n_batches):
            here[k] /= root[k] * root[k]


find_wide_modes = compiled(_find_wide_modes)
"""Find the posterior mode of log delta and its variance."""


def _find_wide_errors(
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    dispersion: FloatArray,
    per_width: FloatArray,
    unique: FloatArray,
    common: FloatArray,
    share: FloatArray,
    log_delta: FloatArray,
    work: FloatArray,
    rows: FloatArray,
    matrix: FloatArray,
    se: FloatArray,
) -> None:
    # As above. share: (n_genes or 1, n_batches) weight of each batch in the mean that is taken off.
    # With C the covariance of effects, the variance of one less their mean is C_kk - 2 (C share)_k + share' C share.
    n_genes, n_batches = log_delta.shape
    root, mean, right = work[2], work[3], work[0]
    for g in range(n_genes):
        along, weights, here = factor[g if factor.shape[0] > 1 else 0], share[g if share.shape[0] > 1 else 0], se[g]
        n = _curvature(
            total[g],
            exposure,
            along,
            log_delta[g],
            dispersion[g],
            per_width[g],
            unique,
            common,
            work,
            rows,
            matrix,
        )
        _halve(rows, n, matrix)
        for k in range(n_batches):
            right[k] = weights[k] / root[k]
            mean[k] = right[k]
            here[k] = 1.0
        for r in range(n):
            row, times = rows[r], 0.0
            for k in range(n_batches):
                times += row[k] * right[k]
            for k in range(n_batches):
                mean[k] += times * row[k]
                here[k] += row[k] * row[k]
        whole = 0.0
        for k in range(n_batches):
            mean[k] /= root[k]
            whole += weights[k] * mean[k]
        for k in range(n_batches):
            here[k] = math.sqrt(max(here[k] / (root[k] * root[k]) - 2.0 * mean[k] + whole, 0.0))


find_wide_errors = compiled(_find_wide_errors)
"""Find the posterior standard deviation of log delta less its mean over batches."""
