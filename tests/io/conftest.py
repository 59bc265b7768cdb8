"""One small count matrix, written in every format that can be read."""

import gzip
import resource
import shutil
from contextlib import contextmanager

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import io, sparse

N_CELLS, N_GENES = 23, 11


def example_counts():
    """Counts with an empty cell, an empty gene and a count past 2^24."""
    rng = np.random.default_rng(5)
    dense = rng.poisson(0.8, size=(N_CELLS, N_GENES))
    dense[4] = 0
    dense[:, 7] = 0
    dense[2, 3] = 2**24 - 1
    return sparse.csr_array(dense.astype(np.float32))


def example_adata(kind=sparse.csr_matrix):
    """An AnnData of the example, X of the given kind."""
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(["b", "a", "a"] * 7 + ["b", "b"], categories=["b", "a"]),
            "donor": [f"d{i % 4}" for i in range(N_CELLS)],
            "n_counts": np.linspace(0, 1, N_CELLS),
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame({"gene_ids": [f"ENSG{i}" for i in range(N_GENES)]}, index=[f"gene{i}" for i in range(N_GENES)])
    counts = example_counts()
    return AnnData(kind(counts) if kind is not np.asarray else counts.toarray(), obs=obs, var=var)


def _log_normalised(adata):
    matrix = adata.X
    dense = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    return sparse.csr_matrix(np.log1p(dense))


def with_layer(kind=sparse.csr_matrix):
    """Counts in a layer, something else in X."""
    adata = example_adata(kind)
    adata.layers["counts"] = adata.X
    adata.X = _log_normalised(adata)
    return adata


def with_raw(kind=sparse.csr_matrix):
    """Counts in raw.X, something else and fewer genes in X."""
    adata = example_adata(kind)
    adata.raw = adata
    adata = adata[:, :5].copy()
    adata.X = _log_normalised(adata)
    return adata


def write_zarr(adata, path, *, zarr_format, shards=False):
    """Write with AnnData in the given zarr format."""
    with anndata.settings.override(zarr_write_format=zarr_format, auto_shard_zarr_v3=shards):
        group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
        anndata.io.write_elem(group, "/", adata)
    return path


def write_tenx_h5(path, *, extra_features=(), genome=None, counts=None):
    """Write Cell Ranger's .h5 layout 3, or layout 2 where a genome is given."""
    counts = example_counts() if counts is None else counts
    n_cells, n_genes = counts.shape
    extra = sparse.csr_array(np.ones((n_cells, len(extra_features)), dtype=np.float32))
    stored = sparse.csr_array(sparse.hstack([extra, counts])).astype(np.int32)
    names = [*extra_features, *(f"gene{i}" for i in range(n_genes))]
    ids = [*(f"AB{i}" for i in range(len(extra_features))), *(f"ENSG{i}" for i in range(n_genes))]
    kinds = ["Antibody Capture"] * len(extra_features) + ["Gene Expression"] * n_genes
    with h5py.File(path, "a") as file:
        group = file.create_group(genome or "matrix")
        group["barcodes"] = np.array([f"cell{i}" for i in range(n_cells)], dtype="S")
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(stored, name), compression="gzip")
        group["shape"] = np.array(stored.shape[::-1])
        if genome:
            group["genes"], group["gene_names"] = np.array(ids, dtype="S"), np.array(names, dtype="S")
        else:
            features = group.create_group("features")
            features["id"], features["name"] = np.array(ids, dtype="S"), np.array(names, dtype="S")
            features["feature_type"] = np.array(kinds, dtype="S")
            features["genome"] = np.array(["GRCh38"] * len(names), dtype="S")
    return path


