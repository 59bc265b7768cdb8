"""One way to call the command line in this process, and small inputs in every format."""

import anndata as ad
import h5py
import numpy as np
import pytest
import zarr
from scipy import io as scipy_io
from scipy import sparse
from typer.testing import CliRunner

import unbatch as ub
from unbatch.cli import app


@pytest.fixture
def run():
    """Call the command line; give its exit code, standard output and standard error."""

    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture(scope="session")
def toy():
    """150 cells x 25 genes in two batches, with known effects."""
    adata = ub.simulate(n_cells=150, n_genes=25, n_batches=2, seed=6)
    adata.obs["note"] = "kept"
    adata.var["symbol"] = [f"S{gene}" for gene in range(25)]
    return adata


def write_tenx_h5(adata, path):
    columns = sparse.csr_matrix(adata.X)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name, values in (
            ("data", columns.data.astype(np.int32)),
            ("indices", columns.indices),
            ("indptr", columns.indptr.astype(np.int64)),
            ("shape", np.array([adata.n_vars, adata.n_obs], dtype=np.int32)),
            ("barcodes", adata.obs_names.to_numpy().astype("S")),
        ):
            group.create_dataset(name, data=values)
        features = group.create_group("features")
        for name in ("id", "name"):
            features.create_dataset(name, data=adata.var_names.to_numpy().astype("S"))
        for name, value in (("feature_type", b"Gene Expression"), ("genome", b"GRCh38")):
            features.create_dataset(name, data=np.array([value] * adata.n_vars))


def write_mtx(adata, path):
    path.mkdir()
    scipy_io.mmwrite(path / "matrix.mtx", sparse.coo_matrix(adata.X.T.astype(np.int32)), field="integer")
    (path / "barcodes.tsv").write_text("".join(f"{name}\n" for name in adata.obs_names))
    (path / "features.tsv").write_text("".join(f"{name}\t{name}\tGene Expression\n" for name in adata.var_names))


def write_layer(adata, path):
    other = adata.copy()
    other.layers["counts"] = other.X
    other.X = sparse.csr_matrix(np.log1p(other.X.toarray()))
    other.write_h5ad(path)


def write_zarr(adata, path):
    with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        ad.io.write_elem(zarr.open_group(path, mode="w"), "/", adata)


def as_form(form):
    def write(adata, path):
        other = adata.copy()
        other.X = form(other.X)
        other.write_h5ad(path)

    return write


@pytest.fixture(scope="session")
def h5ad(toy, tmp_path_factory):
    """The toy as .h5ad."""
    path = tmp_path_factory.mktemp("inputs") / "toy.h5ad"
    toy.write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def model(h5ad, tmp_path_factory):
    """The fit of the toy."""
    path = tmp_path_factory.mktemp("models") / "fit.h5ad"
    done = CliRunner().invoke(app, ["fit", str(h5ad), "--batch-key", "batch", "--output", str(path)])
    assert done.exit_code == 0, done.output
    return path


WRITERS = {
    "csr.h5ad": as_form(sparse.csr_matrix),
    "csc.h5ad": as_form(sparse.csc_matrix),
    "dense.h5ad": as_form(lambda matrix: matrix.toarray()),
    "layer.h5ad": write_layer,
    "store.zarr": write_zarr,
}
BARE_WRITERS = {"tenx.h5": write_tenx_h5, "mtx": write_mtx}
"""Formats that hold no annotation of cells: there each file is a batch."""


def adjusted_by_hand(adata, model):
    """Counts over effects, from the slots of the model file."""
    fit = ad.read_h5ad(model)
    column = {name: code for code, name in enumerate(fit.uns["unbatch"]["batches"])}
    codes = [column[label] for label in adata.obs["batch"]]
    return adata.X.toarray() / np.exp(fit.varm["batch_effects"][:, codes].T)
