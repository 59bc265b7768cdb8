from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from inspect import signature
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from unbatch._check import InputError
from unbatch.io.sink import CountSink
from unbatch.simulation import SimulationOptions, simulate, simulate_to_file
from unbatch.simulation.scheme import CHUNK


@pytest.mark.parametrize("function", [simulate, simulate_to_file])
def test_keywords_are_the_options_and_the_seed(function: Callable[..., object]) -> None:
    expected = {field.name: field.default for field in fields(SimulationOptions)} | {"seed": 0}
    found = {name: p.default for name, p in signature(function).parameters.items()}
    assert {name: found.pop(name) for name in expected} == expected
    assert set(found) <= {"path", "compression", "progress"}


@pytest.mark.parametrize("function", [simulate, simulate_to_file])
def test_every_option_is_documented(function: Callable[..., object]) -> None:
    parameters = (function.__doc__ or "").partition("Parameters\n")[2]
    documented = {name.strip() for line in parameters.splitlines() for name in line.split(",")}
    assert set(signature(function).parameters) <= documented


def test_counts_are_sorted_csr_of_whole_numbers() -> None:
    x = simulate(n_cells=50).X
    assert x.format == "csr"
    assert x.dtype == np.float32
    assert x.has_canonical_format
    assert (x.data >= 1).all()
    np.testing.assert_array_equal(x.data, np.rint(x.data))


@pytest.mark.parametrize("dispersion", [0.0, 0.3])
def test_same_seed_same_bits(dispersion: float) -> None:
    first, second, other = (simulate(n_cells=200, dispersion=dispersion, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.X.data, second.X.data)
    np.testing.assert_array_equal(first.X.indices, second.X.indices)
    np.testing.assert_array_equal(first.obsm["theta_true"], second.obsm["theta_true"])
    assert first.X.nnz != other.X.nnz
    assert not np.allclose(first.varm["log_delta_true"], other.varm["log_delta_true"])


def test_more_cells_keep_those_that_were_there() -> None:
    few = simulate(n_genes=30, n_cells=2 * CHUNK, n_types=3, median_depth=20)
    many = simulate(n_genes=30, n_cells=2 * CHUNK + 100, n_types=3, median_depth=20)
    assert (many.X[: 2 * CHUNK] != few.X).nnz == 0
    np.testing.assert_array_equal(few.obs["batch"].to_numpy(), many.obs["batch"].to_numpy()[: 2 * CHUNK])


def test_no_effects_where_none_are_asked_for() -> None:
    assert not simulate(n_cells=10, log_delta_sd=0.0).varm["log_delta_true"].any()


def test_a_planted_effect_is_in_the_counts() -> None:
    adata = simulate(n_genes=100, n_cells=6000, n_types=3, log_delta_sd=0.5, median_depth=2000, size_factor_sd=0.2)
    rate = {}
    for batch, cells in adata.obs.groupby("batch", observed=True):
        expected = adata[cells.index].obsm["theta_true"] @ adata.varm["beta_true"].T
        weight = cells["size_factor_true"].to_numpy() @ expected
        rate[batch] = np.asarray(adata[cells.index].X.sum(axis=0)).ravel() / weight
    found = np.log(rate["batch_1"] / rate["batch_2"])
    truth = -np.diff(adata.varm["log_delta_true"], axis=1).ravel()
    common = np.asarray(adata.X.sum(axis=0)).ravel() > 4000
    assert common.sum() > 50
    np.testing.assert_allclose(found[common], truth[common], atol=0.1)


def test_names_sort_in_order_and_label_the_truth() -> None:
    adata = simulate(n_genes=11, n_cells=120, n_batches=12, n_types=3, n_factors=2, private_types={0: 11})
    record = adata.uns["simulation"]
    assert list(adata.var_names) == sorted(adata.var_names)
    assert list(adata.obs_names) == sorted(adata.obs_names)
    assert (
        list(record["batches"]) == list(adata.obs["batch"].cat.categories) == [f"batch_{i:02d}" for i in range(1, 13)]
    )
    assert list(record["cell_types"]) == ["type_1", "type_2", "type_3"]
    assert list(record["programmes"]) == ["type_1", "type_2", "type_3", "factor_1", "factor_2"]
    assert record["seed"] == 0
    assert record["parameters"]["n_batches"] == 12
    assert record["parameters"]["private_types"].tolist() == [[0, 11]]
    assert "median_depth" not in record["parameters"]


OPTIONS = {"n_genes": 40, "n_cells": 2 * CHUNK + 7, "n_types": 2, "composition": 0.5, "private_types": {0: 1}}


@pytest.mark.parametrize("name", ["sim.h5ad", "sim.zarr"])
@pytest.mark.parametrize("compression", ["auto", None])
def test_a_file_holds_what_memory_holds_bit_by_bit(tmp_path: Path, name: str, *, compression: str | None) -> None:
    expected = simulate(**OPTIONS, batch_depth=(1, 2), seed=4)
    path = tmp_path / name
    simulate_to_file(path, **OPTIONS, batch_depth=(1, 2), seed=4, compression=compression)
    found = anndata.read_h5ad(path) if path.suffix == ".h5ad" else anndata.read_zarr(path)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found.X, part), getattr(expected.X, part))
    assert found.X.dtype == expected.X.dtype
    pd.testing.assert_frame_equal(found.obs, expected.obs, check_categorical=False)
    assert list(found.var_names) == list(expected.var_names)
    np.testing.assert_array_equal(found.obsm["theta_true"], expected.obsm["theta_true"])
    for key in ("log_delta_true", "beta_true"):
        np.testing.assert_array_equal(found.varm[key], expected.varm[key])
    record, truth = found.uns["simulation"], expected.uns["simulation"]
    assert list(record["batches"]) == list(truth["batches"])
    assert {k: np.asarray(v).tolist() for k, v in record["parameters"].items()} == {
        k: np.asarray(v).tolist() for k, v in truth["parameters"].items()
    }


def test_progress_is_told_about_every_cell(tmp_path: Path) -> None:
    told: list[int] = []

    class Teller:
        @contextmanager
        def stage(self, name: str, *, total: int | None = None) -> Iterator[Callable[[int], None]]:
            assert name == "simulating counts"
            assert total == OPTIONS["n_cells"]
            yield told.append

    simulate_to_file(tmp_path / "sim.h5ad", **OPTIONS, progress=Teller())
    assert told == [CHUNK, CHUNK, 7]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.h5ad or \.zarr"):
        simulate_to_file(tmp_path / "sim.loom", n_cells=5)
    assert list(tmp_path.iterdir()) == []


def test_counts_of_one_chunk_at_a_time_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(CountSink, "append", lambda _self, block: sizes.append(block.counts.shape[0]))
    with pytest.raises(InputError, match="cells"):
        simulate_to_file(tmp_path / "sim.h5ad", **OPTIONS)
    assert sizes == [CHUNK, CHUNK, 7]


def test_refusal_comes_before_any_work() -> None:
    with pytest.raises(InputError, match="n_cells"):
        simulate(n_cells=-1)
