import numpy as np
import pandas as pd
import pytest

from unbatch.simulation import SimulationOptions, simulate
from unbatch.simulation.scheme import CHUNK, draw_scheme, draw_states


def table(**options: object) -> np.ndarray:
    """Share of each type or dominant factor per batch."""
    obs = simulate(**({"n_genes": 5, "n_cells": 6000, "median_depth": 5} | options)).obs
    return pd.crosstab(obs["batch"], obs["cell_type"], normalize="index", dropna=False).to_numpy()


def test_without_confounding_factors_dominate_equally_in_all_batches() -> None:
    np.testing.assert_allclose(table(), 0.2, atol=0.03)


def test_full_confounding_separates_the_batches() -> None:
    shares = table(confounding=1.0, n_factors=4)
    np.testing.assert_allclose(shares, [[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5]], atol=0.04)
    assert (shares[[0, 1], [1, 0]] == 0).all()


def test_confounding_is_the_share_of_cells_drawn_to_the_batchs_own_factors() -> None:
    shares = table(confounding=0.6, n_factors=2)
    np.testing.assert_allclose(shares, [[0.8, 0.2], [0.2, 0.8]], atol=0.03)


def test_more_batches_than_factors_share_them() -> None:
    shares = table(confounding=1.0, n_factors=2, n_batches=3)
    np.testing.assert_allclose(shares, [[1, 0], [0, 1], [1, 0]])


def test_the_dominant_factor_is_the_largest_of_theta_whose_values_stay_exponential() -> None:
    adata = simulate(n_genes=5, n_cells=5000, confounding=0.7)
    theta = adata.obsm["theta_true"]
    np.testing.assert_array_equal(theta.argmax(axis=1), adata.obs["cell_type"].cat.codes)
    np.testing.assert_allclose(theta.sum(axis=1).var(), 5, rtol=0.1)
    np.testing.assert_allclose(np.percentile(theta, [5, 50, 95]), -np.log([0.95, 0.5, 0.05]), rtol=0.1)


def test_types_are_even_unless_a_composition_is_asked_for() -> None:
    np.testing.assert_allclose(table(n_types=4), 0.25, atol=0.03)


def test_small_concentration_confounds_more() -> None:
    def largest(concentration: float) -> float:
        options = SimulationOptions(n_types=6, n_batches=50, composition=concentration)
        return float(draw_scheme(options, seed=0).composition.max(axis=1).mean())

    assert largest(0.1) > 0.7
    assert 0.3 < largest(1.0) < 0.5
    assert largest(100.0) < 0.2


def test_composition_is_followed_and_recorded() -> None:
    composition = np.array([[6.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    expected = composition / composition.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table(n_types=3, composition=composition), expected, atol=0.03)
    adata = simulate(n_types=3, composition=composition, n_cells=10)
    np.testing.assert_allclose(adata.uns["simulation"]["composition"], expected)


def test_private_types_occur_in_their_batch_only() -> None:
    shares = table(n_types=5, composition=1.0, private_types={4: 1, 0: 0})
    assert shares[0, 4] == shares[1, 0] == 0
    assert shares[1, 4] > 0
    assert shares[0, 0] > 0


def test_batch_proportions() -> None:
    obs = simulate(n_genes=5, n_cells=5000, n_batches=3, batch_proportions=(1, 3, 6)).obs
    np.testing.assert_allclose(obs["batch"].value_counts(sort=False) / 5000, [0.1, 0.3, 0.6], atol=0.03)


def test_size_factors_and_batch_depth() -> None:
    adata = simulate(n_genes=5, n_cells=5000, size_factor_sd=0.4, batch_depth=(5.0, 1.0))
    log_size = np.log(adata.obs["size_factor_true"])
    by_batch = log_size.groupby(adata.obs["batch"], observed=True)
    np.testing.assert_allclose(by_batch.mean(), [np.log(5), 0], atol=0.03)
    np.testing.assert_allclose(by_batch.std(), 0.4, rtol=0.05)


@pytest.mark.parametrize("n_types", [0, 3])
def test_median_depth_is_met(n_types: int) -> None:
    adata = simulate(n_genes=300, n_cells=3000, n_types=n_types, median_depth=500, size_factor_sd=0.5, dispersion=0.2)
    assert np.median(adata.X.toarray().sum(axis=1)) == pytest.approx(500, rel=0.06)


def test_variation_is_the_share_of_expression_from_the_factors() -> None:
    adata = simulate(n_genes=200, n_cells=4000, n_types=3, variation=0.4)
    theta, beta = adata.obsm["theta_true"], adata.varm["beta_true"]
    expected = theta * beta.sum(axis=0)
    assert expected[:, 3:].sum() / expected.sum() == pytest.approx(0.4, rel=0.03)
    np.testing.assert_allclose(expected[:, :3].sum(axis=1), 0.6 * 200)
    np.testing.assert_array_equal(expected[:, :3].argmax(axis=1), adata.obs["cell_type"].cat.codes)


def test_markers_set_types_apart() -> None:
    def markers(share: float) -> np.ndarray:
        beta = draw_scheme(SimulationOptions(n_genes=4000, n_types=2, marker_share=share), seed=0).beta
        log_ratio = np.log(beta[:, 0] / beta[:, 1])
        return log_ratio - np.median(log_ratio)

    np.testing.assert_allclose(markers(0.0), 0, atol=1e-12)
    assert np.mean(np.abs(markers(0.2)) > 1e-9) == pytest.approx(1 - 0.8**2, abs=0.03)
    assert np.sqrt(np.mean(markers(1.0) ** 2)) == pytest.approx(1.5 * np.sqrt(2), rel=0.05)


def test_cells_depend_on_their_chunk_alone() -> None:
    def states(n_cells: int, chunk: int) -> np.ndarray:
        return draw_states(draw_scheme(SimulationOptions(n_cells=n_cells), seed=3), chunk)[0].theta

    few, many = states(2 * CHUNK, 1), states(5 * CHUNK + 1, 1)
    np.testing.assert_array_equal(few, many)
    assert states(5 * CHUNK + 1, 5).shape == (1, 5)
    assert not np.array_equal(few, states(5 * CHUNK, 2))
