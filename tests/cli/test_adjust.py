"""``unbatch adjust``: refuses what does not belong to the model, takes new cells of known batches."""

import anndata as ad
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import unbatch as ub
from unbatch.cli import app

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
        "bear another batch",
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


def test_thinned_counts_are_whole_numbers_the_same_in_both_formats(run, toy, h5ad, model, tmp_path):
    for name in ("one.h5ad", "two.zarr"):
        done = run("adjust", h5ad, "-m", model, "-o", tmp_path / name, "--mode", "thin", "--seed", 3)
        assert done.exit_code == 0, done.output
        assert "int32, as in the batch that detects each gene least" in done.stdout
    one, two = ad.read_h5ad(tmp_path / "one.h5ad"), ad.read_zarr(tmp_path / "two.zarr")
    assert one.X.dtype == two.X.dtype == np.int32
    assert (one.X != two.X).nnz == 0
    assert 0 < one.X.sum() < toy.X.sum()
    record = one.uns["unbatch_adjusted"]
    assert (record["mode"], int(record["seed"]), record["expressed_in"]) == (
        "thin",
        3,
        "batch that detects each gene least",
    )
    adata = ad.read_h5ad(model)
    adata.X = toy.X
    ub.pp.adjust_counts(adata, mode="thin", seed=3)
    np.testing.assert_array_equal(one.X.toarray(), adata.layers["adjusted"].toarray())


def test_library_sizes_are_kept(run, toy, h5ad, model, tmp_path):
    assert run("adjust", h5ad, "-m", model, "-o", tmp_path / "out.h5ad", "--keep-library-size").exit_code == 0
    np.testing.assert_allclose(ad.read_h5ad(tmp_path / "out.h5ad").X.sum(axis=1), toy.X.sum(axis=1), rtol=1e-6)


def test_the_cap_is_told(run, toy, h5ad, model, tmp_path):
    done = run("adjust", h5ad, "-m", model, "-o", tmp_path / "out.h5ad", "--max-factor", 1.2)
    (line,) = [line for line in done.stdout.splitlines() if "met the cap of 1.2" in line]
    out = ad.read_h5ad(tmp_path / "out.h5ad")
    record, by_hand = out.uns["unbatch_adjusted"], adjusted_by_hand(toy, model)
    beyond = by_hand > 1.2 * toy.X.toarray()
    assert record["capped_counts"] == beyond.sum() > 0
    assert line.startswith(f"  {beyond.sum():,} counts of {beyond.any(axis=0).sum()} genes")
    np.testing.assert_allclose(out.X.toarray(), np.minimum(by_hand, 1.2 * toy.X.toarray()), rtol=1e-6)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--mode", "magic"], ("no mode 'magic'", "'scale' or 'thin'")),
        (["--mode", "thin", "--keep-library-size"], ("can only take counts away",)),
        (["--max-factor", "0"], ("max_factor is 0.0",)),
        (["--seed", "-1"], ("seed is -1",)),
        (["--state-specific"], ("no effects of states", "unbatch fit --state-specific")),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(run, h5ad, model, flags, words):
    output = model.parent / "out.h5ad"
    refused(run("adjust", h5ad, "-m", model, "-o", output, *flags), *words)
    assert not output.exists()


@pytest.fixture(scope="module")
def state_model(h5ad, tmp_path_factory):
    """A fit that was asked for effects of states, with some planted."""
    path = tmp_path_factory.mktemp("states") / "fit.h5ad"
    done = CliRunner().invoke(app, ["fit", str(h5ad), "-b", "batch", "--state-specific", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert "effects of a batch differ from state to state by x or / 1.0" in done.stdout
    adata = ad.read_h5ad(path)
    states = adata.uns["unbatch"]["state_effects"]
    states["steps"] = np.random.default_rng(0).integers(-100, 101, states["steps"].shape).astype(np.int8)
    states["unit"] = 0.005
    adata.write_h5ad(path)
    return path


def test_effects_of_states_are_taken_out_of_the_cells_of_the_fit_in_any_order(run, toy, h5ad, state_model, tmp_path):
    done = run("adjust", h5ad, "-m", state_model, "-o", tmp_path / "out.h5ad", "--state-specific")
    assert done.exit_code == 0, done.output
    whole = ad.read_h5ad(tmp_path / "out.h5ad").X.toarray()
    adata = ad.read_h5ad(state_model)
    adata.X = toy.X
    ub.pp.adjust_counts(adata, state_specific=True)
    np.testing.assert_array_equal(whole, adata.layers["adjusted"].toarray())
    assert np.abs(whole - adjusted_by_hand(toy, state_model)).max() > 0.1
    some = np.array([100, 4, 50])
    toy[some].copy().write_h5ad(tmp_path / "some.h5ad")
    done = run("adjust", tmp_path / "some.h5ad", "-m", state_model, "-o", tmp_path / "part.h5ad", "--state-specific")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "part.h5ad").X.toarray(), whole[some])
    genes = np.array([9, 2, 17])
    toy[:, genes].copy().write_h5ad(tmp_path / "genes.h5ad")
    done = run("adjust", tmp_path / "genes.h5ad", "-m", state_model, "-o", tmp_path / "part.h5ad", "--state-specific")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "part.h5ad").X.toarray(), whole[:, genes])


