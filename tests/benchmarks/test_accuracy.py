"""The accuracy ruler measures what it says."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import minimize

from accuracy import methods, tables, thinned
from accuracy.problem import Estimate, Problem, largest_component, make_problem
from accuracy.run import run_problem
from accuracy.scenarios import SIMULATED, list_scenarios, load_scenario
from accuracy.scores import called_share, gap_closed, score
from unbatch.simulation import simulate


@pytest.fixture(scope="module")
def problem() -> Problem:
    adata = simulate(
        n_genes=400, n_cells=1500, n_batches=3, n_types=3, composition=0.7, log_delta_sd=0.5, median_depth=1500, seed=1
    )
    codes = {key: np.array(adata.obs[key].cat.codes, dtype=np.int32) for key in ("batch", "cell_type")}
    return make_problem(
        "small", 1, counts=sparse.csr_array(adata.X), **codes, log_delta_true=adata.varm["log_delta_true"]
    )


def test_the_truth_scores_perfectly_whatever_its_free_factors(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    shifted = problem.log_delta_true + rng.normal(size=(400, 1)) + rng.normal(size=3)
    found = score(problem, Estimate(shifted, np.full((400, 3), 0.01)))[">200"]
    assert found.rmse < 1e-12
    assert found.slope == pytest.approx(1)
    assert found.correlation == pytest.approx(1)
    assert found.coverage == 1
    assert found.called > 0.9


def test_claiming_nothing_costs_the_spread_of_the_truth(problem: Problem) -> None:
    found = score(problem, methods.run("none", problem))[">200"]
    assert found.rmse == pytest.approx(0.5 * np.sqrt(2 / 3), rel=0.1)
    assert found.slope == 0


def test_the_oracle_beats_naive_where_composition_differs_and_knows_its_error(problem: Problem) -> None:
    naive, oracle = (score(problem, methods.run(name, problem))[">200"] for name in ("naive", "oracle"))
    assert oracle.rmse < 0.6 * naive.rmse
    assert oracle.coverage == pytest.approx(0.95, abs=0.04)
    assert naive.coverage < 0.85
    assert oracle.slope == pytest.approx(1, abs=0.05)


def test_the_oracle_maximises_the_poisson_likelihood(problem: Problem) -> None:
    library = np.asarray(problem.counts.sum(axis=1)).ravel()
    estimate = methods.run("oracle", problem)
    for g in (0, 7, 40):
        y = problem.counts[:, [g]].toarray().ravel()

        def loss(x: np.ndarray, y: np.ndarray = y) -> float:
            eta = np.log(library / library.mean()) + x[problem.cell_type] + x[3 + problem.batch]
            return float(np.exp(eta).sum() - y @ eta)

        b = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-6}).x[3:]
        np.testing.assert_allclose(estimate.log_delta[g], b - b.mean(), atol=1e-3)


def test_genes_are_classed_by_their_counts(problem: Problem) -> None:
    found = score(problem, methods.run("none", problem))
    totals = np.asarray(problem.counts.sum(axis=0)).ravel()
    assert found[">200"].n_genes == (totals > 200).sum()
    assert found["50-200"].n_genes == ((totals > 50) & (totals <= 200)).sum()
    assert found[">50"].n_genes == found[">200"].n_genes + found["50-200"].n_genes


def test_false_discoveries_are_controlled_and_effects_are_found() -> None:
    rng = np.random.default_rng(0)
    assert called_share(rng.normal(size=(1000, 2)), np.ones((1000, 2))) < 0.005
    effects = rng.normal(size=(1000, 2)) + np.where(np.arange(1000) < 200, 8, 0)[:, None]
    assert called_share(effects, np.ones((1000, 2))) == pytest.approx(0.2, abs=0.03)
    assert called_share(effects, np.full((1000, 2), np.inf)) == 0


def test_gap_closed_runs_from_naive_to_oracle() -> None:
    assert gap_closed(0.3, naive=0.3, oracle=0.1) == 0
    assert gap_closed(0.1, naive=0.3, oracle=0.1) == pytest.approx(1)


def test_a_batch_without_shared_types_is_not_identifiable() -> None:
    batch = np.repeat(np.array([0, 1, 2], dtype=np.int32), 40)
    cell_type = np.concatenate([np.zeros(60), np.ones(20), np.full(40, 2)]).astype(np.int32)
    np.testing.assert_array_equal(largest_component(batch, cell_type, 3), [True, True, False])
    problem = make_problem(
        "", 0, counts=sparse.csr_array(np.full((120, 4), 5.0)), batch=batch, cell_type=cell_type,
        log_delta_true=np.zeros((4, 3)),
    )  # fmt: skip
    found = score(problem, Estimate(np.tile([0.0, 0.0, 0.3], (4, 1))))[">200"]
    assert found.unidentifiable_rms == pytest.approx(0.3)
    assert found.rmse == 0
    np.testing.assert_array_equal(methods.run("oracle", problem).log_delta[:, 2], 0)


def test_thinning_leaves_the_planted_share_of_the_real_counts() -> None:
    name = thinned.list_sources(None)[0]
    assert name == "thinned:cell_lines:10x"
    problem = load_scenario(name, 3)
    assert problem.n_batches == 3
    assert problem.identifiable.all()
    original = thinned._read(thinned._SHIPPED, "10x").counts
    before, after = (
        np.stack([np.asarray(c[np.flatnonzero(problem.batch == k)].sum(axis=0)).ravel() for k in range(3)], axis=1)
        for c in (original, problem.counts)
    )
    delta = np.exp(problem.log_delta_true - problem.log_delta_true.max(axis=1, keepdims=True))
    noise = np.sqrt(before * delta * (1 - delta))
    assert (np.abs(after - before * delta) < 5 * noise + 3).all()
    assert 0.35 < score(problem, methods.run("none", problem))[">200"].rmse < 0.45
    again = load_scenario(name, 3)
    assert (again.counts != problem.counts).nnz == 0
    np.testing.assert_array_equal(again.batch, problem.batch)


@pytest.mark.parametrize("name", ["few-affected", "few-affected:cell_lines:10x"])
def test_few_affected_genes_are_one_in_ten_and_affected_more(name: str) -> None:
    truth = load_scenario(name, 1).log_delta_true
    assert (truth != 0).mean() == pytest.approx(0.1, abs=0.03)
    assert truth[truth != 0].std() == pytest.approx(1.5, rel=0.1)


def test_effects_of_types_come_besides_those_of_batches() -> None:
    simulated = load_scenario("state-specific", 1)
    assert simulated.log_delta_true.std() == pytest.approx(0.5, rel=0.1)
    own, plain = (load_scenario(f"{name}:cell_lines:10x", 1) for name in ("state-specific", "thinned"))
    np.testing.assert_array_equal(own.log_delta_true, plain.log_delta_true)
    assert (own.counts != plain.counts).nnz > 0


def test_effects_of_types_are_what_is_said() -> None:
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(4e4, (4, 300)))
    batch, cell_type = np.array([0, 0, 1, 1], dtype=np.int32), np.array([0, 1, 0, 1], dtype=np.int32)
    how = thinned.Effects(by_type=0.25)
    truth, thin = thinned.affect(counts, batch, cell_type, 2, how, rng=rng)
    found = np.log(thin.toarray() / counts.toarray())
    own = found[:2] - found[2:] - (truth[:, 0] - truth[:, 1])  # of two types in two batches, one the other's opposite
    np.testing.assert_allclose(own[0], -own[1], atol=0.2)
    assert own.std() == pytest.approx(0.25, rel=0.15)


def test_a_folder_of_labelled_files_adds_scenarios(tmp_path: Path) -> None:
    adata = simulate(n_genes=20, n_cells=300, n_types=3, n_batches=2, batch_proportions=(3, 1), seed=2)
    adata.write_h5ad(tmp_path / "mine.h5ad")
    del adata.obs["cell_type"]
    adata.write_h5ad(tmp_path / "unlabelled.h5ad")
    shutil.copy(thinned._SHIPPED, tmp_path / "the_shipped_file_again.h5ad")
    found = [name for name in list_scenarios(tmp_path) if "cell_lines" not in name and name not in SIMULATED]
    assert found == [f"{prefix}mine:batch_1" for prefix in thinned.PREFIXES]
    assert load_scenario(found[0], 0, data=tmp_path).counts.shape[1] == 20


def test_rows_become_tables(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accuracy.run.load_scenario", lambda *_args, **_options: problem)
    rows = run_problem("small", 1, ("none", "naive", "oracle"), None)
    table = tables.complete(pd.DataFrame(rows))
    gap = table[table["genes"] == ">200"].set_index("method")["gap_closed"]
    assert gap["naive"] == 0
    assert gap["oracle"] == pytest.approx(1)
    text = tables.markdown(pd.DataFrame(rows), "the command")
    assert "Made by `the command`" in text
    rmse = table[(table["genes"] == ">200") & (table["method"] == "oracle")]["rmse"].iloc[0]
    assert f" {rmse:.3f} |" in text


def test_a_failing_method_is_a_row_not_the_end(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accuracy.run.load_scenario", lambda *_args, **_options: problem)
    rows = run_problem("small", 1, ("no_such_method", "none"), None)
    assert "no_such_method" in rows[0]["error"]
    assert [row["method"] for row in rows[1:]] == ["none"] * 3


def test_batches_of_a_kind_have_their_share_of_the_variance_in_common() -> None:
    rng = np.random.default_rng(0)
    counts, codes = sparse.csr_array(rng.poisson(3.0, (60, 4000)).astype(float)), np.arange(60, dtype=np.int32)
    how = thinned.PREFIXES["alike-batches:"]
    log_delta, affected = thinned.affect(counts, codes % 4, codes % 3, 4, how, rng=rng)
    alike = np.corrcoef(log_delta.T)
    np.testing.assert_allclose(log_delta.std(axis=0), how.sd, rtol=0.05)
    np.testing.assert_allclose(alike[[0, 1], [2, 3]], how.common, atol=0.05)
    np.testing.assert_allclose(alike[0, [1, 3]], 0, atol=0.06)
    assert affected.sum() < counts.sum()


def test_panels_look_at_few_of_the_louder_genes_with_few_counts() -> None:
    original = thinned._read(thinned._SHIPPED, "10x")
    looked_at = thinned._looked_at(original, 100, 100.0, np.random.default_rng(0))
    depth = looked_at.counts.sum(axis=1)
    assert looked_at.counts.shape[1] == 100
    assert np.median(depth) == pytest.approx(100, rel=0.05)
    assert depth.min() >= 3
    assert len(looked_at.cell_type) == len(depth)
    problem = load_scenario("panel:cell_lines:10x", 1)
    assert problem.log_delta_true.shape == (100, problem.n_batches)
    assert 50 < np.median(problem.counts.sum(axis=1)) < 100  # thinned by the effects besides
    again = load_scenario("panel:cell_lines:10x", 1)
    assert (again.counts != problem.counts).nnz == 0
