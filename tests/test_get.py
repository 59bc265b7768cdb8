"""The table of effects: one row per gene and batch, with names, intervals and no NaN."""

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub


@pytest.fixture(scope="module")
def adata():
    toy = ub.simulate(n_cells=150, n_genes=15, n_batches=3, seed=4)
    toy.X = sparse.csr_matrix(toy.X.toarray() * (np.arange(15) != 2))
    with pytest.warns(ub.InputWarning, match="no counts"):
        ub.tl.batch_effects(toy, batch_key="batch")
    return toy


def test_columns_and_rows(adata):
    table = ub.get.batch_effects(adata)
    assert table.columns.tolist() == ["gene", "batch", "log_delta", "se", "effect", "lower", "upper", "measured"]
    assert len(table) == 15 * 3
    assert table["gene"].tolist()[:4] == [*[adata.var_names[0]] * 3, adata.var_names[1]]
    assert table["batch"].cat.categories.tolist() == ["batch_1", "batch_2", "batch_3"]


def test_every_value_is_where_its_names_say(adata):
    table = ub.get.batch_effects(adata).set_index(["gene", "batch"])
    for g, gene in enumerate(adata.var_names):
        for k, batch in enumerate(adata.uns["unbatch"]["batches"]):
            assert table.loc[(gene, batch), "log_delta"] == adata.varm["batch_effects"][g, k]
            assert table.loc[(gene, batch), "se"] == adata.varm["batch_effects_se"][g, k]


def test_effects_and_intervals_are_multiplicative(adata):
    table = ub.get.batch_effects(adata)
    known = table[np.isfinite(table["se"])]
    np.testing.assert_allclose(known["effect"], np.exp(known["log_delta"]))
    np.testing.assert_allclose(np.log(known["upper"] / known["lower"]), 2 * 1.959964 * known["se"], rtol=1e-6)
    assert ((known["lower"] < known["effect"]) & (known["effect"] < known["upper"])).all()


def test_unknown_effects_have_the_widest_interval_and_no_nan(adata):
    table = ub.get.batch_effects(adata)
    unknown = table[table["gene"] == adata.var_names[2]]
    assert (unknown["effect"] == 1).all()
    assert (unknown["lower"] == 0).all()
    assert np.isinf(unknown["upper"]).all()
    assert unknown["measured"].all()
    assert not table.isna().any().any()


def test_genes_may_have_been_taken_away(adata):
    whole, part = ub.get.batch_effects(adata), ub.get.batch_effects(adata[:, [5, 1]])
    assert part["gene"].unique().tolist() == [adata.var_names[5], adata.var_names[1]]
    expected = whole[whole["gene"] == adata.var_names[5]]["log_delta"].to_numpy()
    np.testing.assert_array_equal(part["log_delta"].to_numpy()[:3], expected)


def test_without_a_fit_it_says_what_to_run():
    with pytest.raises(ub.InputError, match=r"tl\.batch_effects"):
        ub.get.batch_effects(ub.simulate(n_cells=10, n_genes=5))


def test_verdicts_and_their_tables_are_copies(adata):
    verdicts = ub.get.verdicts(adata)
    assert verdicts["check"].tolist()[0] == "need"
    verdicts["verdict"] = "changed"
    assert "changed" not in ub.get.verdicts(adata)["verdict"].tolist()
    mixing = ub.get.diagnostics(adata, "mixing")
    assert mixing["batch"].tolist() == ["batch_1", "batch_2", "batch_3"]
    mixing["before"] = -1
    assert (ub.get.diagnostics(adata, "mixing")["before"] >= 0).all()


def test_a_table_that_there_is_not_is_refused_with_those_that_there_are(adata):
    with pytest.raises(ub.InputError, match=r"no table 'mix' .* choose among \['balance', .*'mixing'"):
        ub.get.diagnostics(adata, "mix")
