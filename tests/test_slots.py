"""Slots have their names, types and shapes; what is no fit, or only a part of one, is refused."""

import anndata as ad
import numpy as np
import pytest

import unbatch as ub
from unbatch.slots import FORMAT
from unbatch.stored_fit import as_anndata, read_slots


@pytest.fixture(scope="module")
def fit():
    toy = ub.simulate(n_cells=90, n_genes=12, n_batches=3, seed=5)
    return ub.BatchModel().fit(toy.X, toy.obs["batch"]).result


def test_slots_have_the_published_names_types_and_shapes(fit):
    adata = as_anndata(fit)
    assert adata.X is None
    assert adata.obsm["X_unbatch"].dtype == np.float32
    assert adata.varm["batch_effects"].shape == adata.varm["batch_effects_se"].shape == (12, 3)
    assert {"unbatch_sample", "unbatch_overlap"} <= set(adata.obs)
    assert list(adata.uns["unbatch"]["batches"]) == list(fit.batches)
    assert {
        "parameters",
        "versions",
        "trace",
        "stop_reason",
        "support",
        "mu",
        "basis",
        "measured",
        "convention",
    } <= set(adata.uns["unbatch"])


def test_no_fit_says_what_to_run():
    with pytest.raises(ub.InputError, match=r"holds no batch effects .* run unbatch.tl.batch_effects"):
        read_slots(ad.AnnData(np.ones((2, 2))))


@pytest.mark.parametrize(
    ("take", "named"),
    [
        (lambda adata: adata.varm.pop("batch_effects"), r"varm\['batch_effects'\]"),
        (lambda adata: adata.obsm.pop("X_unbatch"), r"obsm\['X_unbatch'\]"),
        (lambda adata: adata.obs.pop("unbatch_sample"), r"obs\['unbatch_sample'\]"),
        (lambda adata: adata.uns["unbatch"].pop("mu"), r"uns\['unbatch'\]\['mu'\]"),
    ],
)
def test_a_part_of_a_fit_names_what_is_missing(fit, take, named):
    adata = as_anndata(fit)
    take(adata)
    with pytest.raises(ub.InputError, match=f"only a part of a fit, missing {named}"):
        read_slots(adata)


def test_a_newer_layout_is_refused(fit):
    adata = as_anndata(fit)
    adata.uns["unbatch"]["format"] = FORMAT + 1
    with pytest.raises(ub.InputError, match="update unbatch"):
        read_slots(adata)


def test_effects_of_another_shape_are_refused(fit):
    adata = as_anndata(fit)
    adata.varm["batch_effects"] = fit.log_delta[:, :2]
    with pytest.raises(ub.InputError, match=r"shape \(12, 2\) where \(12, 3\)"):
        read_slots(adata)


def test_renamed_genes_are_refused(fit):
    adata = as_anndata(fit)
    adata.var_names = [f"new_{name}" for name in adata.var_names]
    with pytest.raises(ub.InputError, match="12 genes that were not part of the fit"):
        read_slots(adata)
