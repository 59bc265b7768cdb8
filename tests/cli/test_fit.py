"""``unbatch fit``: options reach the model, refusals are one line, inputs survive."""

import dataclasses

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch import methods
from unbatch.cli._ending import show_verdicts
from unbatch.methods import Method, concept


def refused(done, *words):
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("columns", [10, 20, 59, 60, 80])
def test_the_sentences_of_the_verdicts_are_there_however_narrow_the_terminal(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("convergence", "do not trust", "Effects moved", "Raise it"), ("need", "fine", "Needed: by 3%", "")]
    show_verdicts(pd.DataFrame(rows, columns=["check", "verdict", "text", "cure"]))
    shown = capsys.readouterr().out
    assert "".join(shown.split()).count("Effectsmoved.Raiseit.") == 1
    assert "Needed:by3%." in "".join(shown.split())
    assert max(map(len, shown.splitlines())) <= columns


def test_it_says_what_was_done_where_it_is_and_what_is_next(run, h5ad, tmp_path):
    done = run("fit", h5ad, "--batch-key", "batch", "--output", tmp_path / "fit.h5ad")
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Fitted 150 cells x 25 genes in 2 batches: ")
    assert f"Wrote {tmp_path / 'fit.h5ad'}" in lines
    assert lines[-1].startswith(f"Next: unbatch adjust {h5ad} --model {tmp_path / 'fit.h5ad'}")
    assert len(lines) < 30


def test_the_file_is_the_model_of_the_python_interface(toy, model):
    expected = ub.BatchModel().fit(toy.X, toy.obs["batch"]).result
    np.testing.assert_array_equal(ub.BatchModel.load(model).result.log_delta, expected.log_delta)


EACH_METHOD = pytest.mark.parametrize(
    ("method", "own"),
    [
        (
            "matched",
            {
                "n_dims": 4,
                "n_embedding_dims": 6,
                "max_states": 5,
                "caliper": 2.5,
                "min_support": 7.0,
                "sketch_size": 120,
                "max_rounds": 2,
            },
        ),
        ("concept", {"n_dims": 2, "n_neighbors": 4, "max_iter": 7}),
    ],
)


@EACH_METHOD
def test_options_reach_the_model(run, h5ad, tmp_path, method, own):
    options = {"seed": 5, "min_cells": 3, "tol": 0.5} | own
    flags = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    done = run("fit", h5ad, "-b", "batch", "--method", method, *flags, "-o", tmp_path / "fit.h5ad")
    assert done.exit_code == 0, done.output
    result = ub.BatchModel.load(tmp_path / "fit.h5ad").result
    assert result.method == method
    assert dict(result.parameters) == options


@EACH_METHOD
def test_an_option_of_the_other_method_is_refused_with_those_that_there_are(run, h5ad, tmp_path, method, own):
    other = {"matched": ("--n-neighbors", 3), "concept": ("--caliper", 2.0)}[method]
    done = run("fit", h5ad, "-b", "batch", "--method", method, *other, "-o", tmp_path / "fit.h5ad")
    refused(done, f"method '{method}' has no option", *own, "tol")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "concept", "--max-iter", 2], "after 2 updates: see uns['unbatch']['trace'], or raise --max-iter"),
        (["--max-rounds", 1], "after 1 rounds: see uns['unbatch']['trace'], or raise --max-rounds"),
    ],
)
def test_a_fit_that_has_not_settled_is_told(run, h5ad, tmp_path, arguments, words):
    done = run("fit", h5ad, "-b", "batch", *arguments, "-o", tmp_path / "fit.h5ad")
    assert f"effects still moved {words}" in done.stdout


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
        (["-b", "batch", "--method", "magic"], ["no method 'magic'", "'matched' or 'concept'"]),
        (["-b", "batch", "--n-dims", "0"], ["n_dims is 0"]),
        (["-b", "batch", "--caliper", "-1"], ["caliper is -1"]),
        (["-b", "batch", "--method", "concept", "--n-dims", "99"], ["n_dims is 99"]),
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
    (tmp_path / "junk.h5ad").write_text("junk")
    refused(run("fit", tmp_path / "junk.h5ad", "-b", "batch", "--output", tmp_path / name), words)


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


