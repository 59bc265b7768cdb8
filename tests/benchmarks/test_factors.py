"""The benchmark of programmes measures what it says."""

import numpy as np
import pytest

import factors
import unbatch as ub


@pytest.fixture(scope="module")
def rows() -> list[dict[str, float | str]]:
    return factors.run_toy(0, n_cells=400, confounding=0.0, n_factors=5)


def test_each_way_is_measured_and_only_effects_make_it_right(rows: list[dict[str, float | str]]) -> None:
    by_kind = {row["kind"]: row for row in rows}
    assert set(by_kind) == set(factors.KINDS)
    for kind in ("adjusted", "planted effects"):
        assert by_kind[kind]["beta"] > 0.95
        assert by_kind[kind]["theta"] > 0.95
    for kind in ("not adjusted", "not adjusted, groups by PCA"):
        assert by_kind[kind]["beta"] < 0.8
        assert by_kind[kind]["theta"] < 0.8
    table = factors.summarise(rows).splitlines()
    assert len(table) == 2 + len(factors.KINDS)
    assert len({line.count("|") for line in table}) == 1


def test_the_truth_against_itself_is_one_and_needs_no_order() -> None:
    adata = ub.simulate(n_genes=60, n_cells=80, seed=0)
    beta, theta = factors.identifiable(adata)
    np.testing.assert_allclose(factors.matched(beta, beta[:, ::-1]), 1)
    np.testing.assert_allclose(beta.sum(axis=0), 1)
    np.testing.assert_allclose(theta.sum(axis=1), 1)
    assert factors.matched(adata.varm["beta_true"], beta).mean() < 0.9


def test_the_label_that_made_the_activities_is_told_and_a_random_one_is_not() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    shares = np.column_stack([0.2 + 0.6 * label, 0.8 - 0.6 * label]) + rng.normal(0, 0.01, (200, 2))
    assert factors.predictable(shares, pd.Series(label)) > 0.4
    assert abs(factors.predictable(shares, pd.Series(rng.permutation(label)))) < 0.15
