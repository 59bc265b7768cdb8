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


def test_extrapolated_updates_do_what_many_times_as_many_plain_ones_do():
    plain, longer, extrapolated = model(), model(), model()
    plain.update(150)
    longer.update(600)
    extrapolated.converge(150)
    assert plain.log_likelihood < longer.log_likelihood < extrapolated.log_likelihood
    assert error(extrapolated) < 0.5 * error(plain)


@pytest.mark.parametrize("n_factors", [4, 6])
def test_effects_are_found_though_each_batch_is_mostly_of_its_own_factor(n_factors):
    fitted = model(n_factors=n_factors)
    before = error(fitted)
    fitted.converge(300)
    assert before > 0.5
    assert error(fitted) < 0.1


def test_an_extrapolation_that_loses_is_not_taken(monkeypatch):
    def one_factor(start, *_):  # updates multiply: the other factors stay 0
        theta, beta, delta = start
        return theta * (np.arange(N_FACTORS) == 0), beta, delta

    monkeypatch.setattr(factor_model, "_extrapolated", one_factor)
    taken, plain = model(), model()
    plain.update(10)  # beyond what one factor can do
    taken.update(10)
    taken.converge(30)
    plain.update(20)
    np.testing.assert_array_equal(taken.delta, plain.delta)


def test_no_number_falls_below_a_fifth_at_once():
    start, once = (tuple(np.full((2, 2), value) for value in values) for values in ((1.0,) * 3, (0.5,) * 3))
    twice = tuple(np.full((2, 2), 0.26) for _ in range(3))  # the steps are of one length: far along this line it is < 0
    for found in factor_model._extrapolated(start, once, twice):
        np.testing.assert_allclose(found, 0.2 * 0.26)


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
