"""The defaults against the note's own toy."""

import numpy as np
import pytest

from unbatch._types import FloatArray
from unbatch.simulation import simulate

# Measured on the data of the published R run: counts 500 x 1,000, log delta, beta and theta, seed 1331 of R.
NOTE = {
    "beta mean": 1.0300,
    "beta sd": 1.0235,
    "beta 5%": 0.0595,
    "beta 50%": 0.7245,
    "beta 95%": 3.0487,
    "theta mean": 0.9759,
    "theta sd": 0.9639,
    "theta 5%": 0.0473,
    "theta 50%": 0.6880,
    "theta 95%": 2.9019,
    "log delta 5%": -1.5728,
    "log delta 50%": -0.0031,
    "log delta 95%": 1.6402,
    "count mean": 8.4315,
    "count 50%": 4.0,
    "count 90%": 19.0,
    "count 99%": 78.0,
    "share of zeros": 0.1287,
    "median depth": 4011.5,
    "sd of depth": 1870.4,
    "median gene mean": 5.4185,
    "Pearson dispersion": 1.0011,
    "cells of the first batch": 518.0,
    "factor correlation": 0.0,
}


def moments(seed: int) -> dict[str, float]:
    adata = simulate(seed=seed)
    beta, theta, log_delta = adata.varm["beta_true"], adata.obsm["theta_true"], adata.varm["log_delta_true"]
    counts = adata.X.toarray()
    mean = (theta @ beta.T) * np.exp(log_delta[:, adata.obs["batch"].cat.codes]).T
    depth = counts.sum(axis=1)
    return {
        "beta mean": beta.mean(),
        "beta sd": beta.std(),
        **_quantiles("beta", beta, (5, 50, 95)),
        "theta mean": theta.mean(),
        "theta sd": theta.std(),
        **_quantiles("theta", theta, (5, 50, 95)),
        **_quantiles("log delta", log_delta, (5, 50, 95)),
        "count mean": counts.mean(),
        **_quantiles("count", counts, (50, 90, 99)),
        "share of zeros": (counts == 0).mean(),
        "median depth": np.median(depth),
        "sd of depth": depth.std(),
        "median gene mean": np.median(counts.mean(axis=0)),
        "Pearson dispersion": ((counts - mean) ** 2 / mean).mean(),
        "cells of the first batch": (adata.obs["batch"] == "batch_1").sum(),
        "factor correlation": np.corrcoef(theta.T)[0, 1],
    }


def _quantiles(name: str, values: FloatArray, percents: tuple[int, ...]) -> dict[str, float]:
    return {f"{name} {q}%": np.percentile(values, q) for q in percents}


@pytest.fixture(scope="module")
def simulated() -> dict[str, FloatArray]:
    runs = [moments(seed) for seed in range(30)]
    return {name: np.array([run[name] for run in runs]) for name in runs[0]}


@pytest.mark.parametrize("name", NOTE)
def test_the_notes_toy_could_be_one_of_ours(simulated: dict[str, FloatArray], name: str) -> None:
    runs = simulated[name]
    assert abs(NOTE[name] - runs.mean()) < 3 * runs.std(ddof=1) + 1e-12
    assert runs.std(ddof=1) < 0.15 * max(abs(runs.mean()), 1.0), "too wide a range would accept anything"


def test_log_delta_is_standardised_over_genes_as_in_the_note() -> None:
    log_delta = simulate(n_genes=50, n_cells=10, n_batches=3, log_delta_sd=0.7).varm["log_delta_true"]
    np.testing.assert_allclose(log_delta.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(log_delta.std(axis=0, ddof=1), 0.7)
