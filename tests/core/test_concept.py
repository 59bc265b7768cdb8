import numpy as np
import pytest
from scipy.special import xlogy

from unbatch._check import InputError
from unbatch.core import concept
from unbatch.core.concept import CHECK_EVERY, EPSILON, fit_concept
from unbatch.core.statistics import SampleStatistics

ROUNDING = 1e-13
"""What summing 10^4 terms in float64 can move, as a share of the sum."""


def statistics(ybar, zbar, n_sk, s_gk):
    return SampleStatistics(ybar=ybar, zbar=zbar, n_sk=n_sk, s_gk=s_gk, n_matched=n_sk.sum(axis=0))


def drawn(seed=0, *, n_genes=12, n_batches=3, n_samples=6, rate=5.0, log_sd=0.5):
    """Counts drawn from the model; returns the statistics and the effects they were drawn with."""
    rng = np.random.default_rng(seed)
    n_sk = rng.integers(1, 40, (n_batches, n_samples)).astype(float)
    mu, delta = rate * rng.gamma(2, 0.5, (n_genes, n_samples)), rng.lognormal(0, log_sd, (n_genes, n_batches))
    y_gsk = rng.poisson(mu[:, :, None] * n_sk.T * delta[:, None, :]).astype(float)
    zbar = rng.poisson(mu * n_sk.sum(axis=0)) / n_sk.sum(axis=0)
    return statistics(y_gsk.sum(axis=2) / n_sk.sum(axis=0), zbar, n_sk, y_gsk.sum(axis=1)), delta


def exact(mu, delta, n_sk, *, zbar=None):
    """Statistics without noise, so that the fixed point is the truth."""
    y_gsk = mu[:, :, None] * n_sk.T * delta[:, None, :]
    ybar = y_gsk.sum(axis=2) / n_sk.sum(axis=0)
    return statistics(ybar, ybar if zbar is None else zbar, n_sk, y_gsk.sum(axis=1))


def contrasts(delta):
    return np.log(delta[:, 1:] / delta[:, :1])


def oracle(stats, n_iter):
    """Compute the published updates gene by gene, with plain loops."""
    n_genes, n_samples = stats.ybar.shape
    n_batches = len(stats.n_sk)
    delta, mu, gamma = np.ones((n_genes, n_batches)), np.zeros((n_genes, n_samples)), np.ones((n_genes, n_samples))
    for _ in range(n_iter):
        for g in range(n_genes):
            for s in range(n_samples):
                bias = sum(delta[g, k] * stats.n_sk[k, s] / stats.n_sk[:, s].sum() for k in range(n_batches))
                mu[g, s] = (stats.ybar[g, s] + stats.zbar[g, s]) / (bias + gamma[g, s] + 1e-8)
                gamma[g, s] = stats.zbar[g, s] / (mu[g, s] + 1e-8)
            for k in range(n_batches):
                expected = sum(mu[g, s] * stats.n_sk[k, s] for s in range(n_samples))
                delta[g, k] = stats.s_gk[g, k] / (expected + 1e-8)
    return delta, mu, gamma


def log_likelihood_oracle(stats, fit):
    total = 0.0
    for g, s in np.ndindex(stats.ybar.shape):
        n, bias = stats.n_s[s], sum(fit.delta[g, k] * stats.p_sk[k, s] for k in range(len(stats.n_sk)))
        y, z, mu, gamma = n * stats.ybar[g, s], n * stats.zbar[g, s], fit.mu[g, s], fit.gamma[g, s]
        total += xlogy(y, mu) - n * mu * bias + xlogy(z, mu * gamma) - n * mu * gamma
    return total + np.sum(stats.s_gk * np.log(fit.delta))


@pytest.mark.parametrize("n_iter", [1, 2, 7])
def test_updates_equal_plain_loops(n_iter):
    stats, _ = drawn()
    fit = fit_concept(stats, max_iter=n_iter, tol=0)
    for result, expected in zip((fit.delta, fit.mu, fit.gamma), oracle(stats, n_iter), strict=True):
        assert result == pytest.approx(expected, rel=1e-12)


def test_the_trace_holds_the_log_likelihood_and_the_changes():
    stats, _ = drawn(1)
    steps = [fit_concept(stats, max_iter=n, tol=0) for n in (1, 2, 3)]
    trace = steps[-1].trace
    logs = [np.zeros_like(stats.s_gk), *(np.log(step.delta) for step in steps)]
    for n, step in enumerate(steps):
        assert trace.log_likelihood[n] == pytest.approx(log_likelihood_oracle(stats, step), rel=1e-12)
        penalty = EPSILON * (np.sum(stats.n_s * (step.mu + step.gamma)) + step.delta.sum())
        assert trace.log_likelihood[n] - trace.objective[n] == pytest.approx(penalty, rel=1e-3)
        moved = logs[n + 1] - logs[n]
        assert trace.max_change[n] == pytest.approx(np.abs(moved - moved.mean(axis=1, keepdims=True)).max())
        assert trace.drift[n] == pytest.approx(np.abs(moved.mean(axis=1)).max())