def test_a_batch_that_shares_no_state_is_named_in_one_line_and_left_alone(run, tmp_path):
    shares = [[0.5, 0.5, 0], [0.3, 0.7, 0], [0, 0, 1]]
    adata = ub.simulate(
        n_cells=240,
        n_genes=100,
        n_batches=3,
        n_types=3,
        composition=shares,
        median_depth=1000,
        log_delta_sd=0.4,
        seed=2,
    )
    adata.write_h5ad(tmp_path / "in.h5ad")
    table = tmp_path / "effects.csv"
    done = run("fit", tmp_path / "in.h5ad", "-b", "batch", "-o", tmp_path / "fit.h5ad", "--effects", table)
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("Warning: 1 of 3 batches share no cell state")
    assert "'batch_3'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    fitted = ad.read_h5ad(tmp_path / "fit.h5ad")
    assert (fitted.varm["batch_effects"][:, 2] == 0).all()
    assert np.isinf(fitted.varm["batch_effects_se"][:, 2]).all()
    assert np.isfinite(fitted.varm["batch_effects"]).all()
    assert not np.isnan(fitted.obsm["X_unbatch"]).any()
    assert not pd.read_csv(table).isna().any().any()
    done = run("adjust", tmp_path / "in.h5ad", "-m", tmp_path / "fit.h5ad", "-o", tmp_path / "adjusted.h5ad")
    assert done.exit_code == 0, done.output
    its = (adata.obs["batch"] == "batch_3").to_numpy()
    adjusted = ad.read_h5ad(tmp_path / "adjusted.h5ad").X
    np.testing.assert_array_equal(adjusted[its].toarray(), adata.X[its].toarray())


def test_a_missing_option_is_a_usage_error(run, h5ad):
    done = run("fit", h5ad)
    assert done.exit_code == 2
    assert "--output" in done.stderr


@pytest.mark.parametrize(("suffix", "read"), [(".csv", pd.read_csv), (".parquet", pd.read_parquet)])
def test_the_table_of_effects_is_that_of_the_python_interface(run, h5ad, tmp_path, suffix, read):
    path = tmp_path / f"effects{suffix}"
    done = run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad", "--effects", path)
    assert done.exit_code == 0, done.stderr
    assert f"Wrote {path} (one row per gene and batch, against the mean over batches)" in done.stdout.splitlines()
    expected = ub.tl.rank_batch_genes(ad.read_h5ad(tmp_path / "fit.h5ad"))
    pd.testing.assert_frame_equal(read(path), expected, check_categorical=False, check_dtype=False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("effects.tsv", ["--effects", "must end in .parquet or .csv"]),
        ("no/effects.csv", ["--effects", "no folder"]),
    ],
)
def test_impossible_tables_are_refused_before_the_work(run, tmp_path, name, words):
    (tmp_path / "junk.h5ad").write_text("junk")
    refused(
        run("fit", tmp_path / "junk.h5ad", "-b", "batch", "-o", tmp_path / "f.h5ad", "--effects", tmp_path / name),
        *words,
    )


def test_the_list_of_control_genes_is_not_overwritten_by_the_table(run, h5ad, tmp_path):
    genes = tmp_path / "genes.csv"
    genes.write_text("gene_1")
    done = run("fit", h5ad, "-b", "batch", "-o", tmp_path / "f.h5ad", "--control-genes", genes, "--effects", genes)
    refused(done, "--effects", "would be overwritten")
    assert genes.read_text() == "gene_1"


def test_a_reference(run, toy, h5ad, tmp_path):
    arguments = ["-b", "batch", "-o", tmp_path / "fit.h5ad", "--effects", tmp_path / "effects.csv"]
    done = run("fit", h5ad, *arguments, "--reference", "batch_2")
    assert done.exit_code == 0, done.stderr
    expected = ub.BatchModel(reference="batch_2").fit(toy.X, toy.obs["batch"]).result
    np.testing.assert_array_equal(ub.BatchModel.load(tmp_path / "fit.h5ad").result.log_delta, expected.log_delta)
    assert set(pd.read_csv(tmp_path / "effects.csv")["versus"]) == {"batch_2"}
    assert run("adjust", h5ad, "-m", tmp_path / "fit.h5ad", "-o", tmp_path / "adjusted.h5ad").exit_code == 0
    adjusted = ad.read_h5ad(tmp_path / "adjusted.h5ad")
    its = (toy.obs["batch"] == "batch_2").to_numpy()
    np.testing.assert_array_equal(adjusted.X[its].toarray(), toy.X[its].toarray())
    assert adjusted.uns["unbatch_adjusted"]["expressed_in"] == "batch 'batch_2'"


def test_a_reference_that_is_no_batch_is_refused_with_the_choices(run, h5ad, tmp_path):
    done = run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad", "--reference", "batch_7")
    refused(done, "'batch_7' is no batch", "choose 'batch_1', 'batch_2'")
    assert not list(tmp_path.iterdir())


@dataclasses.dataclass(frozen=True)
class OtherOptions(ub.ConceptOptions):
    """Options of a method that is the published one but takes a design."""


