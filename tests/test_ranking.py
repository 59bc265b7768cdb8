"""Genes ranked by batch: planted effects come first, intervals cover, nothing unknown is called."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch.core.contrasts import centred_errors, difference_errors
from unbatch.fitted import BatchFit
from unbatch.ranking import rank_genes

BATCHES = ("a", "b", "c", "d")
N_GENES = 3000


def fit_of(log_delta, se, **changed):
    """A fit with these effects, and as much of the rest as ranking needs."""
    n_genes = len(log_delta)
    fit = BatchFit(
        log_delta=log_delta,
        se=se,
        measured=np.isfinite(se),
        sample=np.array([0, 0, 0, 1, -1]),
        overlap=np.ones(5),
        embedding=np.zeros((5, 2), dtype=np.float32),
        batches=BATCHES,
        too_small=(),
        batch_sizes=np.array([10, 20, 30, 40]),
        support=np.array([[1, 0.5, 0.2, 0.3], [0.8, 1, 0.1, 0.0], [0.4, 0.6, 1, 0.9], [1.0, 0.7, 0.5, 1]]),
        mu=np.stack([np.arange(n_genes), np.full(n_genes, 4)], axis=1).astype(float),
        basis=np.zeros((n_genes, 2)),
        trace={},
        stop_reason="converged",
        method="concept",
        parameters={},
        batch_key=("batch",),
        layer=None,
        versions={},
        timings={},
        obs=pd.DataFrame(index=list("vwxyz")),
        var=pd.DataFrame(index=[f"g{gene}" for gene in range(n_genes)]),
    )
    return dataclasses.replace(fit, **changed)


@pytest.fixture(scope="module")
def drawn():
    """Effects with noise of known variance, a third of them planted; and the truth, by gene and batch."""
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.01, 0.2, (N_GENES, 4))
    truth = rng.normal(0, 1, (N_GENES, 4)) * (np.arange(N_GENES) < N_GENES // 3)[:, None]
    noisy = truth + rng.normal(size=truth.shape) * np.sqrt(variance)
    known = np.ones(truth.shape, dtype=bool)
    known[5::10, 1] = False
    known[7::10, :3] = False
    truth, noisy = (np.where(known, values, np.nan) for values in (truth, noisy))
    few = known.sum(axis=1, keepdims=True) < 2
    centred = np.where(known & ~few, noisy - np.nanmean(noisy, axis=1, keepdims=True), 0.0)
    return fit_of(centred, centred_errors(variance, known)), truth


def with_truth(table, truth):
    """Add the true effect to each row: of the batch less that of the other, or less the mean."""
    gene, own = table["gene"].str[1:].astype(int).to_numpy(), table["batch"].map(BATCHES.index).astype(int)
    against = np.array([[np.nanmean(row), *row] for row in truth])
    other = table["versus"].map(["mean over batches", *BATCHES].index).astype(int)
    return table.assign(truth=truth[gene, own] - against[gene, other])


def test_batches_that_cannot_be_compared_have_no_difference():
    rng = np.random.default_rng(3)
    log_delta, se = rng.normal(size=(50, 4)), rng.uniform(0.1, 1, (50, 4))
    fit = fit_of(log_delta, se, landmarks=SimpleNamespace(group=np.array([0, 0, 1, 1])))
    table = rank_genes(fit, versus="b").set_index("batch")
    np.testing.assert_allclose(
        table.loc["a"].sort_values("gene")["se"],
        pd.Series(difference_errors(se[:, :2], versus=1)[:, 0], index=fit.var.index).sort_index(),
    )
    for other in "cd":
        assert np.isinf(table.loc[other, "se"]).all()
        assert (table.loc[other, "log_delta"] == 0).all()
        assert (table.loc[other, "qvalue"] == 1).all()


@pytest.mark.parametrize("versus", [None, "c", BATCHES])
def test_intervals_cover_the_truth_as_often_as_they_say(drawn, versus):
    fit, truth = drawn
    table = with_truth(rank_genes(fit, versus=versus), truth)
    table = table[np.isfinite(table["se"])]
    assert len(table) > 5000
    covered = (table["lower"] < table["truth"]) & (table["truth"] < table["upper"])
    assert covered.mean() == pytest.approx(0.95, abs=0.01)


def test_planted_effects_are_found_and_false_calls_are_as_rare_as_asked(drawn):
    fit, truth = drawn
    for versus in (None, BATCHES):
        table = with_truth(rank_genes(fit, versus=versus), truth)
        called = table[table["qvalue"] < 0.05]
        assert (called["truth"] == 0).mean() < 0.05
        assert (table[table["truth"].abs() > 2]["qvalue"] < 0.05).mean() > 0.9


def test_rows_are_sorted_by_z_and_the_unknown_come_last(drawn):
    table = rank_genes(drawn[0])
    assert table["z"].abs().is_monotonic_decreasing
    assert table.index.tolist() == list(range(4 * N_GENES))
    unknown = table[np.isinf(table["se"])]
    assert len(unknown) == 300 + 4 * 300  # one batch, or all
    assert unknown.index[0] >= len(table) - len(unknown) - 1
    assert (unknown[["log_delta", "z"]] == 0).all(axis=None)
    assert (unknown[["pvalue", "qvalue"]] == 1).all(axis=None)
    assert (np.isneginf(unknown["lower"]) & np.isposinf(unknown["upper"])).all()
    assert not table.isna().any(axis=None)


def test_columns_are_what_the_names_say(drawn):
    table = rank_genes(drawn[0], batch="b", versus="d")
    assert " ".join(table.columns) == (
        "gene batch versus log_delta log2_effect se lower upper z pvalue qvalue support mean_expression measured"
    )
    assert (table["batch"] == "b").all()
    assert (table["versus"] == "d").all()
    known = table[np.isfinite(table["se"])]
    np.testing.assert_allclose(known["log2_effect"], known["log_delta"] / np.log(2))
    np.testing.assert_allclose(known["z"], known["log_delta"] / known["se"])
    row = table.set_index("gene").loc["g12"]
    assert row["log_delta"] == drawn[0].log_delta[12, 1] - drawn[0].log_delta[12, 3]
    assert row["mean_expression"] == pytest.approx((3 * 12 + 4) / 4)


def test_a_pair_the_other_way_round_has_the_opposite_effect(drawn):
    one, other = (rank_genes(drawn[0], batch=a, versus=b).set_index("gene") for a, b in ("bd", "db"))
    other = other.loc[one.index]
    np.testing.assert_allclose(one["z"], -other["z"])
    np.testing.assert_allclose(one["qvalue"], other["qvalue"])
    np.testing.assert_allclose(one["se"], other["se"])


def test_all_pairs_come_once(drawn):
    table = rank_genes(drawn[0], versus=BATCHES)
    pairs = table[["batch", "versus"]].drop_duplicates()
    assert {frozenset(pair) for pair in pairs.itertuples(index=False)} == {
        frozenset(pair) for pair in itertools.combinations(BATCHES, 2)
    }
    assert len(table) == 6 * N_GENES


def test_q_values_are_over_what_was_asked_for(drawn):
    one, all_of_them = rank_genes(drawn[0], batch="a"), rank_genes(drawn[0])
    np.testing.assert_array_equal(
        one.sort_values("gene")["pvalue"], all_of_them[all_of_them["batch"] == "a"].sort_values("gene")["pvalue"]
    )
    assert not np.array_equal(
        one.sort_values("gene")["qvalue"], all_of_them[all_of_them["batch"] == "a"].sort_values("gene")["qvalue"]
    )
    known = np.isfinite(one["se"])
    best = one.iloc[0]
    assert best["qvalue"] <= best["pvalue"] * known.sum() * (1 + 1e-12)


def test_support_is_that_of_the_batch_or_of_the_pair(drawn):
    alone = rank_genes(drawn[0]).groupby("batch", observed=True)["support"].unique()
    assert alone["a"] == pytest.approx([(0.5 + 0.2 + 0.3) / 3])
    pair = rank_genes(drawn[0], batch="a", versus="b")["support"].unique()
    assert pair == pytest.approx([(10 * 0.5 + 20 * 0.8) / 30])


def test_batches_too_small_do_not_count_as_support(drawn):
    fit = dataclasses.replace(drawn[0], too_small=("d",))
    assert rank_genes(fit, batch="a")["support"].unique() == pytest.approx([(0.5 + 0.2) / 2])


@pytest.fixture(scope="module")
def toy():
    return ub.simulate(n_cells=300, n_genes=40, n_batches=3, log_delta_sd=0.7, seed=4)


def test_a_fit_with_a_reference_is_ranked_against_it(toy):
    mean, relative = (
        ub.BatchModel(reference=reference).fit(toy.X, toy.obs["batch"]).result for reference in (None, "batch_2")
    )
    table = rank_genes(relative)
    assert set(table["versus"]) == {"batch_2"}
    assert set(table["batch"]) == {"batch_1", "batch_3"}
    expected = rank_genes(mean, versus="batch_2")
    keys = ["gene", "batch"]
    one, other = (t.astype(dict.fromkeys(keys, str)).sort_values(keys) for t in (table, expected))
    np.testing.assert_allclose(one["se"], other["se"])
    np.testing.assert_allclose(one["support"], other["support"])
    # the batch as a whole keeps one factor, which each convention sets in its own way
    moved = pd.Series(one["log_delta"].to_numpy() - other["log_delta"].to_numpy()).groupby(one["batch"].to_numpy())
    assert moved.std().max() < 1e-9


def test_other_pairs_of_a_fit_with_a_reference_have_the_errors_of_the_fit_without(toy):
    mean, relative = (
        ub.BatchModel(reference=reference).fit(toy.X, toy.obs["batch"]).result for reference in (None, "batch_2")
    )
    one, other = (rank_genes(fit, batch="batch_1", versus="batch_3").set_index("gene") for fit in (mean, relative))
    np.testing.assert_allclose(one["se"], other["se"].loc[one.index])


def test_differences_of_the_published_method_have_the_errors_of_its_poisson_sums(toy):
    """The error of a difference is that of two sums of counts, however much deeper one batch is than the other."""
    fit = ub.BatchModel(method="concept").fit(toy.X, toy.obs["batch"]).result
    table = rank_genes(fit, batch="batch_1", versus="batch_3").set_index("gene")
    sums = {level: toy.X[(toy.obs["batch"] == level).to_numpy()].sum(axis=0).A1 for level in ("batch_1", "batch_3")}
    expected = np.sqrt(1 / sums["batch_1"] + 1 / sums["batch_3"])
    np.testing.assert_allclose(table["se"].loc[list(fit.var.index)], expected, rtol=1e-6)


def test_strange_names_are_refused_with_the_choices(drawn):
    with pytest.raises(ub.InputError, match="'e' is no batch of the fit: choose among 'a', 'b', 'c', 'd'"):
        rank_genes(drawn[0], batch=["a", "e"])
    with pytest.raises(ub.InputError, match="'mean' is no batch"):
        rank_genes(drawn[0], versus="mean")
    with pytest.raises(ub.InputError, match="no batch is named"):
        rank_genes(drawn[0], batch=[])
    with pytest.raises(ub.InputError, match="batch and versus are both 'a'"):
        rank_genes(drawn[0], batch="a", versus="a")
    relative = dataclasses.replace(drawn[0], reference="a", centred_se=drawn[0].se)
    with pytest.raises(ub.InputError, match="batch 'a' is what all effects are relative to"):
        rank_genes(relative, batch="a")


def test_from_an_anndata_with_genes_taken_away(toy):
    adata = toy.copy()
    ub.tl.batch_effects(adata, batch_key="batch")
    table = ub.tl.rank_batch_genes(adata[:, :15], batch="batch_1")
    assert sorted(table["gene"]) == sorted(adata.var_names[:15])
    values = dict(zip(adata.var_names, adata.varm["batch_effects"][:, 0], strict=True))
    assert table["log_delta"].tolist() == [values[gene] for gene in table["gene"]]


def test_without_a_fit_it_says_what_to_run(toy):
    with pytest.raises(ub.InputError, match=r"tl\.batch_effects"):
        ub.tl.rank_batch_genes(toy)


def test_unknown_everything_is_no_error():
    table = rank_genes(fit_of(np.zeros((3, 4)), np.full((3, 4), np.inf)), versus=BATCHES)
    assert (table["qvalue"] == 1).all()
    assert len(table) == 18


def test_mean_expression_is_of_cells_of_half_the_size_of_the_shallowest():
    adata = ub.simulate(n_cells=900, n_genes=200, n_types=3, batch_depth=[1, 4], median_depth=1500, seed=1)
    ub.tl.batch_effects(adata, batch_key="batch")
    ub.pp.adjust_counts(adata)
    sizes = pd.Series(np.asarray(adata.layers["adjusted"].sum(axis=1)).ravel(), index=adata.obs_names)
    shallowest = sizes.groupby(adata.obs["batch"], observed=True).median().min()
    found = ub.tl.rank_batch_genes(adata).drop_duplicates("gene")["mean_expression"].sum()
    assert found == pytest.approx(shallowest / 2, rel=0.02)


def test_genes_that_a_batch_did_not_measure_are_told(drawn):
    fit = drawn[0]
    assert 0 < (~fit.measured).sum() < fit.measured.size
    of_gene = pd.DataFrame(fit.measured, index=fit.var.index, columns=list(fit.batches))
    table = rank_genes(fit)
    told = of_gene.to_numpy()[of_gene.index.get_indexer(table["gene"]), of_gene.columns.get_indexer(table["batch"])]
    np.testing.assert_array_equal(table["measured"], told)
    pair = rank_genes(fit, batch="b", versus="d").set_index("gene")["measured"]
    np.testing.assert_array_equal(pair[of_gene.index], of_gene["b"] & of_gene["d"])