@pytest.mark.parametrize("rate", [200.0, 5.0, 0.05, 1e-4])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_never_falls(rate, seed):
    stats, _ = drawn(seed, rate=rate, n_genes=40)
    objective = fit_concept(stats, max_iter=600, tol=0).trace.objective
    assert np.diff(objective).min() >= -ROUNDING * np.abs(objective).max()
    assert objective[-1] > objective[0]


def test_the_objective_never_falls_when_genes_are_done():
    stats, _ = drawn(3, n_genes=40, rate=0.2)
    fit = fit_concept(stats, max_iter=1000)
    early = fit_concept(stats, max_iter=CHECK_EVERY).converged
    assert 0 < early.sum() < 40
    assert fit.converged.sum() > early.sum()
    assert fit.informative.all()
    assert fit.trace.log_likelihood[-1] == pytest.approx(log_likelihood_oracle(stats, fit), rel=1e-12)
    assert np.diff(fit.trace.objective).min() >= -ROUNDING * np.abs(fit.trace.objective).max()


def test_what_the_updates_climb_is_the_likelihood_less_a_penalty(monkeypatch):
    # a constant large enough to see: the likelihood alone falls, the objective does not
    monkeypatch.setattr(concept, "EPSILON", 0.5)
    stats, _ = drawn(2, rate=200)
    trace = fit_concept(stats, max_iter=600, tol=0).trace
    assert np.diff(trace.log_likelihood).min() < -1e-3
    assert np.diff(trace.objective).min() >= -ROUNDING * np.abs(trace.objective).max()


def test_planted_effects_are_recovered_exactly_without_noise():
    rng = np.random.default_rng(4)
    mu, delta = rng.gamma(2, 3, (20, 8)), rng.lognormal(0, 1, (20, 3))
    stats = exact(mu, delta, rng.integers(1, 40, (3, 8)).astype(float))
    fit = fit_concept(stats, max_iter=5000, tol=1e-11)
    assert fit.stop_reason == "converged"
    assert contrasts(fit.delta) == pytest.approx(contrasts(delta), abs=1e-6)


def test_planted_effects_are_recovered_from_counts():
    stats, delta = drawn(5, n_genes=300, n_samples=16, rate=50)
    estimated = contrasts(fit_concept(stats).delta)
    assert np.corrcoef(estimated.ravel(), contrasts(delta).ravel())[0, 1] > 0.99
    assert np.abs(estimated - contrasts(delta)).mean() < 0.05


def fitted_margins(stats, delta, *, sweeps=20_000):
    """Scale n_sk to the margins Y_s and S_k by alternating ratios, which is an independent route to delta."""
    n_genes = len(delta)
    for g in range(n_genes):
        table = stats.n_sk.copy()
        for _ in range(sweeps):
            before = table
            table = table * (stats.s_gk[g] / table.sum(axis=1))[:, None]
            table = table * (stats.n_s * stats.ybar[g] / table.sum(axis=0))
            if np.abs(table - before).max() < 1e-13:
                break
        rates = table / stats.n_sk
        delta[g] = np.exp(np.log(rates / rates[0]).mean(axis=1))
    return delta


def test_the_fixed_point_scales_the_cell_numbers_to_the_margins_of_y():
    stats, _ = drawn(6)
    fit = fit_concept(stats, max_iter=20_000, tol=1e-13)
    assert contrasts(fit.delta) == pytest.approx(contrasts(fitted_margins(stats, np.ones_like(fit.delta))), abs=1e-7)


def test_at_the_fixed_point_mu_is_ybar_over_the_mean_effect():
    stats, _ = drawn(7)
    fit = fit_concept(stats, max_iter=20_000, tol=1e-12)
    assert fit.mu * (fit.delta @ stats.p_sk) == pytest.approx(stats.ybar, rel=1e-5)


def test_noise_in_place_of_z_moves_the_path_but_not_the_fixed_point():
    stats, _ = drawn(8, rate=20)
    noise = np.random.default_rng(9).gamma(1, 20, stats.zbar.shape)
    other = statistics(stats.ybar, noise, stats.n_sk, stats.s_gk)
    early = [contrasts(fit_concept(each, max_iter=5, tol=0).delta) for each in (stats, other)]
    late = [contrasts(fit_concept(each, max_iter=5000, tol=0).delta) for each in (stats, other)]
    assert np.abs(early[0] - early[1]).max() > 0.01
    assert np.abs(late[0] - late[1]).max() < 1e-6


