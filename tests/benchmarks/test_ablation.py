"""Each ablation takes out what it says, and nothing stays replaced."""

import numpy as np
import pytest
from scipy import sparse

import ablation
from accuracy.problem import Problem, make_problem
from unbatch.simulation import simulate

ANYWHERE = (
    "total-axes",
    "median-scale",
    "one-round",
    "flat-prior",
    "one-width",
    "links-only",
    "no-first-links",
    "single-cells",
    "always-drawn",
)


@pytest.fixture(scope="module")
def problem() -> Problem:
    adata = simulate(
        n_genes=200, n_cells=700, n_batches=3, n_types=3, composition=0.7, log_delta_sd=0.5, median_depth=800, seed=1
    )
    codes = {key: np.array(adata.obs[key].cat.codes, dtype=np.int32) for key in ("batch", "cell_type")}
    return make_problem(
        "small", 1, counts=sparse.csr_array(adata.X), **codes, log_delta_true=adata.varm["log_delta_true"]
    )


@pytest.fixture(scope="module")
def full(problem: Problem) -> np.ndarray:
    return ablation.estimate(problem, ablation.VARIANTS["full"]).log_delta


@pytest.mark.parametrize("name", ANYWHERE)
def test_taking_a_part_out_changes_the_estimate(name: str, problem: Problem, full: np.ndarray) -> None:
    assert np.abs(ablation.estimate(problem, ablation.VARIANTS[name]).log_delta - full).max() > 1e-6


def test_nothing_stays_replaced(problem: Problem, full: np.ndarray) -> None:
    for name in set(ablation.VARIANTS) - set(ANYWHERE):
        ablation.estimate(problem, ablation.VARIANTS[name])
    for variant in ablation.VARIANTS.values():
        before = [getattr(target, part) for target, part, _ in variant.parts]
        with variant.applied():
            during = [getattr(target, part) for target, part, _ in variant.parts]
        assert [getattr(target, part) for target, part, _ in variant.parts] == before
        assert all(a is not b for a, b in zip(before, during, strict=True))
    assert np.array_equal(ablation.estimate(problem, ablation.VARIANTS["full"]).log_delta, full)


def test_it_is_the_method_that_users_get(problem: Problem, full: np.ndarray) -> None:
    from unbatch.core.convention import centre_log_delta
    from unbatch.model import BatchModel

    result = BatchModel().fit(problem.counts, [str(code) for code in problem.batch]).result
    totals = np.asarray(problem.counts.sum(axis=0), dtype=np.float64).ravel()
    expected = centre_log_delta(full, totals, np.isfinite(result.se))
    np.testing.assert_allclose(result.log_delta, expected, atol=1e-9)


def test_links_without_mutuality_hold_the_mutual_ones() -> None:
    rng = np.random.default_rng(0)
    where, batch = rng.normal(size=(60, 3)), np.repeat([0, 1, 2], 20)
    level = np.tile([0, 1], 30)
    (mutual, mutual_far), (nearest, far) = (
        find(where, batch, level) for find in (ablation.linking._mutual, ablation._nearest)
    )
    for caliper in (np.inf, 1.15):
        linked = set(map(tuple, mutual[mutual_far <= caliper]))
        near = {tuple(sorted(pair)) for pair in nearest[far <= caliper]}
        assert linked < near
        assert all(level[p] == level[q] and batch[p] != batch[q] for p, q in near)


def test_the_table_has_a_row_per_variant_and_medians_over_seeds() -> None:
    rows = [
        {"scenario": "null", "seed": seed, "variant": name, "genes": genes, "rmse": rmse + seed, "coverage": 0.9}
        | {"unidentifiable": alone}
        for seed in (1, 2, 4)
        for name, rmse, alone in (("naive", 0.5, 0.75), ("full", 0.25, 0.125))
        for genes in (">200", "50-200")
    ]
    text = ablation.markdown(rows, "python benchmarks/ablation.py")
    assert "Medians over the seeds 1, 2, 4." in text
    assert text.count("| full | 2.250 |") == 2
    assert text.count("| *naive* | 2.500 |") == 2
    assert text.count("| full | 0.900 |") == 1
    assert text.count("| full | 0.125 |") == 1


def test_all_problems_of_a_run_are_scored(monkeypatch: pytest.MonkeyPatch, problem: Problem) -> None:
    monkeypatch.setattr("accuracy.scenarios.load_scenario", lambda *_: problem)
    rows = ablation.run_problem("small", 1, ("full", "one-round"))
    assert [row["variant"] for row in rows[::2]] == ["none", "naive", "oracle", "concept", "full", "one-round"]
    rmse = {row["variant"]: row["rmse"] for row in rows if row["genes"] == ">200"}
    assert rmse["full"] < rmse["none"]
