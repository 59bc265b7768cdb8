"""A run of the integration benchmark: which sets, what is computed, what is kept; peers are played by a stand-in."""

import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from integration import compare, probing, problems, work
from integration.methods import METHODS
from integration.total import METRICS
from unbatch.simulation import simulate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

STAND_IN = f"""#!{sys.executable}
import json, sys
import h5py
import numpy as np
jobs = json.load(open(sys.argv[3]))
for job in jobs:
    print(sys.argv[2], job, file=open(__file__ + ".log", "a"))
    if sys.argv[2] == "integration.score":
        value = float(np.load(job["embedding"]).mean())
        json.dump(dict.fromkeys({METRICS!r}, value), open(job["output"], "w"))
    elif job["method"] == "combat":
        open(job["output"].replace(".npy", ".error"), "w").write("Traceback\\nno luck")
    else:
        n = len(h5py.File(job["data"])["obs"]["scored"])
        drawn = np.random.default_rng(job["seed"]).normal(1, 1, (n, 2))
        np.save(job["output"], drawn.astype("float32") * (2 if job["method"] == "harmony" else 1))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Give a folder of a labelled file, one without labels and a copy of the shipped set."""
    folder = tmp_path_factory.mktemp("data")
    adata = simulate(n_cells=200, n_genes=60, seed=1)
    del adata.obs["cell_type"]
    adata.write_h5ad(folder / "plain.h5ad")
    rng = np.random.default_rng(0)
    adata.obs["cell_type"] = ["NA", "alone", "unassigned", *rng.choice(["B", "T"], adata.n_obs - 3)]
    adata.write_h5ad(folder / "labelled.h5ad")
    anndata.read_h5ad(problems.SHIPPED).write_h5ad(folder / "copy_of_shipped.h5ad")
    return folder


@pytest.fixture
def stand_in(tmp_path):
    path = tmp_path / "python"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


@pytest.fixture
def problem(data, tmp_path):
    (found,) = problems.prepare(tmp_path / "cache", data, ["labelled"])
    return found


def asked(stand_in):
    """Give what the stand-in was asked to compute, and forget it."""
    log = stand_in.with_name("python.log")
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_sets_are_those_with_labels_and_cells_without_are_not_scored(data, tmp_path):
    shipped, labelled = problems.prepare(tmp_path, data, None)
    assert (shipped.name, shipped.n_cells, shipped.n_batches, shipped.n_labels) == ("cell_lines", 1394, 3, 3)
    assert (labelled.name, labelled.n_cells, labelled.n_genes, labelled.n_labels) == ("labelled", 200, 60, 2)
    kept = anndata.read_h5ad(labelled.path)
    assert list(kept.obs.columns) == ["batch", "label", "scored"]
    assert kept.obs["scored"].tolist() == [False] * 3 + [True] * 197
    np.testing.assert_array_equal(kept.X.toarray(), anndata.read_h5ad(data / "labelled.h5ad").X.toarray())


def test_what_is_in_the_cache_is_not_computed_again(problem, stand_in):
    pythons = work.Pythons(peers=str(stand_in), scvi=None)
    first = compare.compare([problem], ["pca", "harmony", "scvi"], [0, 1], pythons=pythons)
    assert len(asked(stand_in)) == 6
    second = compare.compare([problem], ["pca", "harmony", "scvi"], [0, 1], pythons=pythons)
    assert asked(stand_in) == []
    pd.testing.assert_frame_equal(first, second)
    scored = first[first["method"] != "scvi"]
    assert list(zip(scored["method"], scored["seed"], strict=True)) == [("pca", 0), ("harmony", 0), ("harmony", 1)]
    assert scored["total"].between(0.8, 2.4).all()
    missing = first[first["method"] == "scvi"]
    assert missing["note"].tolist() == ["not run", "not run"]
    assert missing["total"].isna().all()


def test_a_method_that_fails_says_why_and_others_go_on(problem, stand_in):
    found = compare.compare([problem], ["combat", "pca"], [0], pythons=work.Pythons(str(stand_in), None))
    assert found.set_index("method")["note"].to_dict() == {"pca": "", "combat": "failed: no luck"}


def test_ours_run_here_and_new_code_gives_new_results(problem, stand_in, monkeypatch):
    pythons = work.Pythons(peers=str(stand_in), scvi=None)
    found = compare.compare([problem], ["unbatch", "adjusted_pca"], [0], pythons=pythons)
    assert found["note"].tolist() == ["", ""]
    task = work.Task(problem.path, "unbatch", 0)
    assert np.load(task.output).shape[0] == 200
    versions = json.loads(task.input.with_suffix(".json").read_text())["versions"]
    assert "unbatch" in versions
    counts = anndata.read_h5ad(work.Task(problem.path, "adjusted_pca", 0).input)  # of the same fit
    np.testing.assert_array_equal(counts.obsm["X_unbatch"], np.load(task.output))
    assert (counts.X.toarray() > 0).sum() == (anndata.read_h5ad(problem.path).X.toarray() > 0).sum()
    before = task.output
    monkeypatch.setattr(work, "_digest", ["changed"])
    assert not task.output.exists()
    assert task.output != before
    assert work.Task(problem.path, "pca", 0).output.exists() is False
    assert "changed" not in work.Task(problem.path, "pca", 0).output.name


