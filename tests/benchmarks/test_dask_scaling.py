"""The scaling of the first pass is that of the pass itself."""

import anndata as ad
import pytest

import dask_scaling
from unbatch.io.batches import read_batches
from unbatch.io.reduce import LocalDriver
from unbatch.io.source import open_counts


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_scaling, "PIECE", 300)
    monkeypatch.setattr(dask_scaling, "N_BATCHES", 3)
    dask_scaling.make_file(tmp_path / "made.h5ad", n_cells=500)
    return tmp_path / "made.h5ad"


def test_the_file_is_as_described(path):
    adata = ad.read_h5ad(path)
    assert adata.shape == (500, dask_scaling.N_GENES)
    assert (adata.X.sum(axis=1) == dask_scaling.DEPTH).all()
    assert 800 < adata.X.nnz / 500 < 1200
    assert adata.obs["batch"].nunique() == 3


def test_only_the_first_pass_is_timed(path):
    class Noted(LocalDriver):
        walks = 0

        def reduce(self, *arguments, **options):
            Noted.walks += 1
            return super().reduce(*arguments, **options)

    source = open_counts(path)
    assert dask_scaling.first_pass(source, read_batches(source, "batch"), Noted(), sketch_size=200) > 0
    assert Noted.walks == 1


def test_ratios_are_taken_within_a_repeat():
    table = dask_scaling.report({"1 worker": [10.0, 20.0, 12.0], "2 workers": [5.0, 40.0, 8.0]}, baseline="1 worker")
    assert "| 1 worker | 12.00 (10.00-20.00) | 1.00 (1.00-1.00) |" in table
    assert "| 2 workers | 8.00 (5.00-40.00) | 1.50 (0.50-2.00) |" in table


def test_from_the_command_line(path, capsys):
    dask_scaling.main(["--file", str(path), "--workers", "1", "--repeats", "1", "--sketch-size", "200"])
    printed = capsys.readouterr().out
    assert "1 worker: 500 cells, warm-up" in printed
    assert "| this process | " in printed
