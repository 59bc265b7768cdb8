"""Fit, adjust and read back, from every format that counts come in."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub

from .conftest import BARE_WRITERS, WRITERS, adjusted_by_hand


def check_adjusted(path, expected, names):
    adjusted = ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(path)
    assert isinstance(adjusted.X, sparse.csr_matrix | sparse.csr_array)
    assert adjusted.X.dtype == np.float32
    assert adjusted.obs_names.tolist() == list(names)
    np.testing.assert_allclose(adjusted.X.toarray(), expected, rtol=1e-6)
    return adjusted


@pytest.mark.parametrize("name", WRITERS)
def test_formats_with_annotation(run, toy, model, tmp_path, name):
    WRITERS[name](toy, tmp_path / name)
    layer = ["--layer", "counts"] if name == "layer.h5ad" else []
    fit = tmp_path / "fit.h5ad"
    done = run("fit", tmp_path / name, "--batch-key", "batch", *layer, "--output", fit)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(ad.read_h5ad(fit).varm["batch_effects"], ad.read_h5ad(model).varm["batch_effects"])
    done = run("adjust", tmp_path / name, "--model", fit, "--output", tmp_path / "adjusted.h5ad")
    assert done.exit_code == 0, done.output
    adjusted = check_adjusted(tmp_path / "adjusted.h5ad", adjusted_by_hand(toy, fit), toy.obs_names)
    assert adjusted.obs["note"].tolist() == ["kept"] * 150
    assert adjusted.var["symbol"].tolist() == toy.var["symbol"].tolist()
    assert adjusted.uns["unbatch_adjusted"]["expressed_in"] == "mean over batches"


@pytest.mark.parametrize("name", BARE_WRITERS)
def test_formats_without_annotation_are_a_batch_each(run, toy, tmp_path, name):
    inputs = []
    for label in ("batch_1", "batch_2"):
        folder = tmp_path / label
        folder.mkdir()
        BARE_WRITERS[name](toy[toy.obs["batch"] == label], folder / name)
        inputs.append(folder / name)
    fit = tmp_path / "fit.h5ad"
    done = run("fit", *inputs, "--output", fit)
    assert done.exit_code == 0, done.output
    fitted = ad.read_h5ad(fit)
    assert list(fitted.uns["unbatch"]["batches"]) == ["batch_1", "batch_2"]
    ordered = toy[np.argsort(toy.obs["batch"].to_numpy(), kind="stable")]
    expected = ub.BatchModel().fit(ordered.X, ordered.obs["batch"]).result
    np.testing.assert_array_equal(fitted.varm["batch_effects"], expected.log_delta)
    done = run("adjust", *inputs, "--model", fit, "--output", tmp_path / "adjusted.zarr")
    assert done.exit_code == 0, done.output
    check_adjusted(tmp_path / "adjusted.zarr", adjusted_by_hand(ordered, fit), ordered.obs_names)


def test_files_with_different_genes(run, toy, tmp_path):
    one, two = toy[toy.obs["batch"] == "batch_1", :22].copy(), toy[toy.obs["batch"] == "batch_2", 3:].copy()
    one.write_h5ad(tmp_path / "one.h5ad")
    two.write_h5ad(tmp_path / "two.h5ad")
    inputs, fit = (tmp_path / "one.h5ad", tmp_path / "two.h5ad"), tmp_path / "fit.h5ad"
    done = run("fit", *inputs, "--output", fit)
    assert done.exit_code == 0, done.output
    assert "12 of 50 effects are unknown" in done.stdout
    fitted = ad.read_h5ad(fit)
    measured, effects, errors = (
        fitted.uns["unbatch"]["measured"],
        fitted.varm["batch_effects"],
        fitted.varm["batch_effects_se"],
    )
    in_both = np.array([name in one.var_names and name in two.var_names for name in fitted.var_names])
    assert (~measured).sum() == 6
    assert (effects[~in_both] == 0).all()
    assert np.isinf(errors[~in_both]).all()
    assert np.isfinite(errors[in_both]).all()
    done = run("adjust", *inputs, "--model", fit, "--output", tmp_path / "adjusted.h5ad")
    assert done.exit_code == 0, done.output
    adjusted = ad.read_h5ad(tmp_path / "adjusted.h5ad")
    assert adjusted.shape == (150, 25)
    assert adjusted.X.nnz == one.X.nnz + two.X.nnz


def test_names_with_slashes_and_any_letters(run, toy, tmp_path):
    adata = toy.copy()
    adata.obs["batch"] = adata.obs["batch"].map({"batch_1": "10x/v3", "batch_2": "Zürich 🧬"}).astype(str)
    adata.write_h5ad(tmp_path / "in.h5ad")
    assert run("fit", tmp_path / "in.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad").exit_code == 0
    assert list(ad.read_h5ad(tmp_path / "fit.h5ad").uns["unbatch"]["batches"]) == ["10x/v3", "Zürich 🧬"]
    done = run("adjust", tmp_path / "in.h5ad", "-m", tmp_path / "fit.h5ad", "-o", tmp_path / "adjusted.h5ad")
    assert done.exit_code == 0, done.output
    check_adjusted(tmp_path / "adjusted.h5ad", adjusted_by_hand(adata, tmp_path / "fit.h5ad"), adata.obs_names)
