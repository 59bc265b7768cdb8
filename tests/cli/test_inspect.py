"""``unbatch inspect``: everything that is wrong at once, and what a fit would cost."""

import re

import numpy as np
import pytest


def test_what_is_there(run, h5ad):
    done = run("inspect", h5ad, "--batch-key", "batch")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "150 cells x 25 genes" in done.stdout
    assert re.search(r"batch_1 +\d+ cells, median counts \d+", done.stdout)
    assert "Nothing is wrong with it." in done.stdout
    assert re.search(r"A fit would take about \d+ s and \d+\.\d GB of memory", done.stdout)
    assert done.stdout.splitlines()[-1] == f"Next: unbatch fit {h5ad} --batch-key batch --output fit.h5ad"


def test_non_zero_counts_are_counted(run, toy, h5ad):
    assert f"{np.count_nonzero(toy.X.toarray()):,} non-zero" in run("inspect", h5ad, "-b", "batch").stdout


def test_every_problem_is_listed_at_once(run, toy, tmp_path):
    adata = toy.copy()
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "btach")
    assert done.exit_code == 2
    errors = [line for line in done.stdout.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 2
    assert "'btach'" in errors[0]
    assert "not counts" in errors[1]
    assert "Next:" not in done.stdout


def test_warnings_do_not_stand_in_the_way(run, toy, tmp_path):
    adata = toy.copy()
    adata.obs["batch"] = ["solo", *adata.obs["batch"][1:]]
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "batch")
    assert done.exit_code == 0
    assert "Warning: 1 of 3 batches have fewer than 2 cells" in done.stdout
    assert "Nothing stands in the way" in done.stdout


def test_several_files_tell_what_they_share(run, toy, tmp_path):
    toy[toy.obs["batch"] == "batch_1", :20].copy().write_h5ad(tmp_path / "one.h5ad")
    toy[toy.obs["batch"] == "batch_2"].copy().write_h5ad(tmp_path / "two.h5ad")
    done = run("inspect", tmp_path / "one.h5ad", tmp_path / "two.h5ad")
    assert done.exit_code == 0, done.output
    assert "20 genes are in all inputs" in done.stdout
    assert "one per input" in done.stdout


@pytest.mark.parametrize("count", [40])
def test_many_batches_are_cut_short(run, toy, tmp_path, count):
    adata = toy.copy()
    adata.obs["well"] = [f"w{cell % count}" for cell in range(150)]
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "well")
    assert "40 batches (well):" in done.stdout
    assert "... and 10 more" in done.stdout


def test_a_missing_file(run, tmp_path):
    done = run("inspect", tmp_path / "gone.h5ad", "-b", "batch")
    assert done.exit_code == 2
    assert "gone.h5ad does not exist" in done.stdout
