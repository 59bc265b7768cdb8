"""Parity with a run of the published R code, step by step; tests/data/README.md says what is stored."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from unbatch.core.adjust import adjust_counts
from unbatch.core.concept import fit_concept
from unbatch.core.matching import match_cells, match_weights, unit_rows
from unbatch.core.projection import batch_design, project, regress_out
from unbatch.core.pseudobulk import Samples, sign_bits, sign_codes
from unbatch.core.statistics import PseudobulkSums, SampleStatistics, transfer_weights

DATA = Path(__file__).parents[1] / "data"
N_NEIGHBORS = 3


@pytest.fixture(scope="module")
def golden():
    with np.load(DATA / "concept_note.npz") as arrays:
        return {name: arrays[name] for name in arrays}


@pytest.fixture(scope="module")
def metrics():
    with (DATA / "concept_note_metrics.csv").open() as lines:
        return {row["metric"]: float(row["value"]) for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def counts(golden):
    return sparse.csr_array(golden["counts"].T.astype(np.float32))


@pytest.fixture(scope="module")
def batch(golden):
    return golden["batch"].astype(np.int32) - 1


def summed(counts, *, samples, batch, weights):
    transfer = transfer_weights(weights, samples, batch=batch)
    sums = PseudobulkSums(n_genes=counts.shape[1], n_samples=samples.n_samples, n_batches=2)
    return sums.add(counts, sample=samples.codes, batch=batch, transfer=transfer).finish()


@pytest.fixture(scope="module")
def r_matches(golden):
    """R's own neighbours, weighted here."""
    cells, cols = (golden["neighbours"][:, col].astype(int) - 1 for col in (0, 2))
    weights = match_weights(golden["neighbours"][:, 4].reshape(-1, N_NEIGHBORS))
    return weights, sparse.csr_array((weights.ravel(), (cells, cols)), shape=(1000, 1000))


@pytest.fixture(scope="module")
def r_stats(golden, counts, batch, r_matches):
    """Statistics from R's samples and R's neighbours."""
    samples = Samples(golden["pseudobulk"].astype(np.int32) - 1, np.arange(32), np.eye(5))
    return summed(counts, samples=samples, batch=batch, weights=r_matches[1])


@pytest.fixture(scope="module")
def r_fixed_point(r_stats):
    return fit_concept(r_stats, max_iter=20_000, tol=0)


@pytest.fixture(scope="module")
def own_features(golden, counts, batch):
    """R's basis, then everything by this package."""
    raw = project(counts, golden["R"].T)
    return raw, regress_out(raw, batch_design(batch, 2))


@pytest.fixture(scope="module")
def own_correlations(golden, counts, batch, own_features):
    """R's basis, our own exact neighbours, the published 100 iterations."""
    features = own_features[1]
    weights = match_cells(features, batch, n_neighbors=N_NEIGHBORS).weights
    stats = summed(counts, samples=sign_codes(features), batch=batch, weights=weights)
    fit = fit_concept(stats, max_iter=100, tol=0)
    return every_correlation(golden, counts=counts, batch=batch, features=own_features, delta=fit.delta)


def test_projection(golden, own_features):
    raw, features = own_features
    assert raw == pytest.approx(golden["Q_raw"].T, abs=1e-9, rel=0)
    assert features == pytest.approx(golden["Q"].T, abs=1e-9, rel=0)


def test_samples_after_aligning_the_signs_of_singular_vectors(golden, own_features):
    features = own_features[1]
    samples = sign_codes(features)
    aligned = samples.directions * np.sign(np.sum(features @ samples.directions * golden["Q_svd_v"], axis=0))
    assert np.array_equal(sign_bits(features, aligned) + 1, golden["pseudobulk"])
    # and without aligning, the same cells are together
    pairs = set(zip(samples.codes.tolist(), golden["pseudobulk"].tolist(), strict=True))
    assert len(pairs) == samples.n_samples == 32


def test_weights(golden, r_matches):
    assert r_matches[0].ravel() == pytest.approx(golden["neighbours"][:, 5], abs=1e-9, rel=0)


def test_counterfactual_counts_of_single_cells(golden, counts, r_matches):
    twins = (r_matches[1][:50] @ counts.astype(np.float64)).T.toarray()
    assert twins == pytest.approx(golden["Z_first50cells"], abs=1e-9, rel=0)


def test_statistics(golden, r_stats):
    assert r_stats.ybar == pytest.approx(golden["ybar"], abs=1e-12, rel=0)
    assert r_stats.zbar == pytest.approx(golden["zbar"], abs=1e-9, rel=0)
    assert r_stats.p_sk == pytest.approx(golden["prob"], abs=1e-15, rel=0)
    assert np.array_equal(r_stats.n_sk, golden["size"])
    assert np.array_equal(r_stats.s_gk, golden["delta_numerator"])


@pytest.mark.parametrize("n_iter", [1, 2, 5, 10, 50, 100, 1000])
def test_delta(golden, r_stats, n_iter):
    expected = golden["delta" if n_iter == 100 else f"delta_iter{n_iter}"]
    fit = fit_concept(r_stats, max_iter=n_iter, tol=0)
    assert fit.n_iter == n_iter
    assert fit.delta == pytest.approx(expected, abs=1e-11, rel=0)


def test_delta_after_20000_iterations(golden, r_fixed_point):
    assert r_fixed_point.n_iter == 20_000
    assert r_fixed_point.delta == pytest.approx(golden["delta_iter20000"], abs=1e-11, rel=0)


def test_rates_after_100_iterations(golden, r_stats):
    fit = fit_concept(r_stats, max_iter=100, tol=0)
    assert fit.mu == pytest.approx(golden["mu"], abs=1e-9, rel=0)
    assert fit.gamma == pytest.approx(golden["gamma"], abs=1e-9, rel=0)


