"""How well the width of the prior is known, against the scatter of estimates of it."""

import numpy as np
import pytest

from unbatch.core.prior import unknown_width


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
