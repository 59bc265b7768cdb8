"""A fit judges itself: right on what is known, whole for odd inputs, the same whoever counts."""

import warnings

import anndata as ad
import numba
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import unbatch as ub
from unbatch.core.denoising import Denoising
from unbatch.stored_fit import as_anndata, read_slots

TYPES = {
    "n_cells": 700,
    "n_genes": 150,
    "n_batches": 2,
    "n_types": 4,
    "median_depth": 1500,
    "composition": 2.0,
    "size_factor_sd": 0.2,
}
TABLES = {
    "verdicts": ["check", "verdict", "value", "threshold", "text", "cure"],
    "need": ["space", "explained", "null", "null_upper", "n_permutations", "compared"],
    "need_genes": ["gene", "explained_before", "explained_after", "null_upper"],
    "overlap_pairs": ["batch", "other", "share", "distance_ratio"],
    "overlap_states": ["state", "n_cells", "n_batches", "alone"],
    "balance": ["batch", "other", "kind", "name", "before", "after", "n_matched"],
    "balance_summary": [
        "batch",
        "other",
        "mean_before",
        "mean_after",
        "over_01_before",
        "over_01_after",
        "rms_before",
        "rms_after",
    ],
    "mixing": ["batch", "n_cells", "before", "after", "expected", "elsewhere"],
    "remainder": ["gene", "state", "batch", "log_ratio", "se", "z"],
    "remainder_states": ["state", "batch", "n_cells", "mean_square"],
    "strongest": ["batch", "rank", "gene", "log_delta", "se", "lower", "upper", "q", "family"],
    "families": ["batch", "family", "n_genes", "median_log_delta", "p"],
    "cells": ["row", "batch", "name"],
}


