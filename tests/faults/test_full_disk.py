"""No room for the output: one clear error, nothing left, and what was there before is as it was."""

import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import anndata
import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch._check import InputError
from unbatch.io import stored
from unbatch.io.sink import CountSink, write_h5ad
from unbatch.io.source import open_counts
from unbatch.io.table_file import write_table

from .kills import names, raw


@contextmanager
def no_file_larger_than(n_bytes):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def adata():
    return ub.simulate(n_cells=2000, n_genes=60, n_batches=2, seed=1)


def _whole(path, adata):
    write_h5ad(path, adata)


def _by_block(path, adata):
    with CountSink(path, var=adata.var, obs=adata.obs) as sink:
        for block in open_counts(adata).blocks(block_size=100):
            sink.append(block)


def _table(path, adata):
    rng = np.random.default_rng(0)
    write_table(path, pd.DataFrame(rng.normal(size=(adata.n_obs, 10)), columns=[f"c{k}" for k in range(10)]))


WRITERS = {
    "whole.h5ad": _whole,
    "blocks.h5ad": _by_block,
    "blocks.zarr": _by_block,
    "table.csv": _table,
    "table.parquet": _table,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("old", [False, True])
def test_every_writer(tmp_path, adata, name, old):
    path, write = tmp_path / name, WRITERS[name]
    write(path, adata[:500].copy())
    before = raw(path)
    if not old:
        path.rename(tmp_path / "elsewhere")
    sizes = [file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()]
    for share in (0.0, 0.3, 0.95):
        with (
            no_file_larger_than(int(max(sizes) * share)),
            pytest.raises(
                InputError, match=r"could not be written: (\[?File too large|Error writing bytes .*File too large)"
            ),
        ):
            write(path, adata[:500].copy())
        assert names(tmp_path) == [name if old else "elsewhere"]
        assert not old or raw(path) == before


def test_the_scratch_file_of_a_turned_matrix(tmp_path, adata, monkeypatch):
    monkeypatch.setattr(stored, "TURN_IN_MEMORY", -1)
    by_column = adata.copy()
    by_column.X = by_column.X.tocsc()
    by_column.write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "scratch").mkdir()
    list(open_counts(tmp_path / "in.h5ad").blocks())  # compiles, which writes files of its own
    source = open_counts(tmp_path / "in.h5ad", scratch=tmp_path / "scratch")
    for limit in (0, 10_000, 600_000):
        with no_file_larger_than(limit), pytest.raises(InputError, match=r"scratch file in .*\(File too large\)"):
            list(source.blocks())
        assert names(tmp_path / "scratch") == []


@pytest.mark.parametrize("limit", [30_000, 150_000])
def test_the_command_line(tmp_path, adata, limit):
    """It used to end with a crash of HDF5 when the program was over."""
    adata.write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "out.h5ad").write_text("old")
    # a process that measures coverage would write a file of its own, and fail
    settings = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "unbatch", "fit", "in.h5ad", "-b", "batch", "-o", "out.h5ad", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**settings, "NUMBA_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (done.returncode, done.stderr) == (2, "Error: out.h5ad could not be written: File too large\n")
    assert names(tmp_path) == ["in.h5ad", "out.h5ad"]
    assert (tmp_path / "out.h5ad").read_text() == "old"
    assert anndata.read_h5ad(tmp_path / "in.h5ad").shape == adata.shape
