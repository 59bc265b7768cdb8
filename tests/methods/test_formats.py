"""The same counts give the same bits of a fit, however they are stored."""

import gzip

import anndata
import dask.array as da
import numpy as np
import pytest
import zarr
from scipy import io, sparse

import unbatch as ub
from unbatch._progress import Silent
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.io.turning import TurnedReader
from unbatch.methods.matched import fit
from unbatch.methods.matched_options import MatchedOptions

ARRAYS = ("log_delta", "se", "mu", "basis", "embedding", "sample", "expression", "informative")


@pytest.fixture(scope="module")
def adata():
    """Counts of three batches."""
    options = {"n_types": 4, "composition": 0.5, "median_depth": 600, "log_delta_sd": 0.5}
    return ub.simulate(n_batches=3, n_genes=120, n_cells=500, seed=3, **options)


def _with_x(adata, matrix):
    return anndata.AnnData(matrix, obs=adata.obs, var=adata.var)


def _h5ad(adata, tmp, **options):
    adata.write_h5ad(tmp / "a.h5ad", **options)
    return tmp / "a.h5ad"


def _zarr(adata, tmp, *, zarr_format, shards=False):
    with anndata.settings.override(zarr_write_format=zarr_format, auto_shard_zarr_v3=shards):
        anndata.io.write_elem(zarr.open_group(tmp / "a.zarr", mode="w", zarr_format=zarr_format), "/", adata)
    return tmp / "a.zarr"


def _mtx(adata, tmp):
    for name, lines in (
        ("barcodes.tsv.gz", adata.obs_names),
        ("features.tsv.gz", [f"{gene}\t{gene}\tGene Expression" for gene in adata.var_names]),
    ):
        with gzip.open(tmp / name, "wt") as file:
            file.write("\n".join(lines) + "\n")
    io.mmwrite(tmp / "matrix.mtx", adata.X.T.astype(np.int32))
    return tmp


def _dask(adata, chunks, kind=None):
    array = da.from_array(adata.X.toarray(), chunks=chunks)
    if kind is not None:
        array = array.map_blocks(kind, dtype=array.dtype, meta=kind((0, 0), dtype=array.dtype))
    return _with_x(adata, array)


FORMATS = {
    "memory, csc": lambda adata, _: _with_x(adata, sparse.csc_matrix(adata.X)),
    "memory, dense": lambda adata, _: _with_x(adata, adata.X.toarray()),
    "memory, int32": lambda adata, _: _with_x(adata, adata.X.astype(np.int32)),
    "memory, float64": lambda adata, _: _with_x(adata, adata.X.astype(np.float64)),
    "dask, csr": lambda adata, _: _dask(adata, (70, 120), sparse.csr_matrix),
    "dask, dense": lambda adata, _: _dask(adata, (70, 50)),
    "backed": lambda adata, tmp: anndata.read_h5ad(_h5ad(adata, tmp), backed="r"),
    "h5ad": _h5ad,
    "h5ad, gzip": lambda adata, tmp: _h5ad(adata, tmp, compression="gzip"),
    "h5ad, lzf": lambda adata, tmp: _h5ad(adata, tmp, compression="lzf"),
    "h5ad, dense": lambda adata, tmp: _h5ad(_with_x(adata, adata.X.toarray()), tmp),
    "h5ad, csc": lambda adata, tmp: _h5ad(_with_x(adata, sparse.csc_matrix(adata.X)), tmp),
    "zarr 2": lambda adata, tmp: _zarr(adata, tmp, zarr_format=2),
    "zarr 3": lambda adata, tmp: _zarr(adata, tmp, zarr_format=3),
    "zarr 3, shards": lambda adata, tmp: _zarr(adata, tmp, zarr_format=3, shards=True),
    "zarr 3, csc": lambda adata, tmp: _zarr(_with_x(adata, sparse.csc_matrix(adata.X)), tmp, zarr_format=3),
    "mtx": _mtx,
}


def _fitted(data, batches):
    return fit(open_counts(data), batches, MatchedOptions(), seed=0, progress=Silent())


@pytest.fixture(scope="module")
def batches(adata):
    return read_batches(open_counts(adata), "batch")


@pytest.fixture(scope="module")
def expected(adata, batches):
    return _fitted(adata, batches)


TURNED = ("h5ad, csc", "zarr 3, csc", "mtx")


@pytest.mark.parametrize("case", [*FORMATS, *(f"{kind}, turned on disk" for kind in TURNED)])
def test_format_changes_no_bit(adata, batches, expected, tmp_path, case):
    kind, on_disk = case.removesuffix(", turned on disk"), case.endswith(", turned on disk")
    with pytest.MonkeyPatch.context() as patch:
        # many blocks, of other bounds than in memory
        patch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", 50_000)
        for module in ("stored", "tenx_source") if on_disk else ():
            patch.setattr(f"unbatch.io.{module}.TURN_IN_MEMORY", -1)
        data = FORMATS[kind](adata, tmp_path)
        source = open_counts(data)
        assert len(source.bounds()) > 1
        assert isinstance(source.reader, TurnedReader) == on_disk
        found = _fitted(data, batches)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.overlap.cell, expected.overlap.cell)
