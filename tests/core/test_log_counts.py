"""Logs of adjusted counts equal their formulas, however they are asked for."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.core import log_counts
from unbatch.core.log_counts import LogCounts, common_scale

N_CELLS, N_GENES = 200, 40


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def counts(rng):
    return sparse.csr_array(rng.poisson(1.5 * np.exp(rng.standard_normal(N_GENES)), (N_CELLS, N_GENES)).astype(float))


@pytest.fixture
def batch(rng):
    return rng.integers(0, 3, N_CELLS).astype(np.int32)


def written(logs):
    return logs.dense(np.arange(len(logs.batch)), genes=np.arange(logs.n_genes))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logs_equal_the_formula(rng, counts, batch, dtype):
    log_delta, genes = rng.standard_normal((N_GENES, 3)), rng.random(N_GENES) < 0.7
    adjusted = counts.toarray() / np.exp(log_delta[:, batch]).T
    size = adjusted[:, genes].sum(axis=1)
    logs = LogCounts.of(counts.astype(dtype), log_delta, batch=batch, genes=genes)
    np.testing.assert_allclose(logs.size, size, rtol=1e-12)
    assert logs.scale == pytest.approx(common_scale(size, batch), rel=1e-12)
    expected = np.log1p(logs.scale * adjusted / size[:, None])
    np.testing.assert_allclose(written(logs), expected, rtol=1e-12)
    some, genes = np.array([30, 31, 77, 5]), np.array([3, 8, 20])
    np.testing.assert_allclose(logs.dense(some, genes=genes), expected[np.ix_(some, genes)], rtol=1e-12)
    basis = rng.standard_normal((N_GENES, 4)) * (rng.random(N_GENES) < 0.5)[:, None]
    np.testing.assert_allclose(logs.project(basis), expected @ basis, atol=1e-12)
    group = rng.integers(0, 5, N_CELLS)
    sums, squares = logs.moments(group)
    np.testing.assert_allclose(sums, np.stack([expected[group == name].sum(axis=0) for name in range(5)]), rtol=1e-12)
    np.testing.assert_allclose(squares, np.square(expected).sum(axis=0), rtol=1e-12)


def test_pieces_of_cells_change_nothing(counts, batch, monkeypatch):
    logs = LogCounts.of(counts, np.zeros((N_GENES, 3)), batch=batch, genes=np.ones(N_GENES, dtype=bool))
    sums, squares = logs.moments(batch)
    dense = written(logs)
    monkeypatch.setattr(log_counts, "_SUMMED_CELLS", 7)
    monkeypatch.setattr(log_counts, "_CELLS", 7)
    for found, expected in zip(logs.moments(batch), (sums, squares), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(written(logs), dense)


def test_the_counts_are_left_alone(counts, batch):
    before = counts.toarray()
    logs = LogCounts.of(counts, np.ones((N_GENES, 3)), batch=batch, genes=np.ones(N_GENES, dtype=bool))
    logs.moments(batch)
    np.testing.assert_array_equal(counts.toarray(), before)


def test_a_cell_without_counts_has_size_one(counts, batch):
    dense = counts.toarray()
    dense[3] = 0
    genes = np.ones(N_GENES, dtype=bool)
    logs = LogCounts.of(sparse.csr_array(dense), np.zeros((N_GENES, 3)), batch=batch, genes=genes)
    assert logs.size[3] == 1
    assert not written(logs)[3].any()


def test_the_true_effects_bring_batches_together(rng):
    log_delta = rng.standard_normal((N_GENES, 2))
    batch = np.repeat([0, 1], 500).astype(np.int32)
    mean = 20 * np.exp(log_delta[:, batch].T)
    counts, genes = sparse.csr_array(rng.poisson(mean).astype(float)), np.ones(N_GENES, dtype=bool)
    gap = {}
    for name, used in (("none", np.zeros_like(log_delta)), ("true", log_delta)):
        logs = written(LogCounts.of(counts, used, batch=batch, genes=genes))
        gap[name] = np.linalg.norm(logs[:500].mean(axis=0) - logs[500:].mean(axis=0))
    assert gap["true"] < 0.1 * gap["none"]


def test_the_scale_is_half_the_median_of_the_shallowest_batch():
    size = np.array([1000.0, 1200.0, 1100.0, 300.0, 340.0, 380.0])
    assert common_scale(size, np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)) == 170


def test_one_very_shallow_batch_does_not_ruin_the_scale():
    size = np.append(np.full(99, 1000.0), 2.0)
    assert common_scale(size, np.append(np.zeros(99), 1).astype(np.int32)) == 50
