"""The table of ways to store a matrix measures what it says."""

import numpy as np
import pytest
from scipy import sparse

import compression
import unbatch as ub
from unbatch.io.growing import _HDF5_CHUNK, _ZARR_CHUNK, GZIP


@pytest.fixture(scope="module")
def counts():
    return sparse.csr_array(ub.simulate(n_genes=60, n_cells=300, seed=1).X)


def test_bits_are_those_of_the_file(counts, tmp_path):
    bits, write, read = compression.measure(counts, 2**10, {})
    compression.store(tmp_path / "matrix", counts, 2**10, {})
    assert bits == 8 * (tmp_path / "matrix").stat().st_size / counts.nnz
    assert bits > 64
    assert write > 0
    assert read > 0


@pytest.mark.parametrize("way", compression.WAYS)
def test_every_way_gives_back_what_it_got(counts, way):
    # measure() refuses anything else
    assert compression.measure(counts, *compression.WAYS[way])[0] > 1


def test_what_is_not_read_back_is_noticed(counts, monkeypatch):
    monkeypatch.setattr(compression, "load", lambda *_: dict.fromkeys(compression.ARRAYS, np.zeros(3)))
    with pytest.raises(AssertionError, match="not what was written"):
        compression.measure(counts, 2**10, {})


def test_the_choices_of_the_package_are_among_the_ways():
    assert (_HDF5_CHUNK, {**GZIP, "shuffle": True}) in compression.WAYS.values()
    assert (_ZARR_CHUNK, None) in compression.WAYS.values()


def test_a_file_can_be_given(tmp_path, capsys):
    ub.simulate(n_genes=60, n_cells=300, seed=1).write_h5ad(tmp_path / "a.h5ad")
    compression.main([str(tmp_path / "a.h5ad")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2 * len(compression.WAYS)
