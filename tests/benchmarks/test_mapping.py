"""The benchmark of mapping measures what it says."""

import dataclasses

import numpy as np
import pytest

import mapping
from unbatch.simulation import simulate


@pytest.fixture(scope="module")
def measured():
    adata = simulate(
        n_cells=900, n_genes=250, n_batches=3, n_types=4, composition=3.0, log_delta_sd=0.5, median_depth=900, seed=2
    )
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    return mapping.measure("some", adata, truth=np.array(adata.varm["log_delta_true"]))


def test_effects_are_compared_with_truth_and_with_a_joint_fit(measured):
    row, _ = measured
    assert row.mapped_from_joint < row.mapped_from_truth < 0.25
    assert row.joint_from_truth < 0.25
    assert 0.85 < row.mapped_covers < 1
    assert 0.85 < row.joint_covers < 1
    assert 0.5 < row.mapped_se / row.joint_se < 2


def test_cells_are_compared_with_a_joint_fit(measured):
    _, rows = measured
    assert [row.what for row in rows] == ["held-out batch", "tenth of the cells"]
    for row in rows:
        assert 0.2 < row.kept <= 1
        assert 0 < row.moved < 1
        assert 0 < row.reference_moved < 1
        assert row.same_type > 0.8
        assert row.joint_same_type > 0.8


def test_what_is_rotated_and_shifted_has_not_moved():
    rng = np.random.default_rng(0)
    space, state, out = rng.normal(size=(50, 4)), rng.integers(0, 3, 50), np.arange(50) < 10
    turned = space @ np.linalg.qr(rng.normal(size=(4, 4)))[0] + 3
    np.testing.assert_allclose(mapping._moved(turned, space, state, out), 0, atol=1e-9)
    turned[out] += 1
    moved, reference = mapping._moved(turned, space, state, out)
    assert moved > 0.5
    assert reference < 1e-9


def test_the_page_has_a_line_for_each_row_and_the_place_of_no_file(measured):
    row, rows = measured
    text = mapping.page(
        [row], rows, seeds=1, command="python x.py " + " ".join(mapping.shown(["--data", "/a/b", "--seeds", "1"]))
    )
    assert text.count("| some |") == 3
    assert "--data DIR --seeds 1" in text
    assert "/a/b" not in text
    unknown = dataclasses.replace(row, joint_from_truth=float("nan"))
    assert " - |" in mapping.page([unknown], rows, seeds=1, command="")


def test_seeds_are_averaged(measured):
    row, rows = measured
    other = dataclasses.replace(row, cells=row.cells + 2, mapped_se=3 * row.mapped_se)
    (mean,) = mapping.averaged([row, other])
    assert mean.cells == row.cells + 1
    assert mean.mapped_se == pytest.approx(2 * row.mapped_se)
    assert len(mapping.averaged([*rows, *rows])) == 2
