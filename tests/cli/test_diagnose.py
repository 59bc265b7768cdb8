"""``unbatch diagnose``, and how ``unbatch fit`` ends: a table for people, JSON for programs."""

import json

import anndata as ad
import h5py
import numpy as np
import pytest

import unbatch as ub

CHECKS = ["need", "overlap", "balance", "mixing", "remainder", "effects", "convergence"]


@pytest.fixture
def fitted(run, h5ad, tmp_path):
    done = run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad")
    assert done.exit_code == 0, done.output
    return done, tmp_path / "fit.h5ad"


def test_a_fit_ends_with_verdicts_and_where_things_are(fitted, h5ad):
    done, model = fitted
    lines = done.stdout.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert shown == CHECKS
    table = ub.get.verdicts(ad.read_h5ad(model)).set_index("check")
    for check in CHECKS:
        line = next(line for line in lines if line.startswith(f"  {check} "))
        assert table.loc[check, "verdict"] in line
        assert table.loc[check, "text"].split()[0] in line
    assert lines[-2:] == [
        f"Wrote {model}",
        f"Next: unbatch adjust {h5ad} --model {model} --output adjusted.h5ad",
    ]
    assert all(len(line) <= 80 for line in lines[1:-2])
    assert "\x1b" not in done.stdout


def test_json_is_all_there_is_on_standard_output(run, h5ad, tmp_path):
    files = ["-o", tmp_path / "fit.h5ad", "--effects", tmp_path / "effects.csv"]
    done = run("fit", h5ad, "-b", "batch", *files, "--json", "--verbose")
    assert done.exit_code == 0
    found = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "judging the fit" in done.stderr
    assert (found["n_cells"], found["n_genes"], found["batches"]) == (150, 25, ["batch_1", "batch_2"])
    assert [row["check"] for row in found["verdicts"]] == CHECKS
    assert found["verdict"] in ("fine", "look here", "do not trust")
    assert all(isinstance(row["value"], float) for row in found["verdicts"])
    assert found["written"] == {"model": str(tmp_path / "fit.h5ad"), "effects": str(tmp_path / "effects.csv")}
    assert found["next"].startswith("unbatch adjust ")
    assert found["median_effect"] > 1


def test_json_leaves_standard_output_empty_where_a_fit_is_refused(run, h5ad, tmp_path):
    done = run("fit", h5ad, "-b", "nothing", "-o", tmp_path / "fit.h5ad", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")


def test_names_are_shown_as_they_are(run, toy, tmp_path):
    odd = toy.copy()
    odd.obs["batch"] = odd.obs["batch"].map({"batch_1": "[red]a[/red]", "batch_2": ":boom: é"}).astype(str)
    odd.obs.iloc[:30, odd.obs.columns.get_loc("batch")] = "[/x"
    counts = odd.X.toarray()
    counts[:30] = np.random.default_rng(0).permuted(counts[:30], axis=1)  # like nothing elsewhere
    odd.X = type(odd.X)(counts)
    odd.write_h5ad(tmp_path / "odd.h5ad")
    for extra in ([], ["--json"]):
        done = run("fit", tmp_path / "odd.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad", *extra)
        assert done.exit_code == 0, done.output
        assert "'[/x'" in done.stdout


def test_it_adds_verdicts_to_a_file_without_them(run, fitted, h5ad):
    _, model = fitted
    before = ub.get.verdicts(ad.read_h5ad(model))
    with h5py.File(model, "a") as file:
        del file["uns/unbatch/diagnostics"]
        file["obsm/mine"] = np.ones((150, 2))
        file["obsm/mine"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    done = run("diagnose", h5ad, "--model", model)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"Wrote {model}"
    after = ad.read_h5ad(model)
    assert ub.get.verdicts(after).equals(before)
    assert after.obsm["mine"].shape == (150, 2)
    ub.BatchModel.load(model)


def test_probes_as_json(run, fitted, h5ad):
    _, model = fitted
    done = run("diagnose", h5ad, "--model", model, "--probes", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [row["check"] for row in found["verdicts"]] == [*CHECKS, "probes"]
    assert {row["probe"] for row in found["probes"]} >= {"split"}
    assert len(ub.get.diagnostics(ad.read_h5ad(model), "probes")) == len(found["probes"])


def test_what_is_no_model_or_not_its_input_is_refused(run, fitted, h5ad, toy, tmp_path):
    _, model = fitted
    content = model.read_bytes()
    toy[:100].copy().write_h5ad(tmp_path / "part.h5ad")
    for arguments, words in (
        ((tmp_path / "part.h5ad", "--model", model), "100 cells, not the 150 of the fit"),
        ((h5ad, "--model", tmp_path / "none.h5ad"), "there is no file"),
        ((h5ad, "--model", h5ad), "holds no batch effects"),
    ):
        done = run("diagnose", *arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert model.read_bytes() == content
