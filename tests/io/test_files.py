import os

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

from unbatch import simulate, tl
from unbatch._check import InputError, InputWarning
from unbatch.io.source import open_counts

from .conftest import N_CELLS, example_adata, example_counts, with_layer, write_mtx, write_zarr


def _refused(path, *words, layer=None):
    """Check that the path is refused in one line that holds all the words and its own name."""
    with pytest.raises(InputError) as caught:
        list(open_counts(path, layer=layer).blocks())
    message = str(caught.value)
    assert "\n" not in message
    for word in (*words, str(path)):
        assert word in message, message
    return message


def write_mudata(path):
    """Lay out a .zarr as mudata does."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    for name in ("obs", "var"):
        anndata.io.write_elem(root, name, pd.DataFrame(index=["a"]))
    root.create_group("mod")
    for name in ("rna", "adt"):
        write_zarr(example_adata(), path / "mod" / name, zarr_format=2)
    return path


def test_a_missing_path_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _refused("nowhere.h5ad", "does not exist", str(tmp_path))


def test_a_dangling_link_says_where_it_leads(tmp_path):
    (tmp_path / "a.h5ad").symlink_to(tmp_path / "gone.h5ad")
    _refused(tmp_path / "a.h5ad", "link to", "gone.h5ad")


def test_an_unreadable_file_says_so(tmp_path, monkeypatch, adata):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    # root may read everything, so the refusal is played
    monkeypatch.setattr("pathlib.Path.open", refuse)
    _refused(path, "may not be read", "permission")


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "a.h5ad").touch()
    _refused(tmp_path / "a.h5ad", "0 bytes")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"gene,cell\n1,2\n", "not an HDF5 file"),
        (b"\x1f\x8b\x08\x00rest", "gzipped"),
        (b"PK\x03\x04rest", "zip archive"),
    ],
)
def test_a_foreign_file_says_what_is_read(tmp_path, content, word):
    (tmp_path / "a.h5ad").write_bytes(content)
    _refused(tmp_path / "a.h5ad", word)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_truncated_h5ad_is_refused(tmp_path, adata, share, kind):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path, compression="gzip" if kind == "gzip" else None)
    os.truncate(path, int(path.stat().st_size * share))
    _refused(path, "damaged, cut short")


def test_a_damaged_chunk_is_refused_where_it_is_read(tmp_path, adata):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset + 5)
        raw.write(b"\xff" * (chunk.size - 5))
    source = open_counts(path)
    with pytest.raises(InputError, match="damaged, cut short"):
        list(source.blocks())
    with pytest.raises(InputError, match="damaged, cut short"):
        source.rows([0, 3])


@pytest.mark.parametrize(("array", "value"), [("indices", 99), ("indices", -1), ("indptr", 10**6), ("indptr", -5)])
def test_impossible_positions_are_refused(tmp_path, adata, array, value):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["X"][array][3] = value
    _refused(path, "damaged, cut short")


def test_a_damaged_zarr_chunk_is_refused(tmp_path, adata):
    path = write_zarr(adata, tmp_path / "a.zarr", zarr_format=2)
    (path / "X" / "data" / "0").write_bytes(b"\x00\x01")
    _refused(path, "damaged, cut short")


@pytest.mark.parametrize(("zarr_format", "shards", "chunk"), [(2, False, "0"), (3, False, "c/0"), (3, True, "c/0")])
def test_missing_zarr_chunks_are_noticed(tmp_path, adata, zarr_format, shards, chunk):
    path = write_zarr(adata, tmp_path / "a.zarr", zarr_format=zarr_format, shards=shards)
    (path / "X" / "data" / chunk).unlink()
    with pytest.warns(InputWarning, match=r"lacks 1 of the 1 chunks of its data, which zarr reads as zeros"):
        open_counts(path)
    (path / "X" / "indices" / chunk).unlink()
    _refused(path, "lacks 1 of the 1 chunks of its indices", "copy it again")


def test_a_chunk_of_zeros_that_zarr_does_not_store_is_none_that_is_missing(tmp_path):
    counts = np.zeros((12, 5), dtype=np.float32)
    counts[:9, 1:3], counts[9:, 0] = 1, 2  # nine cells of two genes, three of the first alone
    path = write_zarr(anndata.AnnData(sparse.csr_matrix(counts)), tmp_path / "a.zarr", zarr_format=2)
    whole = zarr.open_group(path)["X"]
    for name in ("indices", "data", "indptr"):
        array = whole[name][:]
        del whole[name]
        whole.create_array(name, shape=array.shape, chunks=(3,), dtype=array.dtype, fill_value=0)[:] = array
    assert whole["indices"].nchunks_initialized < whole["indices"].nchunks
    np.testing.assert_array_equal(open_counts(path).rows(range(12)).toarray(), counts)
    whole["indices"][:3] = 0
    _refused(path, "chunks of its indices", "copy it again")
    whole["indices"][:3] = [1, 2, 1]
    whole["indptr"][:3] = 0
    with pytest.warns(InputWarning, match="chunks of its indptr, which zarr reads as zeros"):
        open_counts(path)


def test_a_zarr_without_its_names_is_refused(tmp_path, adata):
    import shutil

    path = write_zarr(adata, tmp_path / "a.zarr", zarr_format=3)
    shutil.rmtree(path / "var")
    _refused(path, "var")


def test_other_zarr_says_what_it_holds(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_group("tables")
    _refused(tmp_path / "a.zarr", "no AnnData", "tables")


def test_other_hdf5_says_what_it_holds(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["weights"] = [1, 2]
    _refused(tmp_path / "a.h5", "neither an AnnData nor a 10x matrix", "weights")


@pytest.mark.parametrize(("marker", "word"), [("row_attrs", "loom"), ("mod", "MuData"), ("barcode_idx", "molecule")])
def test_relatives_of_the_formats_get_a_cure(tmp_path, marker, word):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group(marker)
    _refused(tmp_path / "a.h5", word)


def test_a_mudata_store_gets_the_cure_of_a_mudata_file(tmp_path):
    path = write_mudata(tmp_path / "a.zarr")
    inside = f"{path}/mod/adt, {path}/mod/rna"
    _refused(path, "a MuData file: write the modality with the RNA counts as .h5ad, or give its path, of", inside)
    assert open_counts(path / "mod" / "rna").n_cells == N_CELLS


def test_a_model_in_place_of_the_counts_is_told_from_other_files_without_any(tmp_path):
    adata = simulate(n_cells=60, n_genes=20, n_batches=2, seed=0)
    tl.batch_effects(adata, batch_key="batch")
    path = tmp_path / "fit.h5ad"
    counts, adata.X = adata.X, None
    adata.write_h5ad(path)
    _refused(path, "is what `unbatch fit` wrote and holds no counts: give the file with the counts in its place")
    _refused(path, "is what `unbatch fit` wrote", layer="counts")
    adata.layers["counts"] = counts
    adata.write_h5ad(path)
    _refused(path, "has no X: layer can be 'counts'")
    del adata.uns["unbatch"], adata.layers["counts"]
    adata.write_h5ad(path)
    _refused(path, "has no X: it holds no matrix at all")


def test_other_folders_say_where_matrices_are(tmp_path):
    write_mtx(tmp_path / "filtered")
    _refused(tmp_path, "neither a zarr store nor a 10x mtx folder", "there are matrices in", "filtered")


def test_a_missing_layer_lists_those_that_there_are(tmp_path):
    with_layer().write_h5ad(tmp_path / "a.h5ad")
    _refused(tmp_path / "a.h5ad", "no layer 'count'", "'counts'", "None (X)", layer="count")


def test_no_x_lists_the_layers(tmp_path):
    adata = with_layer()
    adata.X = None
    adata.write_h5ad(tmp_path / "a.h5ad")
    _refused(tmp_path / "a.h5ad", "no X", "'counts'")
    with pytest.raises(InputError, match="no X"):
        open_counts(adata)


def test_a_very_old_file_gets_a_cure(tmp_path, adata):
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["obs"]
        file["obs"] = np.zeros(N_CELLS, dtype=[("index", "S5")])
    _refused(path, "before 0.7")


@pytest.mark.parametrize("values", [np.array([["a", "b"]], dtype=object), np.ones((1, 2), dtype=complex)])
def test_values_that_are_no_numbers_are_refused(tmp_path, values):
    path = tmp_path / "a.h5ad"
    anndata.AnnData(np.ones((1, 2), dtype=np.float32)).write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_dataset("X", data=values, dtype=h5py.string_dtype() if values.dtype == object else None)
    _refused(path, "not numbers")


def test_a_file_without_cells_is_refused(tmp_path, adata):
    adata[:0].copy().write_h5ad(tmp_path / "a.h5ad")
    _refused(tmp_path / "a.h5ad", "0 cells")


def test_names_that_do_not_fit_the_matrix_are_refused(tmp_path, adata):
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file["X"].attrs["shape"] = [N_CELLS, 12]
    _refused(tmp_path / "a.h5ad", "12 genes but names for 11")


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch, adata):
    adata.write_h5ad(tmp_path / "a.h5ad")
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(open_counts("~/a.h5ad").rows([0]).toarray(), example_counts()[[0]].toarray())


@pytest.mark.parametrize("stored", ["<f2", ">f4", "u1", "<i8"])
def test_every_number_type_on_disk_is_read(tmp_path, adata, stored):
    path = tmp_path / "a.h5ad"
    expected = np.minimum(example_counts().toarray(), 200)
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        values = np.minimum(file["X/data"][:], 200).astype(stored)
        del file["X/data"]
        file["X/data"] = values
    np.testing.assert_array_equal(open_counts(path).rows(range(N_CELLS)).toarray(), expected)