def write_mtx(folder, *, gzipped=False, prefix="", features="features.tsv", by_cell=False):
    """Write Cell Ranger's folder with matrix.mtx."""
    folder.mkdir(exist_ok=True)
    counts = example_counts().astype(np.int64)
    io.mmwrite(folder / f"{prefix}matrix.mtx", counts if by_cell else counts.T)
    kind = "\tGene Expression" if features.startswith("features") else ""
    lines = {
        "barcodes.tsv": [f"cell{i}" for i in range(N_CELLS)],
        features: [f"ENSG{i}\tgene{i}{kind}" for i in range(N_GENES)],
    }
    for name, content in lines.items():
        (folder / f"{prefix}{name}").write_text("\n".join(content) + "\n")
    if gzipped:
        for path in list(folder.iterdir()):
            with path.open("rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            path.unlink()
    return folder


def _h5ad(adata, path, **options):
    adata.write_h5ad(path, **options)
    return path


def _unsorted(path):
    """CSR on disk as no well-behaved writer leaves it: unsorted, with a duplicate and a stored zero."""
    _h5ad(example_adata(), path)
    with h5py.File(path, "a") as file:
        group, counts = file["X"], example_counts()
        rows = []
        for cell in range(N_CELLS):
            start, stop = counts.indptr[cell : cell + 2]
            data, indices = counts.data[start:stop][::-1].tolist(), counts.indices[start:stop][::-1].tolist()
            if data and 1 < data[0] < 2**10:
                data, indices = [*data[1:], data[0] - 1, 1], [*indices[1:], indices[0], indices[0]]
            rows.append(([*data, 0], [*indices, 7]))
        for name in ("data", "indices", "indptr"):
            del group[name]
        group["data"] = np.concatenate([data for data, _ in rows]).astype(np.float32)
        group["indices"] = np.concatenate([indices for _, indices in rows]).astype(np.int64)
        group["indptr"] = np.cumsum([0, *(len(data) for data, _ in rows)])
    return path


def _backed(adata, path):
    return anndata.read_h5ad(_h5ad(adata, path), backed="r")


def _lazy(path, *, in_layer):
    """An AnnData whose matrix is an array of zarr, dense in X or sparse in a layer."""
    write_zarr(example_adata() if in_layer else example_adata(np.asarray), path, zarr_format=3)
    stored = zarr.open_group(path, mode="r")["X"]
    adata = example_adata()
    if in_layer:
        adata.layers["counts"] = anndata.io.sparse_dataset(stored)
    else:
        adata = AnnData(stored, obs=adata.obs, var=adata.var)
    return adata


def _dask(kind, chunks):
    """The example with an X of Dask, of chunks of the given kind."""
    import dask.array as da

    adata = example_adata()
    dense = da.from_array(example_counts().toarray(), chunks=chunks)
    adata.X = dense if kind is np.asarray else dense.map_blocks(kind, meta=kind(np.zeros((0, 0), dtype=np.float32)))
    return adata


def _in_layer(adata):
    adata.layers["counts"] = adata.X
    adata.X = np.zeros(adata.shape, dtype=np.float32)
    return adata


def _view(adata):
    """The example as a view of something larger in another order."""
    twice = anndata.concat([adata, adata], index_unique="-", merge="same")
    twice.obs_names = [*(f"other{i}" for i in range(N_CELLS)), *(f"cell{i}" for i in range(N_CELLS))]
    order = np.arange(2 * N_CELLS)[::-1]
    return twice[order][np.argsort(order)[N_CELLS:]]


# name -> (function that gives what open_counts reads, layer)
FORMATS = {
    "memory-csr-matrix": (lambda _: example_adata(), None),
    "memory-csr-array": (lambda _: example_adata(sparse.csr_array), None),
    "memory-csc-matrix": (lambda _: example_adata(sparse.csc_matrix), None),
    "memory-csc-array": (lambda _: example_adata(sparse.csc_array), None),
    "memory-dense": (lambda _: example_adata(np.asarray), None),
    "memory-layer": (lambda _: with_layer(), "counts"),
    "memory-raw": (lambda _: with_raw(), "raw"),
    "memory-view": (lambda _: _view(example_adata()), None),
    "memory-view-csc": (lambda _: _view(example_adata(sparse.csc_matrix)), None),
    "memory-view-dense": (lambda _: _view(example_adata(np.asarray)), None),
    "memory-view-layer": (lambda _: _view(with_layer()), "counts"),
    "lazy-dense": (lambda tmp: _lazy(tmp / "a.zarr", in_layer=False), None),
    "lazy-csr-layer": (lambda tmp: _lazy(tmp / "a.zarr", in_layer=True), "counts"),
    "dask-csr": (lambda _: _dask(sparse.csr_matrix, (4, N_GENES)), None),
    "dask-csr-array": (lambda _: _dask(sparse.csr_array, (30, N_GENES)), None),
    "dask-csr-grid": (lambda _: _dask(sparse.csr_matrix, (5, 4)), None),
    "dask-csc": (lambda _: _dask(sparse.csc_matrix, (7, N_GENES)), None),
    "dask-dense": (lambda _: _dask(np.asarray, (4, 3)), None),
    "dask-view": (lambda _: _view(_dask(sparse.csr_matrix, (4, N_GENES))), None),
    "dask-layer": (lambda _: _in_layer(_dask(sparse.csr_matrix, (1, N_GENES))), "counts"),
    "backed-csr": (lambda tmp: _backed(example_adata(), tmp / "a.h5ad"), None),
    "backed-csc": (lambda tmp: _backed(example_adata(sparse.csc_matrix), tmp / "a.h5ad"), None),
    "backed-dense": (lambda tmp: _backed(example_adata(np.asarray), tmp / "a.h5ad"), None),
    "backed-view": (lambda tmp: _backed(example_adata(), tmp / "a.h5ad")[np.arange(N_CELLS)], None),
    "backed-raw": (lambda tmp: _backed(with_raw(), tmp / "a.h5ad"), "raw"),
    "h5ad-csr": (lambda tmp: _h5ad(example_adata(), tmp / "a.h5ad"), None),
    "h5ad-csr-gzip": (lambda tmp: _h5ad(example_adata(), tmp / "a.h5ad", compression="gzip"), None),
    "h5ad-csr-lzf": (lambda tmp: _h5ad(example_adata(), tmp / "a.h5ad", compression="lzf"), None),
    "h5ad-csr-unsorted": (lambda tmp: _unsorted(tmp / "a.h5ad"), None),
    "h5ad-csc": (lambda tmp: _h5ad(example_adata(sparse.csc_matrix), tmp / "a.h5ad"), None),
    "h5ad-csc-gzip": (lambda tmp: _h5ad(example_adata(sparse.csc_matrix), tmp / "a.h5ad", compression="gzip"), None),
    "h5ad-dense": (lambda tmp: _h5ad(example_adata(np.asarray), tmp / "a.h5ad"), None),
    "h5ad-dense-gzip": (lambda tmp: _h5ad(example_adata(np.asarray), tmp / "a.h5ad", compression="gzip"), None),
    "h5ad-layer": (lambda tmp: _h5ad(with_layer(), tmp / "a.h5ad"), "counts"),
    "h5ad-layer-csc": (lambda tmp: _h5ad(with_layer(sparse.csc_matrix), tmp / "a.h5ad"), "counts"),
    "h5ad-layer-dense": (lambda tmp: _h5ad(with_layer(np.asarray), tmp / "a.h5ad"), "counts"),
    "h5ad-raw": (lambda tmp: _h5ad(with_raw(), tmp / "a.h5ad"), "raw"),
    "h5ad-raw-csc": (lambda tmp: _h5ad(with_raw(sparse.csc_matrix), tmp / "a.h5ad"), "raw"),
    "h5ad-raw-dense": (lambda tmp: _h5ad(with_raw(np.asarray), tmp / "a.h5ad"), "raw"),
    "zarr2-csr": (lambda tmp: write_zarr(example_adata(), tmp / "a.zarr", zarr_format=2), None),
    "zarr2-csc": (lambda tmp: write_zarr(example_adata(sparse.csc_matrix), tmp / "a.zarr", zarr_format=2), None),
    "zarr2-dense": (lambda tmp: write_zarr(example_adata(np.asarray), tmp / "a.zarr", zarr_format=2), None),
    "zarr3-csr": (lambda tmp: write_zarr(example_adata(), tmp / "a.zarr", zarr_format=3), None),
    "zarr3-csr-sharded": (lambda tmp: write_zarr(example_adata(), tmp / "a.zarr", zarr_format=3, shards=True), None),
    "zarr3-dense-sharded": (
        lambda tmp: write_zarr(example_adata(np.asarray), tmp / "a.zarr", zarr_format=3, shards=True),
        None,
    ),
    "zarr3-layer": (lambda tmp: write_zarr(with_layer(), tmp / "a.zarr", zarr_format=3), "counts"),
    "zarr3-raw": (lambda tmp: write_zarr(with_raw(), tmp / "a.zarr", zarr_format=3), "raw"),
    "10x-h5-v3": (lambda tmp: write_tenx_h5(tmp / "a.h5"), None),
    "10x-h5-v2": (lambda tmp: write_tenx_h5(tmp / "a.h5", genome="GRCh38"), None),
    "10x-mtx": (lambda tmp: write_mtx(tmp / "a"), None),
    "10x-mtx-gzip": (lambda tmp: write_mtx(tmp / "a", gzipped=True), None),
    "10x-mtx-old": (lambda tmp: write_mtx(tmp / "a", features="genes.tsv"), None),
    "10x-mtx-prefix": (lambda tmp: write_mtx(tmp / "a", gzipped=True, prefix="GSM1_x_"), None),
    "10x-mtx-by-cell": (lambda tmp: write_mtx(tmp / "a", by_cell=True), None),
}


@pytest.fixture(params=FORMATS)
def any_format(request, tmp_path):
    """Every format in turn: what open_counts reads, and the layer to ask for."""
    make, layer = FORMATS[request.param]
    data = make(tmp_path)
    yield data, layer
    if isinstance(data, AnnData) and data.isbacked:
        data.file.close()


@pytest.fixture
def adata():
    """The example in memory."""
    return example_adata()


@pytest.fixture
def file_size_limit():
    """A context in which no file can grow beyond so many bytes, as on a disk that is full."""

    @contextmanager
    def limited(n_bytes):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