def test_it_stops_when_no_effect_changes_any_more():
    stats, _ = drawn(10, rate=0.2)
    fit = fit_concept(stats, max_iter=5000, tol=1e-6)
    assert fit.stop_reason == "converged"
    assert fit.converged.all()
    assert fit.n_iter < 5000
    assert fit.trace.max_change[-1] < 1e-6
    assert fit.trace.max_change[CHECK_EVERY - 1] > 1e-6
    longer = fit_concept(stats, max_iter=5000, tol=0)
    assert longer.n_iter == 5000
    assert contrasts(fit.delta) == pytest.approx(contrasts(longer.delta), abs=1e-3)


def test_it_says_when_it_ran_into_the_cap():
    stats, _ = drawn(11)
    fit = fit_concept(stats, max_iter=3)
    assert (fit.stop_reason, fit.n_iter) == ("max_iter", 3)
    assert not fit.converged.any()
    assert fit.trace.objective.shape == fit.trace.max_change.shape == (3,)


def test_genes_that_are_done_do_not_disturb_the_others():
    stats, _ = drawn(12, n_genes=30)
    fit = fit_concept(stats, max_iter=3000)
    for g in (0, 13, 29):
        part = statistics(stats.ybar[[g]], stats.zbar[[g]], stats.n_sk, stats.s_gk[[g]])
        assert fit_concept(part, max_iter=3000).delta == pytest.approx(fit.delta[[g]], rel=1e-12)


def test_an_empty_gene_has_no_effect_exactly():
    stats, _ = drawn(13)
    stats.ybar[4], stats.zbar[4], stats.s_gk[4] = 0, 0, 0
    fit = fit_concept(stats)
    assert np.array_equal(fit.delta[4], [1, 1, 1])
    assert not fit.informative[4].any()
    assert fit.converged[4]
    for values in (fit.delta, fit.mu, fit.gamma, *vars(fit.trace).values()):
        assert np.all(np.isfinite(values))


def test_a_batch_that_counted_nothing_bears_on_no_other():
    # batch 2 did not measure the gene: the other contrasts are those of the data without batch 2
    rng = np.random.default_rng(14)
    n_sk, mu, delta = rng.integers(1, 40, (3, 8)).astype(float), rng.gamma(2, 3, (1, 8)), np.array([[1.0, 3.0, 0.0]])
    fit = fit_concept(exact(mu, delta, n_sk), max_iter=5000, tol=1e-11)
    assert fit.delta[0, 2] == 1
    assert fit.informative.tolist() == [[True, True, False]]
    assert contrasts(fit.delta[:, :2])[0, 0] == pytest.approx(np.log(3), abs=1e-6)


def test_a_single_count_says_something():
    stats = statistics(np.full((1, 1), 1.0), np.full((1, 1), 1.0), np.full((2, 1), 3.0), np.array([[1.0, 5.0]]))
    assert fit_concept(stats, max_iter=10, tol=0).informative.tolist() == [[True, True]]


def test_samples_without_cells_or_matches_do_no_harm():
    stats, _ = drawn(15)
    padded = statistics(
        *(np.hstack([a, np.zeros((len(a), 1))]) for a in (stats.ybar, stats.zbar, stats.n_sk)), stats.s_gk
    )
    fit = fit_concept(padded)
    assert fit.delta == pytest.approx(fit_concept(stats).delta, rel=1e-12)
    assert not fit.mu[:, -1].any()
    unmatched = statistics(stats.ybar, stats.zbar * 0, stats.n_sk, stats.s_gk)
    assert np.all(np.isfinite(fit_concept(unmatched).delta))


def test_an_effect_without_finite_estimate_ends_at_the_cap_and_is_named():
    # all of batch 0's counts lie in sample 0, where it is alone: nothing says how it would count elsewhere
    n_sk = np.array([[10.0, 10.0], [0.0, 10.0]])
    y_gs, s_gk = np.array([[100.0, 50.0], [60.0, 90.0]]), np.array([[100.0, 50.0], [80.0, 70.0]])
    ybar = y_gs / n_sk.sum(axis=0)
    fit = fit_concept(statistics(ybar, ybar, n_sk, s_gk), max_iter=1000)
    assert fit.stop_reason == "max_iter"
    assert fit.converged.tolist() == [False, True]
    assert np.all(np.isfinite(np.log(fit.delta)))


@pytest.mark.parametrize("arguments", [{"max_iter": 0}, {"tol": -1.0}, {"tol": np.nan}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(InputError, match="at least 1 iteration"):
        fit_concept(drawn()[0], **arguments)
