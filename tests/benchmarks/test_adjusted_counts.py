"""The tables of decision 15 measure what they say."""

import numpy as np
import pytest

import adjusted_counts

SHAPE = (3, 4, 60)


@pytest.fixture(scope="module")
def adata():
    factor = adjusted_counts.planted(0.0, SHAPE, seed=0)
    factor[1, 2:] = np.where(np.arange(60) < 15, 1 / adjusted_counts.ANSWER, 1.0)
    found = adjusted_counts.simulated(factor, n_cells=1500, composition=20.0, seed=0)
    adjusted_counts.adjust_both(found)
    return found


def test_planted_factors_scatter_as_they_should():
    factor = adjusted_counts.planted(0.1, (5, 4, 500), seed=1)
    assert factor.max() <= 1
    assert factor.std() / factor.mean() == pytest.approx(0.1, rel=0.05)


def test_what_is_left_is_measured_within_types(adata):
    adata.layers["raw"] = adata.X
    assert adjusted_counts.left(adata, "shared") < 0.5 * adjusted_counts.left(adata, "raw")
    assert adjusted_counts.left(adata, "shared") > 0.01


def test_the_answer_is_measured_as_planted(adata):
    answers = np.arange(60) < 15
    assert adjusted_counts.share_kept(adata, "shared", answers) == pytest.approx(1.0, abs=0.2)
    assert abs(adjusted_counts.share_kept(adata, "shared", np.arange(60) >= 40)) < 0.3


def test_small_tables_are_printed(capsys, tmp_path, adata):
    adata.write_h5ad(tmp_path / "one.h5ad")
    adjusted_counts.cost_table(n_genes=50, n_states=5, n_batches=3)
    adjusted_counts.cap_table(tmp_path)
    printed = capsys.readouterr().out
    assert "50 genes x 5 states x 3 batches" in printed
    assert printed.splitlines()[-1].startswith("one | ")
