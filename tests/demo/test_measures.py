import numpy as np
import pytest
from scipy import sparse

from unbatch.demo import measures


def test_components_span_the_log_counts_of_the_definition():
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(2.0, (40, 30)).astype(np.float64))
    scores = measures.log1p_pca(counts, size_normalised=False)
    logs = np.log1p(counts.toarray())
    left, singular, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
    assert scores.shape == (40, 20)
    np.testing.assert_allclose(np.abs(scores), np.abs(left * singular)[:, :20], atol=1e-8)


def test_row_pointers_wider_than_column_indices_do_no_harm():
    counts = sparse.csr_array(np.random.default_rng(4).poisson(2.0, (40, 30)).astype(np.float64))
    wide = counts.copy()
    wide.indptr = wide.indptr.astype(np.int64)
    narrow = measures.log1p_pca(counts, size_normalised=False)
    np.testing.assert_array_equal(measures.log1p_pca(wide, size_normalised=False), narrow)


def test_size_normalisation_takes_out_depth_and_spares_empty_cells():
    rng = np.random.default_rng(1)
    profile = rng.poisson(20.0, 30).astype(np.float64)
    other = rng.poisson(20.0, 30).astype(np.float64)
    counts = sparse.csr_array(np.array([profile, 3 * profile, other, 5 * other, np.zeros(30)]))
    scores = measures.log1p_pca(counts, size_normalised=True)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-8)
    np.testing.assert_allclose(scores[2], scores[3], atol=1e-8)
    assert np.isfinite(scores).all()
    assert counts[1, 0] == 3 * profile[0]


def test_batch_means_are_means_over_the_cells_of_a_batch():
    counts = sparse.csr_array(np.array([[1.0, 0], [3, 2], [5, 7]]))
    means = measures.batch_means(counts, np.array([0, 0, 1], dtype=np.int32), 2)
    np.testing.assert_array_equal(means, [[2, 5], [1, 7]])


def test_the_naive_estimate_is_the_log_ratio_and_claims_nothing_for_unseen_genes():
    naive = measures.naive_log_delta(np.array([[1.0, np.e**2], [3.0, 0.0]]))
    np.testing.assert_allclose(naive, [[-1, 1], [0, 0]], atol=1e-12)


def test_recovery_is_perfect_up_to_what_cannot_be_known():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(50, 3))
    shifted = truth + rng.normal(size=(50, 1)) + np.array([1.0, -2.0, 0.5])
    found = measures.recovery(shifted, truth, totals=np.full(50, 1000.0))
    assert found.correlation == pytest.approx(1)
    assert found.rmse == pytest.approx(0, abs=1e-9)
    assert found.n_genes == 50


def test_recovery_leaves_out_genes_that_were_hardly_counted_and_sees_errors():
    truth = np.zeros((4, 2))
    truth[:, 0] = [1, -1, 2, 0]
    wrong = truth.copy()
    wrong[3] += [40, -40]
    totals = np.array([900.0, 900, 900, 200])
    found = measures.recovery(wrong, truth, totals=totals)
    assert found.n_genes == 3
    assert found.rmse < 1.0
    assert measures.recovery(wrong, truth, totals=totals, min_total=0).rmse > 10


def test_mixing_runs_from_apart_to_the_expected_share():
    rng = np.random.default_rng(3)
    batch = np.repeat([0, 1], 60).astype(np.int32)
    noise = rng.normal(size=(120, 2))
    found = measures.mixing(noise + 50.0 * batch[:, None], noise, batch)
    assert found.before == 1.0
    assert found.expected == pytest.approx(59 / 119)
    assert found.after == pytest.approx(found.expected, abs=0.05)
