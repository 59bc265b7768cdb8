"""``unbatch adjust``: refuses what does not belong to the model, takes new cells of known batches."""

import anndata as ad
import h5py
import numpy as np
import pytest

from .conftest import adjusted_by_hand


def refused(done, *words):
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    for word in words:
        assert word in done.stderr


def test_it_says_what_was_done_where_it_is_and_what_is_next(run, h5ad, model, tmp_path):
    done = run("adjust", h5ad, "--model", model, "--output", tmp_path / "adjusted.h5ad")
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Adjusted 150 cells x 25 genes")
    assert lines[1].startswith(f"Wrote {tmp_path / 'adjusted.h5ad'}")
    assert lines[2].startswith("Next: ")


def test_new_cells_of_known_batches(run, toy, model, tmp_path):
    some = toy[:20].copy()
    some.obs_names = [f"new_{name}" for name in some.obs_names[:5]] + some.obs_names[5:].tolist()
    some.write_h5ad(tmp_path / "in.h5ad")
    done = run("adjust", tmp_path / "in.h5ad", "-m", model, "-o", tmp_path / "out.h5ad")
    assert "5 cells were not part of the fit" in done.stdout
    np.testing.assert_allclose(
        ad.read_h5ad(tmp_path / "out.h5ad").X.toarray(), adjusted_by_hand(some, model), rtol=1e-6
    )


def test_strange_genes_are_refused(run, toy, model, tmp_path):
    other = toy.copy()
    other.var_names = [f"ENSG{gene}" for gene in range(25)]
    other.write_h5ad(tmp_path / "in.h5ad")
    refused(
        run("adjust", tmp_path / "in.h5ad", "-m", model, "-o", tmp_path / "out.h5ad"),
        "25 of 25 genes",
        "not part of the fit",
        "'ENSG0'",
    )
    assert not (tmp_path / "out.h5ad").exists()


def test_strange_batches_are_refused(run, toy, model, tmp_path):
    other = toy.copy()
    other.obs["batch"] = "batch_7"
    other.write_h5ad(tmp_path / "in.h5ad")
    refused(
        run("adjust", tmp_path / "in.h5ad", "-m", model, "-o", tmp_path / "out.h5ad"),
        "'batch_7'",
        "not part of the fit",
    )


def test_relabelled_cells_of_the_fit_are_refused(run, toy, model, tmp_path):
    other = toy.copy()
    other.obs["batch"] = other.obs["batch"].map({"batch_1": "batch_2", "batch_2": "batch_1"}).astype(str)
    other.write_h5ad(tmp_path / "in.h5ad")
    refused(
        run("adjust", tmp_path / "in.h5ad", "-m", model, "-o", tmp_path / "out.h5ad"),
        "150 of 150 cells",
        "bear another obs['batch']",
        "then 'batch_1', now 'batch_2'",
    )


@pytest.mark.parametrize("which", ["input", "model"])
def test_neither_input_nor_model_is_overwritten(run, h5ad, model, which):
    target = h5ad if which == "input" else model
    before = target.read_bytes()
    refused(run("adjust", h5ad, "-m", model, "-o", target), "would be overwritten")
    assert target.read_bytes() == before


def test_a_model_that_is_none_is_refused(run, h5ad, tmp_path):
    refused(run("adjust", h5ad, "-m", h5ad, "-o", tmp_path / "out.h5ad"), "holds no batch effects", "unbatch fit")
    refused(run("adjust", h5ad, "-m", tmp_path / "gone.h5ad", "-o", tmp_path / "out.h5ad"), "no file", "gone.h5ad")


def test_normalised_values_are_refused_and_leave_no_output(run, toy, model, tmp_path):
    other = toy.copy()
    other.X = other.X * 0.5
    other.write_h5ad(tmp_path / "in.h5ad")
    refused(run("adjust", tmp_path / "in.h5ad", "-m", model, "-o", tmp_path / "out.h5ad"), "not counts")
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


@pytest.mark.parametrize("name", ["lzf", "none", "auto"])
def test_compression_may_be_chosen(run, h5ad, model, tmp_path, name):
    path = tmp_path / "out.h5ad"
    assert run("adjust", h5ad, "-m", model, "-o", path, "--compression", name).exit_code == 0
    with h5py.File(path) as file:
        assert file["X/data"].compression == {"lzf": "lzf", "none": None, "auto": "gzip"}[name]
    refused(run("adjust", h5ad, "-m", model, "-o", path, "--compression", "zip"), "'zip'", "'gzip', 'lzf', or none")
