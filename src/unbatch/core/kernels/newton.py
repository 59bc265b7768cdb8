"""Batch effects of each gene by Newton's method, and their variances; one gene after another."""

import math

from unbatch._types import FloatArray
from unbatch.core.kernels._compile import compiled

_TINY = 1e-300
_NEAR = 0.1
"""After a step below this the curvature is used again, for as long as each step is this small a part of the last."""


def _add_prior(per_width: FloatArray, coupling: FloatArray, hessian: FloatArray) -> None:
    # per_width: (n_batches,), 1 over the standard deviations of the prior. coupling: (n_batches, n_batches), inverse of
    # its correlations.
    for k in range(per_width.size):
        here, along, width = hessian[k], coupling[k], per_width[k]
        for m in range(per_width.size):
            here[m] += along[m] * width * per_width[m]


_add_prior = compiled(_add_prior)


def _curvature(
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    log_delta: FloatArray,
    dispersion: float,
    per_width: FloatArray,
    coupling: FloatArray,
    work: FloatArray,
    by_batch: FloatArray,
    hessian: FloatArray,
) -> None:
    # One gene. total: (n_states,). exposure: (n_states, n_batches). factor: (n_states or 1, n_batches) on the exposure.
    # per_width and coupling: as above. work: (3, n_batches). Written: by_batch, the counts to be expected of each batch
    # from those of the states, over the dispersion, and the curvature of the log-posterior.
    n_states, n_batches = exposure.shape
    delta, share, negative = work[0], work[1], work[2]
    for k in range(n_batches):
        delta[k] = math.exp(log_delta[k])
    by_batch[:] = 0.0
    hessian[:] = 0.0
    for s in range(n_states):
        if total[s] > 0:
            along = factor[s if factor.shape[0] > 1 else 0]
            weight = 0.0
            for k in range(n_batches):
                share[k] = exposure[s, k] * along[k] * delta[k]
                weight += share[k]
            per_weight = 1.0 / max(weight, _TINY)
            for k in range(n_batches):
                share[k] *= per_weight
                negative[k] = -total[s] / dispersion * share[k]
                by_batch[k] -= negative[k]
            for k in range(n_batches):
                here, times = hessian[k], negative[k]
                if times < 0:
                    for m in range(n_batches):
                        here[m] += times * share[m]
    for k in range(n_batches):
        hessian[k, k] += by_batch[k]
    _add_prior(per_width, coupling, hessian)


_curvature = compiled(_curvature)


def _factorise(matrix: FloatArray) -> None:
    # Cholesky of the upper triangle, in place. The prior keeps its pivots positive.
    n = matrix.shape[0]
    for k in range(n):
        here = matrix[k]
        pivot = 1.0 / math.sqrt(here[k])
        for j in range(k, n):
            here[j] *= pivot
        for i in range(k + 1, n):
            times, tail, there = here[i], here[i:], matrix[i, i:]
            for j in range(tail.size):
                there[j] -= times * tail[j]


_factorise = compiled(_factorise)


def _solve(factor: FloatArray, right: FloatArray) -> None:
    # In place, by the factor from above.
    n = right.size
    for k in range(n):
        right[k] /= factor[k, k]
        value, here, there = right[k], factor[k, k + 1 :], right[k + 1 :]
        for j in range(here.size):
            there[j] -= value * here[j]
    for k in range(n - 1, -1, -1):
        here, value = factor[k], right[k]
        for j in range(k + 1, n):
            value -= here[j] * right[j]
        right[k] = value / here[k]


_solve = compiled(_solve)


def _invert(factor: FloatArray, inverse: FloatArray) -> None:
    # The inverse of the transposed factor: a lower triangle whose columns, squared and summed, give variances.
    inverse[:] = 0.0
    for i in range(factor.shape[0]):
        here = inverse[i]
        here[i] = 1.0
        for j in range(i):
            times, there = factor[j, i], inverse[j]
            for k in range(j + 1):
                here[k] -= times * there[k]
        for k in range(i + 1):
            here[k] /= factor[i, i]


_invert = compiled(_invert)