def test_the_objective_never_falls_in_20000_iterations(r_fixed_point):
    objective = r_fixed_point.trace.objective
    assert np.diff(objective).min() >= -1e-14 * np.abs(objective).max()


def test_exact_neighbours_contain_what_the_approximate_search_found(golden, own_features, batch):
    matches = match_cells(own_features[1], batch, n_neighbors=N_NEIGHBORS)
    cells, found = (golden["neighbours"][:, col].astype(int) - 1 for col in (0, 2))
    hits = np.asarray(matches.weights[cells, found] > 0).ravel()
    assert hits.mean() == pytest.approx(0.971, abs=0.001)
    units, _ = unit_rows(own_features[1])
    squared = ((units[cells] - units[found]) ** 2).sum(axis=1)
    assert squared == pytest.approx(golden["neighbours"][:, 4], abs=1e-5)


def correlation(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def largest_correlation(features, batch):
    return np.abs(np.corrcoef(features.T, batch_design(batch, 2).T)[:-2, -2:]).max()


def every_correlation(golden, *, counts, batch, features, delta):
    """All correlations that the R code printed, under its names."""
    raw, regressed = features
    drawn, truth, y_true, log_delta = golden["W_true"], golden["log_delta_true"], golden["y_true"], np.log(delta)
    adjusted = adjust_counts(counts, delta, batch)
    means, adjusted_means = (
        np.column_stack([np.asarray(each[batch == k].mean(axis=0)).ravel() for k in (0, 1)])
        for each in (counts.astype(np.float64), adjusted.astype(np.float64))
    )
    naive = np.log(means / means.mean(axis=1, keepdims=True))
    result = {
        "cor_contrast": correlation(log_delta[:, 0] - log_delta[:, 1], drawn[:, 0] - drawn[:, 1]),
        "naive_cor_contrast": correlation(naive[:, 0] - naive[:, 1], drawn[:, 0] - drawn[:, 1]),
        "max_abs_cor_Q_X_before": largest_correlation(raw, batch),
        "max_abs_cor_Q_X_after": largest_correlation(regressed, batch),
    }
    for k, name in enumerate(["b1", "b2"]):
        result |= {
            f"cor_logdelta_W_{name}": correlation(log_delta[:, k], truth[:, k]),
            f"cor_delta_W_{name}": correlation(delta[:, k], truth[:, k]),
            f"cor_delta_ytrue_{name}": correlation(delta[:, k], y_true[:, k]),
            f"cor_logdelta_logytrue_{name}": correlation(log_delta[:, k], np.log(y_true[:, k])),
            f"cor_ybar_ytrue_{name}": correlation(means[:, k], y_true[:, k]),
            f"cor_ybaradj_ytrue_{name}": correlation(adjusted_means[:, k], y_true[:, k]),
            f"cor_log_ybar_ytrue_{name}": correlation(np.log(means[:, k]), np.log(y_true[:, k])),
            f"cor_log_ybaradj_ytrue_{name}": correlation(np.log(adjusted_means[:, k]), np.log(y_true[:, k])),
            f"naive_cor_log_W_{name}": correlation(naive[:, k], truth[:, k]),
        }
    return result


def test_the_correlations_are_those_that_r_computed(golden, metrics, counts, batch):
    # the definitions: on R's own delta they give R's own numbers
    features = golden["Q_raw"].T, golden["Q"].T
    found = every_correlation(golden, counts=counts, batch=batch, features=features, delta=golden["delta"])
    assert found.keys() == {name for name in metrics if "cor_" in name}
    assert found == pytest.approx({name: metrics[name] for name in found}, abs=1e-7)


def test_every_correlation_with_exact_neighbours(metrics, own_correlations):
    expected = {name: value for name, value in metrics.items() if "cor_" in name}
    assert own_correlations == pytest.approx(expected, abs=0.005, rel=0)
    assert own_correlations["max_abs_cor_Q_X_before"] > 0.8
    assert own_correlations["max_abs_cor_Q_X_after"] < 1e-12


def test_other_numbers_that_r_printed(golden, metrics, r_stats, own_features):
    fits = [fit_concept(r_stats, max_iter=n, tol=0) for n in (99, 100)]
    assert np.abs(fits[1].delta - fits[0].delta).max() == pytest.approx(metrics["last_max_change"], abs=1e-11)
    contrast = np.log(fits[1].delta) @ [1, -1]
    truth = golden["log_delta_true"] @ [1, -1]
    assert np.polyfit(truth, contrast, 1)[0] == pytest.approx(metrics["slope_contrast"], abs=1e-9)
    assert sign_codes(own_features[1]).n_samples == metrics["n_pb_nonempty"]


def test_noise_in_place_of_z_leaves_the_fixed_point_as_it_is(golden, r_stats, r_fixed_point):
    noise = np.random.default_rng(0).gamma(1, r_stats.zbar.mean(), r_stats.zbar.shape)
    stats = SampleStatistics(r_stats.ybar, noise, r_stats.n_sk, r_stats.s_gk, r_stats.n_matched)
    assert abs(correlation(noise.ravel(), r_stats.zbar.ravel())) < 0.02

    def apart(fit, other):
        return np.abs(np.log(fit) @ [1, -1] - np.log(other) @ [1, -1]).max()

    after_100 = apart(fit_concept(stats, max_iter=100, tol=0).delta, golden["delta"])
    at_the_end = fit_concept(stats, max_iter=20_000, tol=1e-11)  # where genes that have settled are done with
    assert at_the_end.stop_reason == "converged"
    assert 0.005 < after_100 < 0.05
    assert apart(at_the_end.delta, r_fixed_point.delta) < 1e-6
