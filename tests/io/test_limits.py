"""Traps in HDF5 files are named before anything in them is read or memory is given to it."""

import h5py
import numpy as np
import pytest

import unbatch as ub
from unbatch._check import InputError
from unbatch.io.source import open_counts


@pytest.fixture(scope="module")
def adata():
    adata = ub.simulate(n_cells=200, n_genes=30, n_batches=2, seed=1)
    ub.tl.batch_effects(adata, batch_key="batch")
    return adata


def external_link(file, name):
    del file[name]
    file[name] = h5py.ExternalLink("/etc/hosts", "/")


def external_storage(file, name):
    shape, kind = file[name].shape, file[name].dtype
    del file[name]
    file.create_dataset(name, shape, kind, external=[("/etc/hosts", 0, h5py.h5f.UNLIMITED)])


def virtual(file, name):
    shape, kind = file[name].shape, file[name].dtype
    del file[name]
    layout = h5py.VirtualLayout(shape, kind)
    layout[:] = h5py.VirtualSource("other.h5", "x", shape)
    file.create_virtual_dataset(name, layout)


def huge(file, name):
    del file[name]
    file.create_dataset(name, (10**9, 10**6), "f8", chunks=(1000, 1000))


def huge_and_compressed(file, name):
    del file[name]
    file.create_dataset(name, (10**12,), "f4", chunks=(10**6,), compression="gzip")[:5] = 1


def soft_link(file, name):
    del file[name]
    file[name] = h5py.SoftLink("/obs")


def twice(file, name):
    del file[name]
    file[name] = file["obsm/X_unbatch"]


def circle(file, name):
    del file[name]
    file[name] = file["/"]


def deep(file, name):
    del file[name]
    file[name + "/a" * 40] = np.zeros(3)


EVERYWHERE = {
    external_link: "varm/batch_effects is a link",
    external_storage: "varm/batch_effects lies in other files",
    virtual: "varm/batch_effects lies in other files",
    deep: "groups in groups without end",
}
IN_MODELS = {
    huge: "claims 8000000000000000 bytes of which the file holds 0",
    huge_and_compressed: "claims 4000000000000 bytes",
    soft_link: "varm/batch_effects is a link",
    twice: "under two names",
    circle: "under two names|without end",
}


@pytest.mark.parametrize(("spoil", "message"), [*EVERYWHERE.items(), *IN_MODELS.items()])
def test_a_model_with_a_trap_is_refused(tmp_path, adata, spoil, message):
    adata.write_h5ad(tmp_path / "model.h5ad")
    ub.BatchModel.load(tmp_path / "model.h5ad")
    with h5py.File(tmp_path / "model.h5ad", "r+") as file:
        spoil(file, "varm/batch_effects")
    with pytest.raises(InputError, match=message):
        ub.BatchModel.load(tmp_path / "model.h5ad")


@pytest.mark.parametrize(("spoil", "message"), EVERYWHERE.items())
def test_counts_with_a_trap_are_refused(tmp_path, adata, spoil, message):
    adata.write_h5ad(tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        spoil(file, "varm/batch_effects")
    with pytest.raises(InputError, match=message):
        open_counts(tmp_path / "in.h5ad")


@pytest.mark.parametrize("spoil", [soft_link, circle])
def test_links_inside_of_a_file_of_counts_do_no_harm(tmp_path, adata, spoil):
    adata.write_h5ad(tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        spoil(file, "varm/batch_effects")
    assert open_counts(tmp_path / "in.h5ad").n_cells == 200
