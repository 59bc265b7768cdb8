"""``unbatch offsets``: sums with offsets, as a file for any program."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import unbatch as ub

from .test_adjust import refused


@pytest.fixture(scope="module")
def expected(toy, model):
    adata = ad.read_h5ad(model)
    adata.X = toy.X
    return ub.get.pseudobulks(adata, groupby=["batch", "note"])


def test_sums_and_offsets_are_those_of_the_python_interface(run, h5ad, model, expected, tmp_path):
    path = tmp_path / "sums.h5ad"
    done = run("offsets", h5ad, "--model", model, "-g", "batch", "-g", "note", "-o", path)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "Summed 150 cells into 2 groups by batch, note"
    found = ad.read_h5ad(path)
    np.testing.assert_array_equal(found.X, expected.X)
    np.testing.assert_array_equal(found.layers["log_delta"], expected.layers["log_delta"])
    np.testing.assert_array_equal(found.obs["exposure"], expected.obs["exposure"])
    assert found.obs_names.tolist() == expected.obs_names.tolist()
    assert found.var["symbol"].tolist() == [f"S{gene}" for gene in range(25)]


def test_as_a_table_there_is_a_row_per_group_and_gene(run, h5ad, model, expected, tmp_path):
    paths = [tmp_path / "sums.csv", tmp_path / "sums.parquet"]
    for path in paths:
        done = run("offsets", h5ad, "-m", model, "-g", "batch", "-g", "note", "-o", path)
        assert done.exit_code == 0, done.output
    table, same = pd.read_csv(paths[0]), pd.read_parquet(paths[1])
    np.testing.assert_allclose(same["log_delta"], table["log_delta"])
    assert same.columns.tolist() == table.columns.tolist()
    assert table.columns.tolist() == [
        "batch",
        "note",
        "n_cells",
        "exposure",
        "gene",
        "count",
        "log_delta",
        "measured",
        "known",
    ]
    assert len(table) == 50
    row = table[(table["batch"] == "batch_2") & (table["gene"] == expected.var_names[7])].iloc[0]
    assert row["count"] == expected.X[1, 7]
    assert row["log_delta"] == pytest.approx(expected.layers["log_delta"][1, 7])


def test_what_is_missing_is_said_in_one_line(run, h5ad, model, tmp_path):
    refused(run("offsets", h5ad, "-m", model, "-o", tmp_path / "out.h5ad"), "--groupby is missing")
    refused(run("offsets", h5ad, "-m", model, "-g", "donor", "-o", tmp_path / "out.h5ad"), "no obs column 'donor'")
    refused(run("offsets", h5ad, "-m", model, "-g", "note", "-o", tmp_path / "out.txt"), ".h5ad or .parquet or .csv")
    refused(run("offsets", h5ad, "-m", model, "-g", "note", "-o", model), "would be overwritten")
    refused(
        run("offsets", h5ad, "-m", model, "-g", "note", "-o", tmp_path / "out.h5ad", "--state-specific"),
        "no effects of states",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["gene", "count", "log_delta", "measured", "known"])
def test_a_column_of_groups_that_a_table_would_overwrite_is_refused_before_counts_are_read(
    run, toy, model, tmp_path, name
):
    cells = tmp_path / "cells.h5ad"
    other = toy.copy()
    other.obs[name] = "kept"
    other.write_h5ad(cells)
    for out in ("sums.csv", "sums.parquet"):
        done = run("offsets", cells, "-m", model, "-g", "batch", "-g", name, "-o", tmp_path / out, "--verbose")
        refused(done, f"--groupby {name} ", "would be lost", "rename it in obs, or write .h5ad")
    done = run("offsets", cells, "-m", model, "-g", name, "-o", tmp_path / "sums.h5ad")
    assert done.exit_code == 0, done.output
    assert ad.read_h5ad(tmp_path / "sums.h5ad").obs[name].tolist() == ["kept"]


@pytest.mark.parametrize("out", ["sums.h5ad", "sums.csv", "sums.parquet"])
def test_a_column_of_groups_that_is_given_twice_is_refused_before_counts_are_read(run, h5ad, model, tmp_path, out):
    done = run("offsets", h5ad, "-m", model, "-g", "note", "-g", "note", "-o", tmp_path / out, "--verbose")
    refused(done, "'note' is named twice")
    assert not list(tmp_path.iterdir())
