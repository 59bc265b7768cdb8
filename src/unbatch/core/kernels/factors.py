"""A Poisson factor model of counts by state and batch: updates that visit the counts above 0 only, and its use."""

import math

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

_TINY = 1e-12


def _update(
    data: FloatArray,
    indices: CodeArray,
    indptr: IntArray,
    rows: FloatArray,
    columns: FloatArray,
    expected: FloatArray,
    group: IntArray,
    size: FloatArray,
    updated: FloatArray,
) -> None:
    # Counts Y are CSR, data and indices beginning at position indptr[0]; rows: (n_rows, n_factors) and
    # columns: (n_columns, n_factors), of whose products the mean is made.
    # group and size: (n_rows,). expected: (n_groups, n_factors), the counts that a row of its group and of size 1 is
    # expected to have of each factor. updated: (n_rows, n_factors), written.
    first, n_factors = indptr[0], rows.shape[1]
    for i in range(rows.shape[0]):
        here, there, per_size = rows[i], updated[i], expected[group[i]]
        there[:] = 0.0
        for at in range(indptr[i] - first, indptr[i + 1] - first):
            other, mean = columns[indices[at]], 0.0
            for t in range(n_factors):
                mean += here[t] * other[t]
            ratio = data[at] / max(mean, _TINY)
            for t in range(n_factors):
                there[t] += ratio * other[t]
        for t in range(n_factors):
            there[t] *= here[t] / max(size[i] * per_size[t], _TINY)


update = compiled(_update)
"""Multiply the factors of each row by ``sum Y / mean * column`` over what is expected of it."""


def _log_likelihoods(
    data: FloatArray, indices: CodeArray, indptr: IntArray, rows: FloatArray, columns: FloatArray, found: FloatArray
) -> None:
    # As above. found: (n_rows,), written.
    first = indptr[0]
    for i in range(rows.shape[0]):
        here, total = rows[i], 0.0
        for at in range(indptr[i] - first, indptr[i + 1] - first):
            other, mean = columns[indices[at]], 0.0
            for t in range(here.size):
                mean += here[t] * other[t]
            total += data[at] * math.log(max(mean, _TINY))
        found[i] = total


log_likelihoods = compiled(_log_likelihoods)
"""Sum ``Y log(mean)`` of each row."""


def _update_gene(
    values: FloatArray,
    places: IntArray,
    activity: FloatArray,
    of_batch: FloatArray,
    delta: FloatArray,
    pull: FloatArray,
    loadings: FloatArray,
) -> None:
    # As above for one gene, of n counts above 0, and of other pairs none. of_batch: (n_batches, n_factors).
    pull[:] = 0.0
    for i in range(values.size):
        own, mean = activity[places[i]], 0.0
        for t in range(own.size):
            mean += loadings[t] * own[t]
        ratio = values[i] / max(mean, _TINY)
        for t in range(own.size):
            pull[t] += ratio * own[t]
    for t in range(loadings.size):
        expected = 0.0
        for k in range(delta.size):
            expected += delta[k] * of_batch[k, t]
        loadings[t] *= pull[t] / max(expected, _TINY)


_update_gene = compiled(_update_gene)


def _fit_loadings(
    counts: FloatArray,
    batch: IntArray,
    activity: FloatArray,
    of_batch: FloatArray,
    prior_counts: float,
    n_updates: int,
    there: IntArray,
    delta: FloatArray,
    values: FloatArray,
    places: IntArray,
    observed: FloatArray,
    pull: FloatArray,
    loadings: FloatArray,
) -> None:
    # counts: (n_genes, n_states * n_batches). there: (n_pairs,), the columns in which any cell is; batch: (n_pairs,)
    # and activity: (n_pairs, n_factors), theirs. of_batch: (n_batches, n_factors), activities times sizes, summed.
    # delta: (n_genes, n_batches), moved. values and places: (n_pairs,), scratch, and so are observed: (n_batches,)
    # and pull: (n_factors,). loadings: (n_genes, n_factors), written.
    for g in range(counts.shape[0]):
        effect, n, total, weight = delta[g], 0, 0.0, 0.0
        observed[:] = 0.0
        for p in range(there.size):
            count = counts[g, there[p]]
            if count > 0:
                values[n], places[n] = count, p
                observed[batch[p]] += count
                total += count
                n += 1
        for k in range(effect.size):
            weight += effect[k] * of_batch[k].sum()
        loadings[g] = total / max(weight, _TINY)
        for _ in range(n_updates):
            _update_gene(values[:n], places[:n], activity, of_batch, effect, pull, loadings[g])
            for k in range(effect.size):
                expected = prior_counts
                for t in range(pull.size):
                    expected += of_batch[k, t] * loadings[g, t]
                effect[k] = (observed[k] + prior_counts) / expected


