"""Sets whose options are drawn at random are made, scored, and summed up."""

import numpy as np
import pandas as pd
import pytest

import random_sets
import unbatch as ub
from accuracy import random_splits
from accuracy.ambient import add_ambient


@pytest.mark.parametrize("family", random_sets.FAMILIES)
def test_options_are_drawn_anew_for_each_set_and_can_be_simulated(family: str) -> None:
    first, draw = random_sets.FAMILIES[family]
    drawn = [draw(np.random.default_rng(first + number)) for number in range(20)]
    assert len({str(options) for options in drawn}) > 15
    assert draw(np.random.default_rng(first)) == drawn[0]
    small = drawn[0] | {"n_cells": 10 * drawn[0]["n_batches"], "n_genes": 20}
    assert ub.simulate(**small, seed=0).n_obs == small["n_cells"]


def test_a_set_is_scored_and_a_row_made_of_it(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path) -> None:
    options = {"n_batches": 2, "n_cells": 600, "n_genes": 100, "n_types": 3, "composition": 2.0, "median_depth": 2000}
    monkeypatch.setitem(random_sets.FAMILIES, "mixed", (0, lambda _: options))
    command = ["random_sets.py", "--families", "mixed", "--sets", "2", "--csv", str(tmp_path / "sets.csv")]
    monkeypatch.setattr("sys.argv", command)
    random_sets.main()
    scores = pd.read_csv(tmp_path / "sets.csv")
    assert scores.number.tolist() == [0, 1]
    assert scores.rmse.between(0.01, 0.15).all()
    assert scores.coverage.between(0.85, 1).all()
    assert scores.own_type.gt(0.95).all()
    assert np.abs(scores.own_batch - scores.mixed).max() < 0.1
    row = f"| mixed | 2 | {scores.rmse.mean():.3f} | {scores.rmse.max():.3f} | {scores.coverage.mean():.1%} | 0 | "
    assert row in capsys.readouterr().out


def test_neighbours_are_those_of_a_set_whose_batches_are_mixed_or_apart() -> None:
    rng = np.random.default_rng(0)
    adata = ub.simulate(n_batches=2, n_types=2, n_cells=400, n_genes=20, composition=None, seed=0)
    kind, batch = (adata.obs[key].cat.codes.to_numpy() for key in ("cell_type", "batch"))
    adata.obsm["X_unbatch"] = rng.normal(size=(400, 2)) + 100.0 * kind[:, None]
    own_type, own_batch, mixed = random_sets.neighbours(adata)
    assert own_type == 1
    assert own_batch == pytest.approx(mixed, abs=0.05)
    adata.obsm["X_unbatch"][:, 1] += 1000.0 * batch
    assert random_sets.neighbours(adata)[1] == 1
    del adata.obs["cell_type"]
    assert np.isnan(random_sets.neighbours(adata)).all()


@pytest.mark.parametrize("family", random_sets.DRAWN)
def test_sets_beyond_the_simulator_are_drawn_anew_and_made_again(family: str) -> None:
    draw = random_sets.DRAWN[family]
    (chosen, adata), (others, _) = draw(19), draw(20)
    assert chosen != others
    np.testing.assert_array_equal(adata.X.toarray(), draw(19)[1].X.toarray())
    assert adata.obs["batch"].nunique() == chosen["n_batches"]
    assert adata.varm["log_delta_true"].shape == (chosen["n_genes"], chosen["n_batches"])
    row = random_sets.measured(family, 19)
    assert row is not None
    assert row["rmse"] < 0.1
    assert row["own_type"] > 0.6


def test_ambient_counts_are_a_share_of_each_cells_drawn_from_its_batch() -> None:
    adata = ub.simulate(n_batches=2, n_types=2, n_cells=400, n_genes=50, median_depth=2000, seed=0)
    before, mine = adata.X.toarray(), (adata.obs["batch"] == "batch_2").to_numpy()
    add_ambient(adata, np.array([0.0, 0.2]), np.random.default_rng(0))
    added = adata.X.toarray() - before
    assert not added[~mine].any()
    assert added.min() == 0
    np.testing.assert_allclose(added[mine].sum(axis=1) / adata.X.toarray()[mine].sum(axis=1), 0.2, atol=0.05)
    profile, found = before[mine].sum(axis=0), added[mine].sum(axis=0)
    assert np.abs(found / found.sum() - profile / profile.sum()).max() < 0.005


@pytest.mark.filterwarnings("ignore::unbatch.InputWarning")
def test_a_split_of_real_cells_is_made_again_and_scored() -> None:
    chosen, adata = random_splits.draw_split(4)
    again = random_splits.draw_split(4)[1]
    np.testing.assert_array_equal(adata.X.toarray(), again.X.toarray())
    assert adata.obs["batch"].nunique() == chosen["n_batches"]
    assert adata.n_obs <= chosen["n_cells"]
    own = random_splits.draw_split(4, by_type=0.3)[1]
    assert not np.array_equal(own.X.sum(axis=0), adata.X.sum(axis=0))
    row = random_sets.measured("splits", 4)
    assert row is not None
    assert row["source"].startswith("cell_lines")
    assert row["rmse"] < 0.2
    assert row["own_type"] > 0.9


def test_cells_that_cannot_be_split_as_was_drawn_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no split found in which shared types tie the batches together")

    monkeypatch.setattr(random_splits, "split", refuse)
    assert random_sets.measured("splits", 0) is None