def test_the_state_of_other_cells_is_not_known(run, toy, state_model, tmp_path):
    other = toy[:20].copy()
    other.obs_names = [f"new_{name}" for name in other.obs_names[:5]] + other.obs_names[5:].tolist()
    other.write_h5ad(tmp_path / "in.h5ad")
    done = run("adjust", tmp_path / "in.h5ad", "-m", state_model, "-o", tmp_path / "out.h5ad", "--state-specific")
    refused(done, "5 of 20 cells", "not part of the fit", "without state_specific")
    moved = toy[:20].copy()
    moved.obs["batch"] = moved.obs["batch"].map({"batch_1": "batch_2", "batch_2": "batch_1"}).astype(str)
    moved.write_h5ad(tmp_path / "in.h5ad")
    done = run("adjust", tmp_path / "in.h5ad", "-m", state_model, "-o", tmp_path / "out.h5ad", "--state-specific")
    refused(done, "20 of 20 cells", "another batch there")


def test_effects_of_states_are_taken_out_where_a_whole_number_is_written_as_a_float(run, toy, tmp_path):
    cells = toy.copy()
    cells.obs["lane"] = np.arange(150) % 2
    cells.write_h5ad(tmp_path / "in.h5ad")
    keys = ("-b", "batch", "-b", "lane")
    done = run("fit", tmp_path / "in.h5ad", *keys, "--state-specific", "-o", tmp_path / "fit.h5ad")
    assert done.exit_code == 0, done.output
    some = cells[[100, 4, 50]].copy()
    for lane in (some.obs["lane"], some.obs["lane"].astype(float)):
        some.obs["lane"] = lane
        some.write_h5ad(tmp_path / "some.h5ad")
        out = tmp_path / f"{lane.dtype}.h5ad"
        done = run("adjust", tmp_path / "some.h5ad", "-m", tmp_path / "fit.h5ad", "-o", out, "--state-specific")
        assert done.exit_code == 0, done.output
    one, two = (ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("int64", "float64"))
    np.testing.assert_array_equal(one.X.toarray(), two.X.toarray())


def test_the_state_of_cells_that_come_under_the_name_of_another_file_is_not_known(run, toy, tmp_path):
    (tmp_path / "other").mkdir()
    for name, batch in (("u1", "batch_1"), ("u2", "batch_2")):
        toy[(toy.obs["batch"] == batch).to_numpy()].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    fit = tmp_path / "fit.h5ad"
    done = run("fit", tmp_path / "u1.h5ad", tmp_path / "u2.h5ad", "--state-specific", "-o", fit)
    assert done.exit_code == 0, done.output
    for name, code in (("u2", 0), ("u1", 2)):
        (tmp_path / "other" / f"{name}.h5ad").write_bytes((tmp_path / "u2.h5ad").read_bytes())
        given = tmp_path / "other" / f"{name}.h5ad"
        done = run("adjust", given, "-m", fit, "-o", tmp_path / f"{name}_out.h5ad", "--state-specific")
        assert done.exit_code == code, done.output
    refused(done, "cells", "or of another batch there")


def test_cells_whose_names_clash_between_the_files_of_the_fit_are_cells_of_the_fit(run, toy, tmp_path):
    paths = [tmp_path / f"run{number}.h5ad" for number in (1, 2)]
    for path, batch in zip(paths, ("batch_1", "batch_2"), strict=True):
        part = toy[(toy.obs["batch"] == batch).to_numpy()].copy()
        part.obs_names = [f"BC{number}-1" for number in range(part.n_obs)]
        part.write_h5ad(path)
    fit = tmp_path / "fit.h5ad"
    assert run("fit", *paths, "--state-specific", "-o", fit).exit_code == 0
    for flags in ([], ["--state-specific"]):
        done = run("adjust", paths[0], "-m", fit, "-o", tmp_path / "one.h5ad", *flags)
        assert done.exit_code == 0, done.output
        assert "not part of the fit" not in done.stdout
        assert run("adjust", *paths, "-m", fit, "-o", tmp_path / "both.h5ad", *flags).exit_code == 0
        one, both = (ad.read_h5ad(tmp_path / name).X.toarray() for name in ("one.h5ad", "both.h5ad"))
        np.testing.assert_array_equal(one, both[: len(one)])
