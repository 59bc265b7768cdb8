"""``unbatch fit``: options reach the model, refusals are one line, inputs survive."""

import anndata as ad
import numpy as np
import pytest

import unbatch as ub


def refused(done, *words):
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_it_says_what_was_done_where_it_is_and_what_is_next(run, h5ad, tmp_path):
    done = run("fit", h5ad, "--batch-key", "batch", "--output", tmp_path / "fit.h5ad")
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "Fitted 150 cells x 25 genes in 2 batches"
    assert f"Wrote {tmp_path / 'fit.h5ad'}" in lines
    assert lines[-1].startswith(f"Next: unbatch adjust {h5ad} --model {tmp_path / 'fit.h5ad'}")
    assert len(lines) < 10


def test_the_file_is_the_model_of_the_python_interface(toy, model):
    expected = ub.BatchModel().fit(toy.X, toy.obs["batch"]).result
    np.testing.assert_array_equal(ub.BatchModel.load(model).result.log_delta, expected.log_delta)


def test_options_reach_the_model(run, h5ad, tmp_path):
    options = {"seed": 5, "min_cells": 3, "n_dims": 2, "n_neighbors": 4, "max_iter": 7, "tol": 0.5}
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    assert run("fit", h5ad, "-b", "batch", *flags, "-o", tmp_path / "fit.h5ad").exit_code == 0
    assert dict(ub.BatchModel.load(tmp_path / "fit.h5ad").result.parameters) == options


def test_updates_that_have_not_settled_are_told(run, h5ad, tmp_path):
    done = run("fit", h5ad, "-b", "batch", "--max-iter", 2, "-o", tmp_path / "fit.h5ad")
    assert "still moved after 2 updates" in done.stdout


def test_several_columns(run, toy, tmp_path):
    adata = toy.copy()
    adata.obs["lane"] = ["x", "y", "z"] * 50
    adata.write_h5ad(tmp_path / "in.h5ad")
    assert run("fit", tmp_path / "in.h5ad", "-b", "batch", "-b", "lane", "-o", tmp_path / "fit.h5ad").exit_code == 0
    assert len(ub.BatchModel.load(tmp_path / "fit.h5ad").result.batches) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch-key", "btach"], ["'btach'", "'batch'"]),
        ([], ["no batch key", "'batch'"]),
        (["-b", "batch", "--layer", "nope"], ["layer 'nope'"]),
        (["-b", "batch", "--method", "magic"], ["no method 'magic'", "'concept'"]),
        (["-b", "batch", "--n-dims", "99"], ["n_dims is 99"]),
        (["-b", "batch", "--min-cells", "0"], ["min_cells is 0"]),
        (["-b", "batch", "--seed", "-1"], ["seed is -1"]),
    ],
)
def test_wrong_choices_are_refused_in_one_line(run, h5ad, tmp_path, arguments, words):
    refused(run("fit", h5ad, *arguments, "--output", tmp_path / "fit.h5ad"), *words)
    assert not list(tmp_path.iterdir())


def test_an_input_is_never_overwritten(run, h5ad):
    before = h5ad.read_bytes()
    refused(run("fit", h5ad, "-b", "batch", "--output", h5ad.parent / "." / h5ad.name), "would be overwritten")
    assert h5ad.read_bytes() == before


def test_nor_by_another_name_of_it(run, h5ad, tmp_path):
    (tmp_path / "link.h5ad").symlink_to(h5ad)
    before = h5ad.read_bytes()
    refused(run("fit", h5ad, "-b", "batch", "--output", tmp_path / "link.h5ad"), "would be overwritten")
    assert h5ad.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "words"), [("no/fit.h5ad", "no folder"), ("fit.csv", "must end in .h5ad"), ("fit", ".h5ad")]
)
def test_impossible_outputs_are_refused_before_the_work(run, tmp_path, name, words):
    refused(run("fit", tmp_path / "does-not-exist.h5ad", "-b", "batch", "--output", tmp_path / name), words)


def test_a_folder_is_no_output(run, h5ad, tmp_path):
    (tmp_path / "fit.h5ad").mkdir()
    refused(run("fit", h5ad, "-b", "batch", "--output", tmp_path / "fit.h5ad"), "is a folder")


def test_a_missing_input_is_named(run, tmp_path):
    refused(run("fit", tmp_path / "gone.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad"), "gone.h5ad does not exist")


def test_what_is_no_count_leaves_no_output(run, toy, tmp_path):
    adata = toy.copy()
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "in.h5ad")
    refused(run("fit", tmp_path / "in.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad"), "not counts", "fractional")
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


def test_a_warning_is_one_line_on_standard_error(run, toy, tmp_path):
    adata = toy.copy()
    adata.obs["batch"] = ["solo", *adata.obs["batch"][1:]]
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = run("fit", tmp_path / "in.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad")
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: 1 of 3 batches")
    assert len(done.stderr.splitlines()) == 1
    assert ".py:" not in done.stderr
    assert list(ad.read_h5ad(tmp_path / "fit.h5ad").uns["unbatch"]["too_small"]) == ["solo"]


def test_a_missing_option_is_a_usage_error(run, h5ad):
    done = run("fit", h5ad)
    assert done.exit_code == 2
    assert "--output" in done.stderr
