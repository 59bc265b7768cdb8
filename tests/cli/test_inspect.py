"""``unbatch inspect``: everything that is wrong at once, and what a fit would cost."""

import dataclasses
import re
import sys

import anndata as ad
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


def test_the_cost_is_that_of_the_method_asked_for(run, h5ad):
    done = run("inspect", h5ad, "-b", "batch", "--method", "concept")
    assert re.search(r"A fit would take about \d+ s", done.stdout)
    assert done.stdout.splitlines()[-1].endswith("--batch-key batch --method concept --output fit.h5ad")
    refused = run("inspect", h5ad, "-b", "batch", "--method", "magic")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Error: there is no method 'magic': choose 'matched' or 'concept'")


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


def with_condition(toy, labels, path):
    adata = toy.copy()
    adata.obs["stim"] = labels
    adata.write_h5ad(path)
    return adata


def test_batches_are_tabulated_by_condition(run, toy, tmp_path):
    adata = with_condition(toy, ["no", "yes", "yes"] * 50, tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "batch", "--condition", "stim")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    start = lines.index("Cells per batch and stim:")
    assert lines[start + 1].split() == ["no", "yes"]
    for line, batch in zip(lines[start + 2 :], ["batch_1", "batch_2"], strict=False):
        its = adata.obs.loc[adata.obs["batch"] == batch, "stim"]
        assert line.split() == [batch, str((its == "no").sum()), str((its == "yes").sum())]
    assert "Nothing is wrong with it." in done.stdout
    assert "--batch-key batch --match-within stim --output fit.h5ad" in lines[-1]


def test_confounded_conditions_are_a_warning(run, toy, tmp_path):
    with_condition(toy, toy.obs["batch"].astype(str) + "_day", tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "batch", "--condition", "stim")
    assert done.exit_code == 0
    assert "Warning: batches and obs['stim'] are fully confounded: each batch has a single level." in done.stdout
    assert "Nothing stands in the way" not in done.stdout
    assert "A fit can be made" in done.stdout
    assert "Whatever stim does between batches that share no level of it, a fit takes for their effect" in done.stdout
    assert "--match-within" not in done.stdout


def test_a_misspelt_condition_is_an_error_beside_the_others(run, toy, tmp_path):
    adata = with_condition(toy, "x", tmp_path / "in.h5ad")
    adata.X = adata.X * 0.5
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "batch", "--condition", "stmi")
    assert done.exit_code == 2
    errors = [line for line in done.stdout.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 2
    assert "'stmi'" in errors[0]
    assert "'stim'" in errors[0]


def test_a_large_table_is_cut_short(run, toy, tmp_path):
    with_condition(toy, [f"{cell % 20:02}" + "x" * 50 for cell in range(150)], tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "batch", "--condition", "stim")
    assert "Cells per batch and stim (first 8 of 20 levels):" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if line.startswith("  batch_1 ")) < 250
    assert "x..." in done.stdout


def test_of_a_large_input_a_part_is_looked_at(run, h5ad, monkeypatch):
    from unbatch.io import matrix_source

    monkeypatch.setattr(matrix_source, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(sys.modules["unbatch.cli.inspect"], "_PROBE_SECONDS", 0.0)
    done = run("inspect", h5ad, "-b", "batch")
    assert done.exit_code == 0
    found = re.search(r"Nothing is wrong with it, as far as (\d+) of 150 cells show \(--every-cell checks", done.stdout)
    assert 0 < int(found[1]) < 100
    assert re.search(r"about [\d,]+ non-zero counts", done.stdout)
    assert "Nothing is wrong with it." in run("inspect", h5ad, "-b", "batch", "--every-cell").stdout


def test_of_a_fit_it_shows_what_it_took_and_found(run, h5ad, tmp_path):
    run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad")
    done = run("inspect", tmp_path / "fit.h5ad")
    assert done.exit_code == 0
    assert "fit.h5ad: batch effects by method matched" in done.stdout
    assert "150 cells x 25 genes in 2 batches" in done.stdout
    for stage in ("reading counts", "fitting effects", "placing cells", "in all"):
        assert re.search(rf"{stage} +\d+\.\d s +[\d,]+ cells/s", done.stdout)
    assert re.search(r"Memory: \d\.\d\d GB at most", done.stdout)
    assert "Next:" not in done.stdout


def test_of_a_fit_it_shows_the_design(run, h5ad, tmp_path):
    adata = ad.read_h5ad(h5ad)
    adata.obs["treated"] = np.where(np.arange(adata.n_obs) % 2, "yes", "no")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    genes = ",".join(adata.var_names[:3])
    options = ("--match-within", "treated", "--control-genes", genes, "--state-specific")
    assert run("fit", tmp_path / "cells.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad", *options).exit_code == 0
    lines = run("inspect", tmp_path / "fit.h5ad").stdout.splitlines()
    assert "  batches by 'batch', counts of X" in lines
    assert "  cells compared within levels of 'treated' only" in lines
    assert {"  3 control genes", "  with effects of states"} <= set(lines)
    places = {line.index(" s ") for line in lines if line.endswith("cells/s")}
    assert len(places) == 1, lines


def test_of_a_fit_of_effects_only(run, h5ad, tmp_path):
    done = run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad", "--effects-only")
    assert done.exit_code == 0
    assert "mixing" not in done.stdout
    shown = run("inspect", tmp_path / "fit.h5ad")
    assert "placing cells" not in shown.stdout
    assert "counterparts" not in shown.stdout


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59.4, "59 s"), (90, "2 min"), (3599, "60 min"), (5400, "1.5 h")]
)
def test_a_fit_takes_seconds_minutes_or_hours(run, h5ad, monkeypatch, seconds, text):
    from unbatch.methods import cost

    expected = cost.expected_cost

    def priced(*arguments, **options):
        return dataclasses.replace(expected(*arguments, **options), seconds=seconds)

    monkeypatch.setattr(cost, "expected_cost", priced)
    done = run("inspect", h5ad, "-b", "batch")
    assert f"A fit would take about {text} and " in done.stdout


@pytest.mark.parametrize("counted", ["one batch", "one cell"])
def test_counts_in_one_batch_only_are_an_error_as_they_are_to_a_fit(run, toy, tmp_path, counted):
    adata = toy.copy()
    adata.X = adata.X.toarray()
    adata.X[(adata.obs["batch"] == "batch_2").to_numpy()] = 0
    if counted == "one cell":
        adata.X[:] = 0
        adata.X[int(np.flatnonzero(adata.obs["batch"] == "batch_1")[0]), 3] = 1
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = run("inspect", tmp_path / "in.h5ad", "-b", "batch")
    assert done.exit_code == 2
    assert "Error: only 1 of 2 batches has cells with counts, 'batch_1': two are needed" in done.stdout
    assert "Nothing stands in the way" not in done.stdout
    fitted = run("fit", tmp_path / "in.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad")
    assert fitted.exit_code == 2
    assert "has cells with counts" in fitted.stderr
