"""Differences between batches of mapped cells: what the model knows of them stays known, and no more than that."""

import functools

import numpy as np
import pytest

import unbatch as ub

pytestmark = pytest.mark.filterwarnings("ignore::unbatch.InputWarning")


def cells(n_batches, *, n_cells=1500, seed=1):
    adata = ub.simulate(
        n_cells=n_cells, n_genes=150, n_batches=n_batches, n_types=4, median_depth=800, log_delta_sd=0.5, seed=seed
    )
    adata.obs_names = [f"cell_{number}" for number in range(n_cells)]
    return adata


@functools.cache
def _fit_of_cells(n_batches, reference):
    adata = cells(n_batches)
    ub.tl.batch_effects(adata, batch_key="batch", reference=reference)
    return adata


def fitted_cells(n_batches, reference=None):
    return _fit_of_cells(n_batches, reference).copy()


def of(adata, *batches):
    return adata[adata.obs["batch"].isin(batches)].copy()


def by_gene(adata, **asked):
    return ub.tl.rank_batch_genes(adata, **asked).set_index("gene").loc[adata.var_names]


@pytest.mark.parametrize("n_batches", [2, 4])
@pytest.mark.parametrize("reference", [None, "batch_1"])
def test_known_batches_differ_by_as_much_and_as_surely_as_in_the_model(tmp_path, n_batches, reference):
    fitted = fitted_cells(n_batches, reference)
    fitted.write_h5ad(tmp_path / "model.h5ad")
    mapped = fitted.copy()
    ub.tl.map_cells(mapped, model=tmp_path / "model.h5ad")
    for pair in (("batch_1", "batch_2"), ("batch_2", "batch_1")):
        there, here = (by_gene(adata, batch=pair[0], versus=pair[1]) for adata in (fitted, mapped))
        np.testing.assert_allclose(here["log_delta"], there["log_delta"], atol=1e-12)
        np.testing.assert_allclose(here["se"], there["se"], rtol=1e-6)


def test_some_of_the_known_batches_differ_as_surely_as_in_the_model(tmp_path):
    fitted = fitted_cells(4)
    fitted.write_h5ad(tmp_path / "model.h5ad")
    part = of(fitted, "batch_1", "batch_3")
    ub.tl.map_cells(part, model=tmp_path / "model.h5ad")
    there, here = (by_gene(adata, batch="batch_1", versus="batch_3")["se"] for adata in (fitted, part))
    np.testing.assert_allclose(here, there, rtol=0.02)


def test_the_reference_of_the_model_is_no_find_and_hides_none(tmp_path):
    adata = cells(4)
    old = of(adata, "batch_1", "batch_2", "batch_3")
    ub.tl.batch_effects(old, batch_key="batch", reference="batch_1")
    old.write_h5ad(tmp_path / "model.h5ad")
    new = of(adata, "batch_1", "batch_4")
    ub.tl.map_cells(new, model=tmp_path / "model.h5ad")
    table = ub.tl.rank_batch_genes(new)
    assert set(table["batch"]) == {"batch_4"}
    assert not table[["z", "pvalue", "qvalue"]].isna().any().any()
    assert (table["qvalue"] < 0.05).sum() > 30
    with pytest.raises(ub.InputError, match="is what all effects are relative to"):
        ub.tl.rank_batch_genes(new, batch="batch_1")


def test_batches_of_groups_that_cannot_be_compared_are_not_when_mapped(tmp_path):
    adata = cells(4, n_cells=2400, seed=2)
    adata.obs["condition"] = np.where(adata.obs["batch"].isin(["batch_1", "batch_2"]), "x", "y")
    ub.tl.batch_effects(adata, batch_key="batch", match_within="condition")
    adata.write_h5ad(tmp_path / "model.h5ad")
    known = adata.copy()
    ub.tl.map_cells(known, model=tmp_path / "model.h5ad")
    new = adata.copy()
    new.obs["batch"] = "new_" + new.obs["condition"].astype(str)
    ub.tl.map_cells(new, model=tmp_path / "model.h5ad")
    known.write_h5ad(tmp_path / "known.h5ad")
    for mapped, pair in ((known, ("batch_1", "batch_3")), (new, ("new_x", "new_y"))):
        assert np.isinf(ub.tl.rank_batch_genes(mapped, batch=pair[0], versus=pair[1])["se"]).all()
    assert np.isfinite(ub.tl.rank_batch_genes(known, batch="batch_1", versus="batch_2")["se"]).any()
    read = ub.BatchModel.load(tmp_path / "known.h5ad").result
    np.testing.assert_array_equal(read.group, ub.BatchModel.load(tmp_path / "model.h5ad").result.group)


def test_recovery_of_a_mapped_batch_is_measured_against_the_model(tmp_path):
    for reference in (None, "batch_1"):
        adata = cells(3, n_cells=3000)
        old = of(adata, "batch_1", "batch_2")
        ub.tl.batch_effects(old, batch_key="batch", reference=reference)
        old.write_h5ad(tmp_path / "model.h5ad")
        new = of(adata, "batch_3")
        ub.tl.map_cells(new, model=tmp_path / "model.h5ad")
        title = ub.pl.recovery(new, truth=adata).get_title()
        assert float(title.split("r = ")[1].split(",")[0]) > 0.97
        assert float(title.split("RMSE = ")[1].split()[0].rstrip(")")) < 0.2


def test_a_model_that_has_lost_genes_is_not_mapped_onto(tmp_path):
    adata = fitted_cells(2)
    adata[:, :100].copy().write_h5ad(tmp_path / "less.h5ad")
    with pytest.raises(ub.InputError, match="50 of the 150 genes of this model have been taken away"):
        ub.tl.map_cells(adata.copy(), model=tmp_path / "less.h5ad")


def test_a_reference_that_is_no_batch_of_the_model_is_no_sound_fit(tmp_path):
    adata = fitted_cells(2, "batch_1")
    adata.write_h5ad(tmp_path / "model.h5ad")
    ub.tl.map_cells(adata, model=tmp_path / "model.h5ad")
    assert adata.uns["unbatch"]["mapped_onto"]["reference"] == "batch_1"
    adata.uns["unbatch"]["mapped_onto"]["reference"] = "nobody"
    with pytest.raises(ub.InputError, match="'nobody' is taken for one of its batches, and is none"):
        ub.pl.recovery(adata)
