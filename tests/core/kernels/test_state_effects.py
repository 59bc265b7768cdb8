"""Margins and scatter of the sums of a gene, against plain numpy."""

import numpy as np
import pytest

from unbatch.core.kernels.state_effects import fit_margins, scatter


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    counts, weight = rng.poisson(30.0, (6, 3)).astype(float), rng.uniform(0.5, 2.0, (6, 3))
    counts[2, 1] = weight[2, 1] = 0.0
    return counts, weight


def test_the_fit_has_the_margins_of_the_counts_and_the_ratios_of_the_weights(table):
    counts, weight = table
    mean = weight.copy()
    fit_margins(counts, 200, mean)
    np.testing.assert_allclose(mean.sum(axis=0), counts.sum(axis=0))
    np.testing.assert_allclose(mean.sum(axis=1), counts.sum(axis=1))
    log_ratio = np.log(np.delete(mean, 2, axis=0) / np.delete(weight, 2, axis=0))
    alike = log_ratio - log_ratio.mean(axis=0) - log_ratio.mean(axis=1, keepdims=True) + log_ratio.mean()
    np.testing.assert_allclose(alike, 0.0, atol=1e-9)  # a number per state plus one per batch
    assert mean[2, 1] == 0


def test_what_nobody_has_stays_zero_without_nan(table):
    mean = table[1].copy()
    fit_margins(np.zeros((6, 3)), 30, mean)
    assert np.isfinite(mean).all()
    assert mean.sum() == 0


def test_where_too_little_is_expected_nothing_is_measured(table):
    out = np.full(4, 7.0)
    scatter(table[0], table[1], np.ones_like(table[0]), 3.0, out)
    assert out.tolist() == [0, 0, 0, 0]


def test_chi_square_freedom_and_gain(table):
    counts, weight = table
    mean, out = weight.copy(), np.empty(4)
    fit_margins(counts, 200, mean)
    dispersion = 1 + mean / 10
    scatter(counts, mean, dispersion, 3.0, out)
    share = mean / mean.sum(axis=1, keepdims=True)
    seen = mean > 3
    free = (1 - share)[seen].sum() - 2
    assert out[0] == pytest.approx(((counts - mean) ** 2 / np.where(seen, mean, 1))[seen].sum())
    noise = (dispersion * (1 - share))[seen].sum()
    assert out[1] == pytest.approx(noise * free / (free + 2))
    assert out[2] == pytest.approx(free)
    others = (share**2).sum(axis=1, keepdims=True) - share**2
    gain = (mean * ((1 - share) ** 2 + others))[seen].sum()
    assert out[3] == pytest.approx(gain * free / (free + 2))


def test_the_chi_square_grows_with_the_variance_of_effects_of_states_as_the_gain_says():
    rng, weight = np.random.default_rng(1), np.random.default_rng(2).uniform(50, 200, (12, 4))
    for variance in (0.0, 0.02):
        found = np.empty((1500, 4))
        for out in found:
            rho = rng.gamma(1 / variance, variance, weight.shape) if variance else 1.0
            counts, mean = rng.poisson(weight * rho).astype(float), weight.copy()
            fit_margins(counts, 30, mean)
            scatter(counts, mean, np.ones_like(mean), 3.0, out)
        squares, noise, free, gain = found.mean(axis=0)
        assert noise == pytest.approx(free)
        assert squares == pytest.approx(free + variance * gain, rel=0.06)
