"""``unbatch factors``: programmes beside the model, in a file of its own; refusals in one line."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import unbatch as ub


def refused(done, *words):
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def made(h5ad, model, tmp_path_factory):
    from typer.testing import CliRunner

    from unbatch.cli import app

    folder = tmp_path_factory.mktemp("factors")
    options = ["--n-factors", "2", "--n-factors", "3", "--top-genes", str(folder / "top.csv")]
    done = CliRunner().invoke(
        app, ["factors", str(h5ad), "-m", str(model), "-o", str(folder / "factors.h5ad"), *options]
    )
    assert done.exit_code == 0, done.output
    return done, folder


def test_the_file_is_that_of_python_and_still_the_model(made, toy, model):
    written = ad.read_h5ad(made[1] / "factors.h5ad")
    adata = toy.copy()
    ub.tl.batch_effects(adata, batch_key="batch")
    ub.tl.factors(adata, n_factors=[2, 3])
    np.testing.assert_array_equal(written.obsm["X_factors"], adata.obsm["X_factors"])
    np.testing.assert_array_equal(written.varm["factors"], adata.varm["factors"])
    pd.testing.assert_frame_equal(ub.get.factor_choice(written), ub.get.factor_choice(adata))
    assert written.X is None
    again, before = (ub.BatchModel.load(path).result for path in (made[1] / "factors.h5ad", model))
    np.testing.assert_array_equal(again.log_delta, before.log_delta)
    np.testing.assert_array_equal(again.embedding, before.embedding)


def test_it_says_what_was_found_and_how_the_number_was_chosen(made):
    done, folder = made
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Found ")
    assert "150 cells x 25 genes" in lines[0]
    assert "held-out" in lines[1]
    assert sum(line.startswith("  * ") for line in lines) == 1
    assert f"Wrote {folder / 'factors.h5ad'}" in lines
    assert lines[-1].startswith("Next: ")


def test_the_table_of_top_genes_is_that_of_python(made):
    written = ad.read_h5ad(made[1] / "factors.h5ad")
    expected = ub.get.factors(written, n_genes=50)
    pd.testing.assert_frame_equal(pd.read_csv(made[1] / "top.csv"), expected, check_dtype=False)


def test_unadjusted_is_what_python_finds_without_effects(run, toy, h5ad, model, tmp_path):
    done = run("factors", h5ad, "-m", model, "-o", tmp_path / "f.h5ad", "--n-factors", 3, "--unadjusted", "--seed", 2)
    assert done.exit_code == 0, done.output
    assert "held-out" not in done.stdout
    adata = toy.copy()
    ub.tl.batch_effects(adata, batch_key="batch")
    ub.tl.factors(adata, n_factors=3, adjusted=False, seed=2)
    written = ad.read_h5ad(tmp_path / "f.h5ad")
    np.testing.assert_array_equal(written.obsm["X_factors"], adata.obsm["X_factors"])
    assert not written.uns["unbatch_factors"]["parameters"]["adjusted"]


@pytest.mark.parametrize("which", ["input", "model"])
def test_neither_input_nor_model_is_overwritten(run, h5ad, model, which):
    target = h5ad if which == "input" else model
    before = target.read_bytes()
    refused(run("factors", h5ad, "-m", model, "-o", target), "would be overwritten")
    assert target.read_bytes() == before


def test_other_cells_a_bad_number_and_no_model_are_refused_and_leave_nothing(run, toy, h5ad, model, tmp_path):
    toy[:50].copy().write_h5ad(tmp_path / "some.h5ad")
    out = tmp_path / "f.h5ad"
    refused(run("factors", tmp_path / "some.h5ad", "-m", model, "-o", out), "are not the 150 of the fit")
    refused(run("factors", h5ad, "-m", model, "-o", out, "--n-factors", 0), "n_factors", "at least 1")
    refused(run("factors", h5ad, "-m", model, "-o", out, "--n-factors", 99), "99 factors", "30 pseudobulks")
    refused(run("factors", h5ad, "-m", h5ad, "-o", out), "holds no batch effects")
    refused(run("factors", h5ad, "-m", model, "-o", tmp_path / "f.zarr"), "must end in .h5ad")
    refused(run("factors", h5ad, "-m", model, "-o", out, "--top-genes", tmp_path / "t.xls"), "--top-genes")
    assert [path.name for path in tmp_path.iterdir()] == ["some.h5ad"]


def test_what_the_model_file_holds_besides_the_fit_stays(run, toy, h5ad, model, tmp_path):
    fitted = ad.read_h5ad(model)
    fitted.obsm["X_umap"] = np.arange(300.0).reshape(150, 2)
    fitted.uns["note"] = "mine"
    fitted.layers["doubled"] = toy.X * 2
    fitted.X = toy.X
    fitted.raw = fitted
    fitted.write_h5ad(tmp_path / "more.h5ad")
    toy[:, :20].copy().write_h5ad(tmp_path / "fewer_genes.h5ad")
    for cells, n_genes in ((h5ad, 25), (tmp_path / "fewer_genes.h5ad", 20)):
        done = run("factors", cells, "-m", tmp_path / "more.h5ad", "-o", tmp_path / "f.h5ad", "--n-factors", 3)
        assert done.exit_code == 0, done.output
        written = ad.read_h5ad(tmp_path / "f.h5ad")
        np.testing.assert_array_equal(written.obsm["X_umap"], fitted.obsm["X_umap"])
        assert written.uns["note"] == "mine"
        assert written.raw.shape == (150, 25)
        np.testing.assert_array_equal(written.X.toarray(), toy.X.toarray()[:, :n_genes])
        np.testing.assert_array_equal(written.layers["doubled"].toarray(), 2 * toy.X.toarray()[:, :n_genes])
        assert written.varm["factors"].shape == (n_genes, 3)