def _expected(
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    log_delta: FloatArray,
    dispersion: float,
    work: FloatArray,
    by_batch: FloatArray,
) -> None:
    # What `_curvature` gives of `by_batch` alone.
    n_states, n_batches = exposure.shape
    delta, share = work[0], work[1]
    for k in range(n_batches):
        delta[k] = math.exp(log_delta[k])
    by_batch[:] = 0.0
    for s in range(n_states):
        if total[s] > 0:
            along = factor[s if factor.shape[0] > 1 else 0]
            weight = 0.0
            for k in range(n_batches):
                share[k] = exposure[s, k] * along[k] * delta[k]
                weight += share[k]
            times = total[s] / (dispersion * max(weight, _TINY))
            for k in range(n_batches):
                by_batch[k] += times * share[k]


_expected = compiled(_expected)


def _step(
    observed: FloatArray,
    by_batch: FloatArray,
    dispersion: float,
    per_width: FloatArray,
    coupling: FloatArray,
    longest: float,
    hessian: FloatArray,
    step: FloatArray,
    log_delta: FloatArray,
) -> float:
    # One step by the factor of the curvature; gives its longest part.
    for k in range(step.size):
        along, pulled = coupling[k], 0.0
        for m in range(step.size):
            pulled += along[m] * per_width[m] * log_delta[m]
        step[k] = observed[k] / dispersion - by_batch[k] - per_width[k] * pulled
    _solve(hessian, step)
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
    coupling: FloatArray,
    steps: tuple[int, float, float, float],
    work: FloatArray,
    hessian: FloatArray,
    log_delta: FloatArray,
) -> None:
    # One gene; leaves the factor of the curvature at the end. A curvature takes n_batches times as long as what is
    # expected, so near the mode that of an earlier step serves, until the last one, which is by that of the end
    # unless it is near enough.
    n_steps, longest, short, same = steps
    by_batch, step, moved, since, fresh = work[3], work[4], math.inf, math.inf, True
    for _ in range(n_steps):
        if fresh:
            _curvature(total, exposure, factor, log_delta, dispersion, per_width, coupling, work, by_batch, hessian)
            _factorise(hessian)
            since = 0.0
        else:
            _expected(total, exposure, factor, log_delta, dispersion, work, by_batch)
        before, moved = (
            moved,
            _step(observed, by_batch, dispersion, per_width, coupling, longest, hessian, step, log_delta),
        )
        since += moved
        if moved < short:
            break
        fresh = moved > _NEAR * min(before, 1.0)
    if since > same:
        _curvature(total, exposure, factor, log_delta, dispersion, per_width, coupling, work, by_batch, hessian)
        _factorise(hessian)
        _step(observed, by_batch, dispersion, per_width, coupling, longest, hessian, step, log_delta)


_newton = compiled(_newton)


def _find_modes(
    total: FloatArray,
    observed: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    dispersion: FloatArray,
    per_width: FloatArray,
    coupling: FloatArray,
    steps: tuple[int, float, float, float],
    work: FloatArray,
    hessian: FloatArray,
    inverse: FloatArray,
    log_delta: FloatArray,
    variance: FloatArray,
) -> None:
    # total: (n_genes, n_states). observed: (n_genes, n_batches). exposure: (n_states, n_batches).
    # factor: (n_genes or 1, n_states or 1, n_batches). steps: how many, the longest, how short is short enough, and
    # by how much all since the curvature was found may add up to for it to be that of the end.
    # per_width: (n_genes, n_batches). coupling: (n_batches, n_batches). log_delta: (n_genes, n_batches), moved.
    # variance: (n_genes, n_batches), written.
    n_genes, n_batches = log_delta.shape
    for g in range(n_genes):
        seen = 0.0
        for s in range(total.shape[1]):
            seen = max(seen, total[g, s])
        if seen <= 0.0:
            for k in range(n_batches):
                log_delta[g, k], variance[g, k] = 0.0, 1.0 / per_width[g, k] ** 2
            continue
        along = factor[g if factor.shape[0] > 1 else 0]
        _newton(
            total[g],
            observed[g],
            exposure,
            along,
            dispersion[g],
            per_width[g],
            coupling,
            steps,
            work,
            hessian,
            log_delta[g],
        )
        _invert(hessian, inverse)
        for k in range(n_batches):
            variance[g, k] = 0.0
        for i in range(n_batches):
            for k in range(i + 1):
                variance[g, k] += inverse[i, k] * inverse[i, k]