fit_loadings = compiled(_fit_loadings)
"""Given activities, fit the loadings of genes one by one, and their batch effects along with them."""


def _ratios(
    loadings: FloatArray,
    activity: FloatArray,
    exposure: FloatArray,
    delta: FloatArray,
    most: float,
    strength: float,
    ratio: FloatArray,
) -> None:
    # loadings: (n_genes, n_factors). activity: (n_states, n_batches, n_factors). delta: (n_genes, n_batches).
    # ratio: (n_genes, n_states, n_batches), written.
    n_genes, n_states, n_batches = ratio.shape
    for g in range(n_genes):
        for s in range(n_states):
            here, weight, pooled = ratio[g, s], 0.0, 0.0
            for k in range(n_batches):
                mean = 0.0
                for t in range(loadings.shape[1]):
                    mean += loadings[g, t] * activity[s, k, t]
                here[k] = mean
                weight += exposure[s, k] * delta[g, k]
                pooled += exposure[s, k] * delta[g, k] * mean
            pooled /= max(weight, _TINY)
            for k in range(n_batches):
                value = here[k] / pooled if here[k] > 0 and pooled > 0 else 1.0
                value = min(max(value, 1.0 / most), most)
                here[k] = value if strength == 1.0 else value**strength


ratios = compiled(_ratios)
"""Divide the mean of each batch in a state by that of all batches in it, within bounds, to a power."""


def _update_effects(
    seen: FloatArray,
    weight: FloatArray,
    prior_counts: float,
    observed: FloatArray,
    expected: FloatArray,
    delta: FloatArray,
) -> None:
    # One gene: multiply its effects, (n_batches,), by observed over expected counts.
    expected[:] = prior_counts
    observed[:] = prior_counts
    for s in range(seen.shape[0]):
        total, counts = 0.0, 0.0
        for k in range(delta.size):
            total += weight[s, k] * delta[k]
            counts += seen[s, k]
        for k in range(delta.size):
            observed[k] += seen[s, k]
            expected[k] += weight[s, k] * delta[k] * (counts / max(total, _TINY))
    for k in range(delta.size):
        delta[k] *= observed[k] / expected[k]


_update_effects = compiled(_update_effects)


def _likelihood(held: FloatArray, weight: FloatArray, delta: FloatArray) -> float:
    # One gene.
    likelihood = 0.0
    for s in range(held.shape[0]):
        total = 0.0
        for k in range(delta.size):
            total += weight[s, k] * delta[k]
        for k in range(delta.size):
            if held[s, k] > 0:
                likelihood += held[s, k] * math.log(max(weight[s, k] * delta[k] / max(total, _TINY), _TINY))
    return likelihood


_likelihood = compiled(_likelihood)


def _held_out(
    seen: FloatArray,
    held: FloatArray,
    exposure: FloatArray,
    factor: FloatArray,
    prior_counts: float,
    n_updates: int,
    delta: FloatArray,
    weight: FloatArray,
    observed: FloatArray,
    expected: FloatArray,
    likelihood: FloatArray,
) -> None:
    # seen and held: (n_genes, n_states, n_batches). factor: the same or (1, 1, n_batches), on the exposure.
    # delta: (n_genes, n_batches), moved. weight: (n_states, n_batches), observed and expected: (n_batches,), scratch.
    for g in range(seen.shape[0]):
        along = factor[g if factor.shape[0] > 1 else 0]
        for s in range(exposure.shape[0]):
            for k in range(exposure.shape[1]):
                weight[s, k] = exposure[s, k] * along[s if along.shape[0] > 1 else 0, k]
        for _ in range(n_updates):
            _update_effects(seen[g], weight, prior_counts, observed, expected, delta[g])
        likelihood[g] = _likelihood(held[g], weight, delta[g])


held_out = compiled(_held_out)
"""Find the log-likelihood of held-out counts of genes: shares of batches, with effects fitted to the counts seen."""
