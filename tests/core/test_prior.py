"""How well the width of the prior is known, against the scatter of estimates of it, and widths of single effects."""

import numpy as np
import pytest

from unbatch.core.prior import find_widths, unknown_width


@pytest.mark.parametrize(("tau", "noise", "n"), [(0.5, 0.1, 200), (0.3, 0.3, 400), (0.1, 0.5, 2000)])
def test_the_error_of_tau_squared_is_the_scatter_of_its_estimates(tau, noise, n):
    """Effects are seen with normal noise; what is estimated from many draws of them scatters as is said."""
    rng = np.random.default_rng(0)
    seen = rng.normal(0, np.hypot(tau, noise), (5000, n))
    estimates = (seen**2).mean(axis=1) - noise**2
    posterior = np.full((n, 1), 1 / (1 / tau**2 + 1 / noise**2))
    assert unknown_width(posterior, np.array([tau]))[0] ** 2 == pytest.approx(estimates.std(), rel=0.05)


def test_of_what_says_nothing_little_is_known():
    tau = np.array([0.01])
    assert unknown_width(np.full((50, 1), 1e-4), tau)[0] == pytest.approx(3)
    assert unknown_width(np.zeros((0, 1)), tau)[0] == pytest.approx(3)


# widths


def observed(truth, error):
    """A fit with a normal prior of effects that are seen with an error: modes, variances and the prior's width."""
    rng = np.random.default_rng(1)
    seen = truth + error * rng.standard_normal(truth.shape)
    tau = np.sqrt(np.maximum((seen**2 - error**2).mean(axis=0), 1e-8))
    variance = 1 / (1 / error**2 + 1 / tau**2) * np.ones_like(seen)
    return seen * variance / error**2, variance, tau


def shrunk(truth, error, **options):
    """Posterior means with the widths that are found."""
    modes, variance, tau = observed(truth, error)
    options = {"excess": np.ones(len(truth)), "known": np.ones((1, truth.shape[1]), dtype=bool)} | options
    widths = find_widths(modes, variance, tau, **options)
    seen = modes * error**2 / variance
    return seen * widths.of_mode**2 / (widths.of_mode**2 + error**2), widths, modes, tau


def rms(values):
    return float(np.sqrt(np.mean(values**2)))


def test_effects_that_are_alike_keep_a_normal_prior():
    truth = 0.5 * np.random.default_rng(0).standard_normal((2000, 3))
    means, widths, modes, tau = shrunk(truth, 0.3)
    np.testing.assert_allclose(np.median(widths.of_mode, axis=0), tau, rtol=0.1)
    assert rms(means - truth) < 1.01 * rms(modes - truth)


def test_few_large_effects_are_kept_and_many_small_ones_shrunk():
    rng = np.random.default_rng(0)
    large = rng.random((2000, 3)) < 0.1
    truth = large * 1.5 * rng.standard_normal((2000, 3))
    means, widths, modes, tau = shrunk(truth, 0.3)
    assert rms(means - truth) < 0.8 * rms(modes - truth)
    assert (np.median(widths.of_mode[~large]) < tau).all()
    assert (widths.of_mode[np.abs(truth) > 2] > tau.max()).all()


def test_errors_are_those_of_the_mixture():
    """Over many effects, posterior variances are about the mean squared errors, and not less."""
    rng = np.random.default_rng(0)
    truth = (rng.random((20_000, 1)) < 0.1) * 1.5 * rng.standard_normal((20_000, 1))
    means, widths, _, _ = shrunk(truth, 0.3)
    variance = 1 / (1 / widths.of_error**2 + 1 / 0.3**2)
    assert 1.0 < np.mean(variance) / np.mean((means - truth) ** 2) < 1.4


def test_few_effects_do_not_tell_that_they_are_not_normal():
    rng = np.random.default_rng(0)
    truth = (rng.random((30, 1)) < 0.1) * 1.5 * rng.standard_normal((30, 1))
    _, widths, _, tau = shrunk(truth, 0.3)
    np.testing.assert_allclose(np.median(widths.of_mode), tau[0], rtol=0.2)


def test_errors_beyond_the_variances_are_not_taken_for_large_effects():
    """Without effects, errors three times as large as the variances tell for one gene in ten."""
    rng = np.random.default_rng(0)
    excess = np.where(rng.random(2000) < 0.1, 9.0, 1.0)
    truth = 0.3 * np.sqrt(excess - 1)[:, None] * rng.standard_normal((2000, 1))
    plain, told = (shrunk(truth, 0.3, excess=of)[0] for of in (np.ones(2000), excess))
    assert rms(told) < 0.7 * rms(plain)


def test_what_is_not_known_changes_nothing():
    truth = 0.5 * np.random.default_rng(0).standard_normal((500, 2))
    known = np.ones((500, 2), dtype=bool)
    known[:50, 1] = False
    modes, variance, tau = observed(truth, 0.3)
    others = modes.copy()
    others[:50, 1] = 8.0
    found = [find_widths(some, variance, tau, excess=np.ones(500), known=known) for some in (modes, others)]
    for name in ("of_mode", "of_error"):
        np.testing.assert_array_equal(getattr(found[0], name)[known], getattr(found[1], name)[known])
        assert np.isfinite(getattr(found[1], name)).all()