find_modes = compiled(_find_modes)
"""Find the posterior mode of log delta and its variance."""


def _find_errors(
    total: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    dispersion: FloatArray,
    per_width: FloatArray,
    coupling: FloatArray,
    share: FloatArray,
    log_delta: FloatArray,
    work: FloatArray,
    hessian: FloatArray,
    inverse: FloatArray,
    se: FloatArray,
) -> None:
    # As above. share: (n_genes or 1, n_batches) weight of each batch in the mean that is taken off.
    n_genes, n_batches = log_delta.shape
    by_batch = work[3]
    for g in range(n_genes):
        along, weights = factor[g if factor.shape[0] > 1 else 0], share[g if share.shape[0] > 1 else 0]
        _curvature(
            total[g], exposure, along, log_delta[g], dispersion[g], per_width[g], coupling, work, by_batch, hessian
        )
        _factorise(hessian)
        _invert(hessian, inverse)
        for k in range(n_batches):
            se[g, k] = 0.0
        for i in range(n_batches):
            mean = 0.0
            for k in range(i + 1):
                mean += inverse[i, k] * weights[k]
            for k in range(n_batches):
                se[g, k] += (inverse[i, k] - mean) ** 2
        for k in range(n_batches):
            se[g, k] = math.sqrt(se[g, k])


find_errors = compiled(_find_errors)
"""Find the posterior standard deviation of log delta less its mean over batches."""


def _find_information(
    total: FloatArray,
    observed: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    dispersion: FloatArray,
    log_delta: FloatArray,
    no_width: FloatArray,
    no_coupling: FloatArray,
    work: FloatArray,
    curvature: FloatArray,
    pull: FloatArray,
) -> None:
    # As above. no_width and no_coupling: those of no prior, zeros. Written: curvature, (n_genes, n_batches, n_batches),
    # of the log-likelihood at log_delta, and pull, (n_genes, n_batches), what it times the likeliest effects would be.
    n_genes, n_batches = log_delta.shape
    by_batch = work[3]
    for g in range(n_genes):
        along, here = factor[g if factor.shape[0] > 1 else 0], curvature[g]
        _curvature(total[g], exposure, along, log_delta[g], dispersion[g], no_width, no_coupling, work, by_batch, here)
        for k in range(n_batches):
            pull[g, k] = observed[g, k] / dispersion[g] - by_batch[k]
            for m in range(n_batches):
                pull[g, k] += here[k, m] * log_delta[g, m]


find_information = compiled(_find_information)
"""Find what counts tell of the effects of each gene, without a prior."""


def _add_moments(mean: FloatArray, inverse: FloatArray, second: FloatArray) -> None:
    # Second moments from the mean and the inverted factor of the curvature.
    n = mean.size
    for k in range(n):
        here, times = second[k], mean[k]
        for m in range(n):
            here[m] += times * mean[m]
    for i in range(n):
        row = inverse[i]
        for k in range(i + 1):
            here, times = second[k], row[k]
            for m in range(i + 1):
                here[m] += times * row[m]


_add_moments = compiled(_add_moments)


def _sum_posteriors(
    curvature: FloatArray,
    pull: FloatArray,
    coupling: FloatArray,
    mean: FloatArray,
    hessian: FloatArray,
    inverse: FloatArray,
    second: FloatArray,
    told: FloatArray,
) -> None:
    # curvature and pull: as above, of effects whose prior has a standard deviation of 1. mean: (n_batches,). Written:
    # second, (n_batches, n_batches), sum over genes of the second moments of effects, and told, (n_genes, n_batches),
    # share of the prior's variance that counts take away.
    n_genes, n_batches = pull.shape
    second[:] = 0.0
    for g in range(n_genes):
        for k in range(n_batches):
            mean[k] = pull[g, k]
            for m in range(n_batches):
                hessian[k, m] = curvature[g, k, m] + coupling[k, m]
        _factorise(hessian)
        _solve(hessian, mean)
        _invert(hessian, inverse)
        for k in range(n_batches):
            told[g, k] = 1.0
            for i in range(k, n_batches):
                told[g, k] -= inverse[i, k] * inverse[i, k]
        _add_moments(mean, inverse, second)


sum_posteriors = compiled(_sum_posteriors)
"""Sum the second moments of effects given their counts, and find what these tell."""
