"""The factor model finds effects and composition together, also where they are hard to tell apart."""

from dataclasses import replace

import numpy as np
import pytest

from unbatch.core import factor_model
from unbatch.core.factor_model import FactorModel, FactorStart

N_GENES, N_STATES, N_BATCHES, N_FACTORS = 300, 20, 3, 4


def confounded(seed=0):
    """Rates of three batches, each mostly of a factor of its own."""
    rng = np.random.default_rng(seed)
    beta = rng.gamma(0.5, size=(N_GENES, N_FACTORS)) + 0.01
    alpha = np.full((N_STATES, N_BATCHES, N_FACTORS), 0.3) + 3 * np.eye(N_BATCHES, N_FACTORS)
    theta = rng.gamma(alpha)
    theta /= theta.sum(axis=2, keepdims=True)
    log_delta = 0.7 * rng.standard_normal((N_GENES, N_BATCHES))
    log_delta -= log_delta.mean(axis=1, keepdims=True)
    exposure = rng.uniform(200, 800, (N_STATES, N_BATCHES))
    mean = np.einsum("gt,skt->gsk", beta, theta) * np.exp(log_delta)[:, None, :]
    return rng.poisson(mean * exposure).astype(float), exposure, log_delta


COUNTS, EXPOSURE, LOG_DELTA = confounded()
START = FactorStart(np.zeros((N_GENES, N_BATCHES)), prior_counts=2.0, seed=0)


def model(start=START, n_factors=N_FACTORS):
    return FactorModel(COUNTS, EXPOSURE, start, n_factors=n_factors)


def error(fitted):
    """Error of log effects, less what is common to the genes of a batch."""
    off = np.log(fitted.delta) - LOG_DELTA
    return float(np.sqrt(np.mean((off - np.median(off, axis=0)) ** 2)))


def test_the_log_likelihood_is_that_of_poisson_counts_and_of_the_prior():
    fitted = model()
    fitted.update(3)
    theta, beta, delta = fitted.theta.reshape(N_STATES, N_BATCHES, -1), fitted.beta, fitted.delta
    mean = np.einsum("gt,skt->gsk", beta, theta) * EXPOSURE * delta[:, None, :]
    expected = (COUNTS * np.log(mean / EXPOSURE)).sum() - mean.sum() + 2.0 * (np.log(delta) - delta).sum()
    assert fitted.log_likelihood == pytest.approx(expected, rel=1e-12)


def test_plain_updates_lose_nothing():
    fitted, found = model(), []
    for _ in range(30):
        fitted.update(1)
        found.append(fitted.log_likelihood)
    assert (np.diff(found) > -1e-6 * np.abs(found[0])).all()


def test_updates_with_momentum_do_what_many_times_as_many_plain_ones_do():
    plain, longer, quick = model(), model(), model()
    plain.update(150)
    longer.update(600)
    quick.converge(150)
    assert plain.log_likelihood < longer.log_likelihood < quick.log_likelihood
    assert error(quick) < 0.2 * error(plain)


def test_what_is_rounded_off_is_not_multiplied():
    """Effects differ from round to round of a fit by what sums in another order are rounded to."""
    rng = np.random.default_rng(0)
    exact, rounded = model(), model(replace(START, log_delta=1e-13 * rng.standard_normal((N_GENES, N_BATCHES))))
    for fitted in (exact, rounded):
        fitted.converge(150)
    np.testing.assert_allclose(rounded.delta, exact.delta, rtol=1e-12)
    np.testing.assert_allclose(rounded.theta, exact.theta, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("n_factors", [4, 6])
def test_effects_are_found_though_each_batch_is_mostly_of_its_own_factor(n_factors):
    fitted = model(n_factors=n_factors)
    before = error(fitted)
    fitted.converge(300)
    assert before > 0.5
    assert error(fitted) < 0.1


def test_where_the_likelihood_falls_half_of_the_momentum_is_lost_and_the_best_is_kept(monkeypatch):
    shares, original = [], factor_model._beyond

    def too_far(last, now, share):  # updates multiply: the other factors stay 0
        shares.append(share)
        theta, beta, delta = original(last, now, share)
        return theta * (np.arange(N_FACTORS) == 0) if len(shares) == 6 else theta, beta, delta

    monkeypatch.setattr(factor_model, "_beyond", too_far)
    fitted = model()
    fitted.update(10)  # beyond what one factor can do
    before = fitted.log_likelihood
    fitted.converge(9)
    np.testing.assert_allclose(shares, [0, 1 / 9, 2 / 10, 3 / 11, 4 / 12, 5 / 13, 3 / 11, 4 / 12, 5 / 13])
    assert (fitted.theta.sum(axis=0) > 0).all()
    assert fitted.log_likelihood > before


def test_a_step_goes_on_in_its_own_direction_and_what_is_0_stays_so():
    last, now = (tuple(np.array([[a, 0.0, 0.0]]) for _ in range(3)) for a in (4.0, 2.0))
    for found in factor_model._beyond(last, now, 0.5):
        np.testing.assert_allclose(found, [[2 / np.sqrt(2), 0, 0]])


def test_states_of_which_a_batch_has_no_cell_have_no_activity():
    exposure, counts = EXPOSURE.copy(), COUNTS.copy()
    exposure[3, 1], counts[:, 3, 1] = 0, 0
    fitted = FactorModel(counts, exposure, START, n_factors=3)
    fitted.converge(30)
    theta = fitted.theta.reshape(N_STATES, N_BATCHES, 3)
    assert (theta[3, 1] == 0).all()
    assert (theta.sum(axis=2) > 0).sum() == N_STATES * N_BATCHES - 1


def test_parts_of_the_counts_change_nothing(monkeypatch):
    whole, parts = model(), model()
    whole.converge(30)
    monkeypatch.setattr(factor_model, "_COUNTS", 50)
    monkeypatch.setattr(factor_model, "_GENES", 7)
    parts.converge(30)
    np.testing.assert_array_equal(parts.theta, whole.theta)


def test_a_strong_prior_keeps_effects_small():
    weak, strong = model(), model(replace(START, prior_counts=1e6))
    for fitted in (weak, strong):
        fitted.converge(90)
    assert np.std(np.log(strong.delta)) < 0.02 < np.std(np.log(weak.delta))