@pytest.fixture
def other(monkeypatch):
    """A method that takes a design and keeps it."""
    given = {}

    def fit(source, batches, options, *, seed, progress, within=None, control_genes=None, driver=None):
        given.update(within=within, control_genes=control_genes)
        return concept.fit(source, batches, options, seed=seed, progress=progress, driver=driver)

    monkeypatch.setattr(methods, "METHODS", (Method("other", OtherOptions, fit), *methods.METHODS))
    return given


def test_conditions_reach_the_method_and_confounded_ones_are_told_in_one_line(run, toy, tmp_path, other):
    adata = toy.copy()
    adata.obs["stim"] = np.where(adata.obs["batch"] == "batch_1", "yes", "no")
    adata.write_h5ad(tmp_path / "in.h5ad")
    arguments = ["-b", "batch", "--method", "other", "--match-within", "stim", "-o", tmp_path / "fit.h5ad"]
    done = run("fit", tmp_path / "in.h5ad", *arguments)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(other["within"] == 1, adata.obs["stim"] == "yes")
    assert done.stderr.startswith("Warning: batches and obs['stim'] are fully confounded")
    assert len(done.stderr.splitlines()) == 1
    assert list(ad.read_h5ad(tmp_path / "fit.h5ad").uns["unbatch"]["match_within"]) == ["stim"]


@pytest.mark.parametrize(
    ("text", "given"),
    [(None, "gene_3,gene_8"), ("gene_8\n\n gene_3 \n", "genes.txt"), ("\ufeffgene_3\r\ngene_8\r\n", "my,genes")],
)
def test_control_genes_from_a_list_or_a_file(run, toy, h5ad, tmp_path, *, other, text, given):
    names = dict(zip(("gene_3", "gene_8"), toy.var_names[[3, 8]], strict=True))
    spoken = text or given
    for placeholder, name in names.items():
        spoken = spoken.replace(placeholder, name)
    if text is not None:
        (tmp_path / given).write_bytes(spoken.encode())
        spoken = tmp_path / given
    done = run("fit", h5ad, "-b", "batch", "--method", "other", "--control-genes", spoken, "-o", tmp_path / "f.h5ad")
    assert done.exit_code == 0, done.output
    assert np.flatnonzero(other["control_genes"]).tolist() == [3, 8]


def test_a_list_of_genes_longer_than_any_file_name(run, toy, h5ad, tmp_path, other):
    spoken = ",".join([*toy.var_names] * 300)
    done = run("fit", h5ad, "-b", "batch", "--method", "other", "--control-genes", spoken, "-o", tmp_path / "f.h5ad")
    assert done.exit_code == 0, done.output
    assert other["control_genes"].all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--control-genes", "gone.txt"], ["gone.txt: there is no such file"]),
        (["--control-genes", "nope,none"], ["none of the 2 control genes ('nope', 'none')"]),
        (["--control-genes", ","], ["control_genes is empty"]),
        (["--match-within", "btach"], ["no obs column 'btach'", "'batch'"]),
        (["--method", "concept", "--match-within", "batch"], ["'concept' knows no match_within", "method 'other'"]),
    ],
)
def test_a_design_that_cannot_be_is_refused_in_one_line(run, h5ad, tmp_path, other, *, arguments, words):
    method = [] if "--method" in arguments else ["--method", "other"]
    refused(run("fit", h5ad, "-b", "batch", *method, *arguments, "-o", tmp_path / "fit.h5ad"), *words)
    assert not list(tmp_path.iterdir())
    assert other == {}


def test_effects_only_are_the_same_effects(run, h5ad, tmp_path):
    for name, more in (("whole", ()), ("only", ("--effects-only",))):
        assert run("fit", h5ad, "-b", "batch", "-o", tmp_path / f"{name}.h5ad", *more).exit_code == 0
    whole, only = (ub.BatchModel.load(tmp_path / f"{name}.h5ad").result for name in ("whole", "only"))
    np.testing.assert_array_equal(only.log_delta, whole.log_delta)
    np.testing.assert_array_equal(only.se, whole.se)
    assert only.embedding is None
    assert only.overlap is None
    assert only.sample is None
    adjusted = run("adjust", h5ad, "--model", tmp_path / "only.h5ad", "-o", tmp_path / "adjusted.h5ad")
    assert adjusted.exit_code == 0


def test_effects_only_are_not_for_the_published_method(run, h5ad, tmp_path):
    done = run("fit", h5ad, "-b", "batch", "-o", tmp_path / "fit.h5ad", "--method", "concept", "--effects-only")
    assert done.exit_code == 2
    assert "method 'concept' knows no effects_only" in done.stderr
    assert not (tmp_path / "fit.h5ad").exists()
