"""Programmes survive a file, and what is missing of them is named."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch.programmes.result import HELD_OUT, FactorFit, shrunken_lift
from unbatch.programmes.slots import held_out_table, read_factors, write_factors


@pytest.fixture
def adata():
    """Three cells, four genes, two factors."""
    adata = ad.AnnData(np.ones((3, 4)), var=pd.DataFrame(index=list("abcd")))
    found = FactorFit(
        proportions=np.array([[0.25, 0.75], [1, 0], [0, 0]], dtype=np.float32),
        beta=np.array([[0.7, 0.1], [0.2, 0.2], [0.1, 0.699], [0.0, 0.001]]),
        counts=np.array([1000.0, 500.0]),
        deviance=np.array([5.0, 4.0]),
        stop_reason="converged",
        unconverged=0,
        held_out=pd.DataFrame([[1, 5.0, 1.0, 0.1, False], [2, 4.0, 0.0, 0.0, True]], columns=HELD_OUT),
        n_pseudobulks=3,
        parameters={"seed": 0, "adjusted": True},
        versions={"unbatch": "0"},
    )
    write_factors(adata, found, key="factors")
    return adata


def test_they_survive_a_file(adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    record = read_factors(back, key="factors")
    np.testing.assert_array_equal(back.obsm["X_factors"], adata.obsm["X_factors"])
    assert record["stop_reason"] == "converged"
    table = held_out_table(record)
    assert tuple(table) == HELD_OUT
    assert table["chosen"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("unbatch", r"obsm\['X_unbatch'\]"),
        ("batch_effects", r"varm\['batch_effects'\]"),
        ("batch_effects_se", r"varm\['batch_effects_se'\]"),
        ("adjusted", r"uns\['unbatch_adjusted'\]"),
    ],
)
def test_programmes_do_not_take_the_place_of_the_fit(adata, key, slot):
    before = dict(adata.obsm), dict(adata.varm), dict(adata.uns)
    with pytest.raises(ub.InputError, match=f"key_added is '{key}', but {slot} is a part of the batch effects"):
        ub.tl.factors(adata, key_added=key)
    assert [list(kept) for kept in before] == [list(adata.obsm), list(adata.varm), list(adata.uns)]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda a: a.uns.clear(), r"holds no programmes \(no uns\['unbatch_factors'\]\): run unbatch.tl.factors"),
        (lambda a: a.obsm.clear(), r"missing obsm\['X_factors'\]"),
        (lambda a: a.varm.clear(), r"missing varm\['factors'\]"),
        (lambda a: a.uns["unbatch_factors"].update(format=99), "newer unbatch"),
        (lambda a: a.obsm.update(X_factors=np.ones((3, 5))), "has 5 factors, varm"),
    ],
)
def test_what_is_missing_is_named(adata, harm, message):
    harm(adata)
    with pytest.raises(ub.InputError, match=message):
        read_factors(adata, key="factors")


def test_lift_is_to_the_mean_of_all_counts_with_twenty_added(adata):
    beta, counts = adata.varm["factors"], np.array([1000.0, 500.0])
    lift = shrunken_lift(beta, counts)
    mean = (1000 * beta[:, 0] + 500 * beta[:, 1]) / 1500
    np.testing.assert_allclose(lift[:, 0], (1000 * beta[:, 0] + 20) / (1000 * mean + 20))
    assert lift[3, 1] < 1.1  # half a count, though all of it is of this factor
    np.testing.assert_allclose(lift[1], 1)


def test_top_genes_by_lift_and_by_weight(adata):
    by_lift = ub.get.factors(adata, n_genes=2)
    assert by_lift.columns.tolist() == ["factor", "rank", "gene", "weight", "lift"]
    assert by_lift["gene"].tolist() == ["a", "b", "c", "d"]
    by_weight = ub.get.factors(adata, n_genes=2, by="weight")
    assert by_weight["gene"].tolist() == ["a", "b", "c", "b"]
    assert by_weight["factor"].tolist() == [1, 1, 2, 2]
    assert by_weight["rank"].tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(by_weight["weight"], [0.7, 0.2, 0.699, 0.2])
    assert len(ub.get.factors(adata, n_genes=None)) == 8


def test_top_genes_say_what_they_cannot_do(adata):
    with pytest.raises(ub.InputError, match="by='size': genes are ranked by 'lift' or by 'weight'"):
        ub.get.factors(adata, by="size")
    with pytest.raises(ub.InputError, match="n_genes is 0: it must be a whole number of 1 or more"):
        ub.get.factors(adata, n_genes=0)
    with pytest.raises(ub.InputError, match="holds no programmes"):
        ub.get.factors(adata, key="other")


def test_the_choice_is_a_table_or_says_how_to_get_one(adata):
    assert ub.get.factor_choice(adata)["n_factors"].tolist() == [1, 2]
    adata.uns["unbatch_factors"]["held_out"] = {name: np.array([]) for name in HELD_OUT}
    with pytest.raises(ub.InputError, match="give several"):
        ub.get.factor_choice(adata)
