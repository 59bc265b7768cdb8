"""``unbatch simulate``: the same data as from Python, with the same defaults."""

import dataclasses
import inspect

import anndata as ad
import numpy as np
import pytest

import unbatch as ub
from unbatch.cli.simulate import simulate
from unbatch.simulation import SimulationOptions


def test_it_writes_what_python_gives(run, tmp_path):
    done = run("simulate", "--n-cells", 60, "--n-genes", 12, "--seed", 3, "--output", tmp_path / "sim.h5ad")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "Simulated 60 cells x 12 genes in 2 batches"
    written, expected = ad.read_h5ad(tmp_path / "sim.h5ad"), ub.simulate(n_cells=60, n_genes=12, seed=3)
    assert (written.X != expected.X).nnz == 0
    np.testing.assert_array_equal(written.varm["log_delta_true"], expected.varm["log_delta_true"])


def test_defaults_are_those_of_python():
    here = {name: parameter.default for name, parameter in inspect.signature(simulate).parameters.items()}
    for field in dataclasses.fields(SimulationOptions):
        name = "private_type" if field.name == "private_types" else field.name
        assert here[name] == field.default, name


def test_lists_and_pairs_are_understood(run, tmp_path):
    types = ("--n-types", 3, "--private-type", "2:1", "--private-type", "0:0", "--composition", 5)
    batches = ("--batch-proportions", "0.8,0.2", "--batch-depth", "1,4")
    done = run("simulate", "--n-cells", 300, "--n-genes", 10, *types, *batches, "--output", tmp_path / "sim.zarr")
    assert done.exit_code == 0, done.output
    obs = ad.read_zarr(tmp_path / "sim.zarr").obs
    assert obs.groupby("cell_type", observed=True)["batch"].nunique().tolist() == [1, 2, 1]
    assert (obs["batch"] == "batch_1").mean() > 0.6


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batch-depth", "1;2"], "--batch-depth is '1;2': give numbers with commas"),
        (["--n-types", "3", "--private-type", "2"], "give TYPE:BATCH"),
        (["--n-types", "3", "--private-type", "2:1", "--private-type", "2:0"], "gives type 2 twice"),
        (["--n-genes", "0"], "n_genes=0"),
        (["--private-type", "2:1"], "n_types=0"),
    ],
)
def test_wrong_choices_are_refused_in_one_line(run, tmp_path, flags, words):
    done = run("simulate", *flags, "--output", tmp_path / "sim.h5ad")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert words in done.stderr
    assert not list(tmp_path.iterdir())