def judged(data, labels=None, *, method="matched", seed=0, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ub.BatchModel(method=method, seed=seed)
        return model.fit(data.X, data.obs["batch"] if labels is None else labels, **options).result


def verdicts(fit):
    return fit.diagnostics.verdicts.set_index("check")


def check_whole(fit):
    """Every number is one, and everything survives the disk's layout."""
    for name, table in fit.diagnostics.tables.items():
        assert list(table.columns) == TABLES[name]
        for column in table.select_dtypes("number"):
            assert np.isfinite(table[column]).all(), (name, column)
    for name, array in fit.diagnostics.arrays.items():
        assert np.isfinite(array).all(), name
    assert not verdicts(fit)["text"].str.contains("nan|inf ").any()
    assert set(verdicts(fit)["verdict"]) <= {"fine", "look here", "do not trust"}


@pytest.fixture(scope="module")
def moderate():
    return ub.simulate(**TYPES, log_delta_sd=0.5, seed=1)


@pytest.fixture(scope="module")
def fit(moderate):
    return judged(moderate)


def test_all_tables_are_there_with_their_columns(fit):
    check_whole(fit)
    assert fit.diagnostics.tables.keys() == TABLES.keys()
    arrays = fit.diagnostics.arrays
    n_cells, n_states = len(fit.diagnostics.tables["cells"]), fit.mu.shape[1]
    assert {name: array.shape for name, array in arrays.items()} == {
        "before": (n_cells, fit.embedding.shape[1]),
        "after": (n_cells, fit.embedding.shape[1]),
        "state_batch": (n_states, 2),
        "overlap_cells": (n_cells, 2),
    }
    np.testing.assert_array_equal(arrays["after"], fit.embedding[fit.diagnostics.tables["cells"]["row"]])
    np.testing.assert_allclose(arrays["state_batch"].sum(axis=1), 1)


def test_a_moderate_effect_was_needed_and_is_taken_out(fit):
    found = verdicts(fit)
    assert (found["verdict"] == "fine").all(), found["text"].tolist()
    assert found.loc["need", "text"].startswith("Needed")
    assert fit.diagnostics.worst == "fine"
    need = fit.diagnostics.tables["need"].set_index("space")
    assert need.loc["genes", "explained"] > 10 * need.loc["genes", "null_upper"]
    assert need.loc["genes after", "explained"] < 0.1 * need.loc["genes", "explained"]
    mixing = fit.diagnostics.tables["mixing"]
    assert (mixing["before"] > 0.9).all()
    np.testing.assert_allclose(mixing["after"], mixing["expected"], atol=0.1)
    balance = fit.diagnostics.tables["balance_summary"]
    assert (balance["mean_after"] < 0.4 * balance["mean_before"]).all()


@pytest.mark.parametrize("batch_depth", [(1, 5), (1, 1, 1, 5)])
def test_batches_of_unequal_depth_are_not_taken_for_apart(batch_depth, monkeypatch):
    """Where noise is left in, deep cells have little of it, and are neighbours of shallow ones and of each other."""
    monkeypatch.setattr(Denoising, "apply", lambda self, where, size, level: where)  # noqa: ARG005 - its signature
    adata = ub.simulate(**(TYPES | {"n_batches": len(batch_depth)}), batch_depth=batch_depth, log_delta_sd=0.3, seed=1)
    found = judged(adata)
    mixing = found.diagnostics.tables["mixing"].set_index("batch")
    deepest = mixing.iloc[-1]
    assert deepest["after"] > deepest["expected"] + 0.2
    assert deepest["elsewhere"] > deepest["expected"] + 0.1
    assert verdicts(found).loc["mixing", "verdict"] == "fine"


def test_without_an_effect_no_correction_is_needed():
    found = verdicts(judged(ub.simulate(**TYPES, log_delta_sd=0.0, seed=2)))
    assert found.loc["need", "text"].startswith("Not needed")
    assert (found["verdict"] == "fine").all(), found["text"].tolist()


def test_a_batch_that_shares_nothing_is_named():
    shares = [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    options = TYPES | {"n_batches": 3, "n_types": 5, "composition": shares, "n_cells": 900}
    fit = judged(ub.simulate(**options, log_delta_sd=0.5, seed=1))
    overlap = verdicts(fit).loc["overlap"]
    assert overlap["verdict"] == "do not trust"
    assert "1 of 3 batches stand alone: 'batch_3'" in overlap["text"]
    pairs = fit.diagnostics.tables["overlap_pairs"].set_index(["batch", "other"])
    assert pairs.loc[("batch_3", "batch_1"), "share"] == 0
    assert pairs.loc[("batch_3", "batch_1"), "distance_ratio"] > 1.5
    assert pairs.loc[("batch_1", "batch_2"), "distance_ratio"] < 1.3
    states = fit.diagnostics.tables["overlap_states"]
    assert set(states["alone"]) == {"", "batch_3"}
    check_whole(fit)


def test_nothing_shared_is_not_to_be_trusted():
    rng = np.random.default_rng(0)
    kind = np.arange(600) % 6
    rate = np.where(np.arange(300) // 50 == np.arange(6)[:, None], 8.0, 0.5) * rng.gamma(3, 1 / 3, 300)
    counts = sparse.csr_array(rng.poisson(rate[kind]).astype(np.float32))
    fit = judged(ad.AnnData(X=counts), np.where(kind < 3, "a", "b"))
    assert fit.stop_reason == "nothing shared"
    found = verdicts(fit)["verdict"]
    assert (found[["need", "overlap", "balance", "convergence"]] == "do not trust").all()
    assert verdicts(fit).loc["effects", "text"].endswith("0 effects differ from none (q < 0.05)")
    check_whole(fit)


def test_few_shared_states_are_told():
    halves = [[1] * 5 + [0] * 3, [0] * 3 + [1] * 5]
    options = TYPES | {"composition": halves, "n_types": 8, "n_genes": 400}
    found = verdicts(judged(ub.simulate(**options, log_delta_sd=0.5, seed=3)))["verdict"]
    assert (found[["need", "overlap"]] == "look here").all()


def test_a_batch_that_acts_on_one_state_is_found(moderate):
    data = moderate.copy()
    counts = sparse.csr_array(data.X).toarray()
    kind = data.obs["cell_type"] == data.obs["cell_type"].iloc[0]
    here = (kind & (data.obs["batch"] == "batch_1")).to_numpy()
    gene = int(counts[here].sum(axis=0).argmax())
    counts[here, gene] *= 3
    data.X = sparse.csr_array(counts)
    assert judged(data).diagnostics.tables["remainder"]["gene"][0] == str(gene)


def test_the_reference_method_is_judged_alike(moderate):
    fit = judged(moderate, method="concept")
    check_whole(fit)
    assert fit.diagnostics.tables.keys() == TABLES.keys()
    assert verdicts(fit).loc["need", "text"].startswith("Needed")


def test_effects_only_have_fewer_tables(tmp_path):
    data = ub.simulate(**TYPES, log_delta_sd=0.5, seed=1)
    data.obs["batch"] = data.obs["batch"].astype(str)
    ub.tl.batch_effects(data, batch_key="batch", effects_only=True)
    fit = read_slots(data)
    check_whole(fit)
    assert TABLES.keys() - fit.diagnostics.tables.keys() == {"overlap_pairs", "mixing"}
    assert fit.diagnostics.arrays.keys() == {"state_batch"}
    assert list(fit.diagnostics.tables["need"]["space"]) == ["genes", "genes after", "embedding before"]
    assert verdicts(fit).loc["need", "text"].startswith("Needed")
    data.write_h5ad(tmp_path / "fit.h5ad")
    assert ub.get.verdicts(ad.read_h5ad(tmp_path / "fit.h5ad")).equals(ub.get.verdicts(data))


ODD = {
    "one-cell batch": (lambda n: np.where(np.arange(n) == 3, "lonely", np.array(["a", "b"])[np.arange(n) % 2]), {}),
    "two cells in a batch": (lambda n: np.where(np.arange(n) < 2, "few", np.array(["a", "b"])[np.arange(n) % 2]), {}),
    "many batches": (lambda n: (np.arange(n) % 70).astype(str), {}),
    "two conditions": (
        lambda n: np.array(["a", "b", "c"])[np.arange(n) % 3],
        {"within": np.array(["x", "y"])[np.arange(300) // 150]},
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_batches_give_whole_tables(case):
    labels, options = ODD[case]
    data = ub.simulate(**(TYPES | {"n_cells": 300}), log_delta_sd=0.3, seed=4)
    check_whole(judged(data, labels(300), **options))


@pytest.mark.parametrize("method", ["matched", "concept"])
def test_two_genes(method):
    data = ub.simulate(n_cells=120, n_genes=2, n_batches=2, seed=1)
    check_whole(judged(data, method=method))


def test_a_reference_batch_has_no_strongest_genes(moderate):
    model = ub.BatchModel(reference="batch_1").fit(moderate.X, moderate.obs["batch"])
    check_whole(model.result)
    assert set(model.result.diagnostics.tables["strongest"]["batch"]) == {"batch_2"}


def test_genes_that_a_batch_did_not_measure_are_left_out():
    whole = ub.simulate(**(TYPES | {"n_batches": 3}), log_delta_sd=0.4, seed=6)
    parts = {name: whole[whole.obs["batch"] == name].copy() for name in ("batch_1", "batch_2", "batch_3")}
    parts["batch_1"] = parts["batch_1"][:, 10:].copy()
    from unbatch.io.batches import read_batches
    from unbatch.io.source import open_counts

    source = open_counts(parts)
    fit = ub.BatchModel().fit_source(source, read_batches(source)).result
    check_whole(fit)
    need = fit.diagnostics.tables["need_genes"]
    assert set(need["gene"]) == set(parts["batch_1"].var_names)
    balance = fit.diagnostics.tables["balance"]
    missing = set(whole.var_names[:10])
    with_first = balance[(balance["batch"] == "batch_1") & (balance["kind"] == "gene")]
    assert not missing & set(with_first["name"])
    assert fit.diagnostics.tables["balance_summary"]["mean_after"].max() < 0.25


def test_neither_threads_nor_blocks_nor_the_rest_of_a_file_change_a_bit(moderate, monkeypatch, tmp_path, fit):
    from unbatch.io.batches import read_batches
    from unbatch.io.source import open_counts

    moderate.write_h5ad(tmp_path / "cells.h5ad")
    source = open_counts(tmp_path / "cells.h5ad")
    blocks = source.blocks
    monkeypatch.setattr(type(source), "blocks", lambda _, size=None, **options: blocks(size or 97, **options))
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        other = ub.BatchModel().fit_source(source, read_batches(source, "batch")).result
    finally:
        numba.set_num_threads(before)
    for name, table in fit.diagnostics.tables.items():
        renamed = other.diagnostics.tables[name].copy()
        if "gene" in renamed:
            renamed["gene"] = [str(moderate.var_names.get_loc(gene)) for gene in renamed["gene"]]
        if name == "cells":
            renamed["name"] = [str(moderate.obs_names.get_loc(cell)) for cell in renamed["name"]]
        if name not in ("balance", "verdicts"):
            pd.testing.assert_frame_equal(renamed, table, check_exact=True)
    for name, array in fit.diagnostics.arrays.items():
        np.testing.assert_array_equal(other.diagnostics.arrays[name], array)


def test_a_large_batch_is_sampled_and_counted_whole():
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(6000) < 400, "small", "large")
    counts = sparse.csr_array(rng.poisson(4.0, (6000, 20)).astype(np.float32))
    fit = judged(ad.AnnData(X=counts), labels)
    cells = fit.diagnostics.tables["cells"]
    assert len(cells) == 5000
    assert np.bincount(cells["batch"]).tolist() == [4600, 400]
    assert fit.diagnostics.tables["overlap_states"]["n_cells"].sum() == 6000


def test_what_is_written_is_read_back(fit, tmp_path):
    as_anndata(fit).write_h5ad(tmp_path / "fit.h5ad")
    back = read_slots(ad.read_h5ad(tmp_path / "fit.h5ad")).diagnostics
    assert back.tables.keys() == fit.diagnostics.tables.keys()
    for name, table in fit.diagnostics.tables.items():
        pd.testing.assert_frame_equal(back.tables[name], table, check_dtype=False, check_index_type=False)
    for name, array in fit.diagnostics.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)


def test_batches_without_a_type_in_common_are_not_trusted():
    """Each has two types of its own. That they are linked through one of them looks like an effect, and is told."""
    own_types = np.kron(np.eye(3), [1, 1])
    adata = ub.simulate(
        n_cells=1500,
        n_genes=300,
        n_batches=3,
        n_types=6,
        n_factors=3,
        composition=own_types,
        median_depth=1500,
        log_delta_sd=0.5,
        size_factor_sd=0.3,
        seed=100,
    )
    ub.tl.batch_effects(adata, batch_key="batch")
    verdicts = ub.get.verdicts(adata).set_index("check")
    assert adata.uns["unbatch"]["stop_reason"] == "converged"
    assert verdicts.loc["overlap", "verdict"] == "do not trust"
    assert "in one kind of cells only" in verdicts.loc["overlap", "text"]


def overlap_of(adata):
    return ub.get.verdicts(adata).set_index("check").loc["overlap"]


def test_blocks_of_batches_that_are_joined_by_the_wrong_types_are_looked_at():
    apart = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    options = {"n_cells": 1600, "n_genes": 300, "n_batches": 4, "n_types": 4, "median_depth": 1500, "seed": 1}
    adata = ub.simulate(composition=apart, size_factor_sd=0.3, log_delta_sd=0.4, dispersion=0.1, **options)
    ub.tl.batch_effects(adata, batch_key="batch")
    assert np.isfinite(adata.varm["batch_effects_se"]).mean() > 0.9  # a fit that takes types for one
    assert overlap_of(adata)["verdict"] == "look here"
    assert "'batch_1', 'batch_2'; 'batch_3', 'batch_4'" in overlap_of(adata)["text"]
    adata = ub.simulate(composition=np.ones((4, 4)), size_factor_sd=0.3, log_delta_sd=0.4, dispersion=0.1, **options)
    ub.tl.batch_effects(adata, batch_key="batch")
    assert overlap_of(adata)["verdict"] == "fine"


@pytest.mark.filterwarnings("ignore::unbatch.InputWarning")
def test_groups_that_cannot_be_compared_are_named():
    adata = ub.simulate(n_cells=1200, n_genes=150, n_batches=4, n_types=4, median_depth=1500, seed=2)
    adata.obs["run"] = np.where(adata.obs["batch"].isin(["batch_1", "batch_2"]), "x", "y")
    ub.tl.batch_effects(adata, batch_key="batch", match_within="run")
    assert overlap_of(adata)["verdict"] == "look here"
    assert "2 groups without a common state ('batch_1', 'batch_2'; 'batch_3', 'batch_4')" in overlap_of(adata)["text"]


def test_counts_that_vary_more_the_more_there_are_have_no_effects_of_states():
    adata = ub.simulate(
        n_cells=1600,
        n_genes=200,
        n_batches=16,
        n_types=4,
        median_depth=1000,
        dispersion=0.4,
        size_factor_sd=0.3,
        seed=0,
    )
    ub.tl.batch_effects(adata, batch_key="batch", state_specific=True)
    remainder = ub.get.verdicts(adata).set_index("check").loc["remainder"]
    assert remainder["verdict"] == "fine"
    assert remainder["value"] < 0.05
    assert adata.uns["unbatch"]["state_effects"]["sd"] < 0.03
