"""Updates of the factor model that visit the counts above 0 only equal those of dense algebra."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.core.kernels.factors import fit_loadings, held_out, log_likelihoods, ratios, update

N_GENES, N_STATES, N_BATCHES, N_FACTORS = 25, 6, 3, 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def exposure(rng):
    return rng.uniform(1, 9, (N_STATES, N_BATCHES)) * (rng.random((N_STATES, N_BATCHES)) < 0.8)


def test_an_update_equals_that_of_lee_and_seung(rng):
    n_rows = 10
    counts, rows, columns = rng.poisson(0.7, (n_rows, N_GENES)), rng.random((n_rows, 4)), rng.random((N_GENES, 4))
    group, size, delta = rng.integers(0, 2, n_rows), rng.random(n_rows), rng.random((2, N_GENES))
    offset = size[:, None] * delta[group]
    expected = rows * (counts / (rows @ columns.T) @ columns) / (offset @ columns)
    found, given = np.zeros_like(rows), sparse.csr_array(counts.astype(float))
    update(given.data, given.indices, given.indptr, rows, columns, delta @ columns, group, size, found)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("leaf", [log_likelihoods, log_likelihoods.py_func])
def test_log_likelihoods_are_those_of_counts_above_0(rng, leaf):
    counts, rows, columns = rng.poisson(0.7, (10, N_GENES)), rng.random((10, 4)), rng.random((N_GENES, 4))
    found, given = np.full(10, np.nan), sparse.csr_array(counts.astype(float))
    leaf(given.data, given.indices, given.indptr, rows, columns, found)
    np.testing.assert_allclose(found, (counts * np.log(rows @ columns.T)).sum(axis=1), rtol=1e-12)


def test_loadings_equal_those_of_dense_updates(rng, exposure):
    there = np.flatnonzero(exposure)
    batch, size, activity = there % N_BATCHES, exposure.ravel()[there], rng.random((len(there), N_FACTORS))
    counts = np.zeros((N_GENES, exposure.size))
    counts[:, there] = rng.poisson(1.0, (N_GENES, len(there)))
    delta = rng.uniform(0.5, 2, (N_GENES, N_BATCHES))
    in_batch = (batch[:, None] == np.arange(N_BATCHES)).astype(float)
    sums, effect, offset = counts[:, there], delta.copy(), size * delta[:, batch]
    beta = np.repeat((sums.sum(axis=1) / (offset @ activity.sum(axis=1)))[:, None], N_FACTORS, axis=1)
    for _ in range(7):
        beta = beta * (sums / (beta @ activity.T) @ activity) / (offset @ activity)
        effect = (sums @ in_batch + 5) / ((size * (beta @ activity.T)) @ in_batch + 5)
        offset = size * effect[:, batch]
    found, moved, of_batch = np.zeros_like(beta), delta.copy(), in_batch.T @ (size[:, None] * activity)
    scratch = np.empty(len(there)), np.empty(len(there), dtype=np.int64), np.empty(N_BATCHES), np.empty(N_FACTORS)
    fit_loadings(counts, batch, activity, of_batch, 5.0, 7, there, moved, *scratch, found)
    np.testing.assert_allclose(found, beta, rtol=1e-9)
    np.testing.assert_allclose(moved, effect, rtol=1e-9)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_ratios_are_to_the_mean_of_the_state_within_bounds(rng, exposure, strength):
    beta, delta = rng.gamma(0.2, size=(N_GENES, N_FACTORS)), rng.uniform(0.5, 2, (N_GENES, N_BATCHES))
    theta = rng.gamma(0.2, size=(N_STATES, N_BATCHES, N_FACTORS)) * (exposure > 0)[:, :, None]
    mean, weight = np.einsum("gt,skt->gsk", beta, theta), exposure * delta[:, None, :]
    pooled = (mean * weight).sum(axis=2, keepdims=True) / weight.sum(axis=2, keepdims=True)
    expected = np.where(exposure > 0, np.clip(mean / pooled, 1 / 2, 2), 1) ** strength
    found = np.zeros_like(mean)
    ratios(beta, theta, exposure, delta, 2.0, strength, found)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("graded", [True, False])
def test_the_likelihood_of_what_was_held_out_equals_the_formula(rng, exposure, graded):
    seen, held = (rng.poisson(4.0, (N_GENES, *exposure.shape)) * (exposure > 0.0) for _ in range(2))
    factor = rng.uniform(0.5, 2, seen.shape if graded else (1, 1, N_BATCHES))
    delta = rng.uniform(0.5, 2, (N_GENES, N_BATCHES))
    effect = delta.copy()
    for _ in range(5):
        weight = exposure * factor * effect[:, None, :]
        expected = (weight * (seen.sum(axis=2) / weight.sum(axis=2))[:, :, None]).sum(axis=1)
        effect = effect * (seen.sum(axis=1) + 5) / (expected + 5)
    weight = exposure * factor * effect[:, None, :]
    share = weight / weight.sum(axis=2, keepdims=True)
    likelihood = np.zeros(N_GENES)
    scratch = np.empty(exposure.shape), np.empty(N_BATCHES), np.empty(N_BATCHES)
    expected = (held * np.log(np.where(share > 0, share, 1))).sum(axis=(1, 2))
    mine, few = np.zeros(2), factor[5:7] if graded else factor  # two genes by themselves
    held_out(*(of[5:7].astype(float) for of in (seen, held)), exposure, few, 5.0, 5, delta[5:7].copy(), *scratch, mine)
    np.testing.assert_allclose(mine, expected[5:7], rtol=1e-9)
    for leaf in (held_out, held_out.py_func):  # the latter reads and writes nothing beyond an array
        leaf(seen.astype(float), held.astype(float), exposure, factor, 5.0, 5, delta.copy(), *scratch, likelihood)
        np.testing.assert_allclose(likelihood, expected, rtol=1e-9)