def test_what_builds_on_a_failure_says_why(problem):
    counts = anndata.read_h5ad(problem.path)
    counts.X.data[0] = 0.5
    counts.write_h5ad(problem.path)
    found = compare.compare([problem], ["unbatch"], [0], pythons=work.Pythons(None, None))
    assert "InputError" in found["note"][0]


def test_any_embedding_is_scored_by_the_same_ruler(problem, stand_in, tmp_path):
    path = tmp_path / "candidate.npz"
    np.savez(path, labelled=np.full((200, 4), 0.25), elsewhere=np.zeros((5, 2)))
    pythons = work.Pythons(peers=str(stand_in), scvi=None)
    found = compare.compare([problem], [], [0], pythons=pythons, added=[(path, "candidate")])
    assert found[["set", "method", "total"]].to_numpy().tolist() == [["labelled", "candidate", 0.25]]
    np.savez(path, labelled=np.zeros((199, 4)))
    with pytest.raises(ValueError, match=r"labelled is \(199, 4\), for 200 cells"):
        compare.compare([problem], [], [0], pythons=pythons, added=[(path, "candidate")])


def test_a_split_changes_the_batches_alone(problem, stand_in):
    pythons = work.Pythons(peers=str(stand_in), scvi=None)
    kept, covered = probing.split_batches([problem], ["pca", "harmony"], [0, 1], pythons=pythons)
    assert kept["method"].tolist() == ["pca", "harmony"]
    assert kept["split"].tolist() == [1, 1]  # the stand-in looks at the seed alone
    assert kept["seeds"][0] == 1
    assert kept["seeds"][1] < 0.3
    assert covered["genes"].between(30, 60).all()
    assert (covered["coverage"] > 0.85).all()
    plain, split = (anndata.read_h5ad(path) for path in (problem.path, problem.folder / "split-1" / "data.h5ad"))
    np.testing.assert_array_equal(plain.X.toarray(), split.X.toarray())
    assert plain.obs["label"].equals(split.obs["label"])
    assert split.obs["batch"].nunique() == plain.obs["batch"].nunique() + 1


def test_a_type_is_taken_from_one_batch_alone(problem, stand_in):
    pythons = work.Pythons(peers=str(stand_in), scvi=None)
    found = probing.remove_types([problem], ["pca"], [0], pythons=pythons)
    assert found["label"].tolist() == ["B", "T"]
    plain = anndata.read_h5ad(problem.path).obs
    for number, row in enumerate(found.itertuples()):
        less = anndata.read_h5ad(problem.folder / f"without-{number}" / "data.h5ad").obs
        gone = plain.index.difference(less.index)
        assert len(gone) >= 20
        assert set(plain.loc[gone, "label"]) == {row.label}
        assert set(plain.loc[gone, "batch"]) == {row.batch}
        assert not ((less["label"] == row.label) & (less["batch"] == row.batch)).any()
        assert row.loss == pytest.approx(row.before - row.after)


def test_every_method_has_its_file():
    files = {path.stem for path in (BENCHMARKS / "integration" / "methods").glob("[!_]*.py")}
    assert files == set(METHODS)


def test_a_run_from_the_command_line_writes_what_it_was_asked_for(data, stand_in, tmp_path):
    csv, page = tmp_path / "scores.csv", tmp_path / "page.md"
    chosen = ["--data", str(data), "--sets", "labelled", "--methods", "pca", "harmony", "unbatch", "--seeds", "0"]
    places = ["--cache", str(tmp_path / "cache"), "--csv", str(csv), "--output", str(page)]
    command = [sys.executable, str(BENCHMARKS / "integration.py"), "--peers-python", str(stand_in), "--probes"]
    subprocess.run([*command, *chosen, *places], check=True, capture_output=True)
    text = page.read_text()
    assert str(tmp_path) not in text
    for part in (
        "mean over sets",
        "at least as good as Harmony",
        "split at random",
        "removed from one batch",
        "X_unbatch:",
    ):
        assert part in text
    assert pd.read_csv(csv)["method"].tolist() == ["pca", "harmony", "unbatch"]


def test_a_set_that_is_not_there_is_named(data, tmp_path):
    command = [sys.executable, str(BENCHMARKS / "integration.py"), "--data", str(data), "--sets", "plain"]
    found = subprocess.run([*command, "--cache", str(tmp_path)], check=False, capture_output=True, text=True)
    assert found.returncode == 2
    assert "['plain']" in found.stderr
