import zlib
from concurrent.futures import ThreadPoolExecutor

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from unbatch._check import InputError
from unbatch.io.growing import COMPRESSIONS, GrowingArray
from unbatch.io.sink import CountSink, write_h5ad
from unbatch.io.source import Block, open_counts

from .conftest import N_CELLS, N_GENES, example_counts

SUFFIXES = [".h5ad", ".zarr"]


def _read(path):
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)


def _write(path, source, *, block_size=4, **options):
    with CountSink(path, var=source.var, **options) as sink:
        for block in source.blocks(block_size):
            sink.append(block)


@pytest.mark.parametrize(
    ("suffix", "compression"),
    [(suffix, name) for suffix, names in COMPRESSIONS.items() for name in (*names, "auto", None)],
)
@pytest.mark.parametrize("block_size", [2, None])
def test_what_is_written_is_read_by_anndata_and_by_us(tmp_path, adata, suffix, block_size, compression):
    source = open_counts(adata)
    path = tmp_path / f"out{suffix}"
    slots = {"obsm": {"X_q": np.arange(2.0 * N_CELLS).reshape(-1, 2)}, "varm": {"effects": np.ones((N_GENES, 3))}}
    uns = {"unbatch": {"batches": ["a/b", "c"], "none": None, "deep": {"x": 1.5}}}
    _write(path, source, block_size=block_size, obs=source.obs, uns=uns, compression=compression, **slots)
    read = _read(path)
    np.testing.assert_array_equal(read.X.toarray(), example_counts().toarray())
    assert read.X.dtype == np.float32
    assert read.X.has_canonical_format
    pd.testing.assert_frame_equal(read.obs, adata.obs, check_categorical=False)
    pd.testing.assert_frame_equal(read.var, adata.var)
    np.testing.assert_array_equal(read.obsm["X_q"], slots["obsm"]["X_q"])
    np.testing.assert_array_equal(read.varm["effects"], slots["varm"]["effects"])
    assert list(read.uns["unbatch"]["batches"]) == ["a/b", "c"]
    assert read.uns["unbatch"]["deep"]["x"] == 1.5
    np.testing.assert_array_equal(open_counts(path).rows(range(N_CELLS)).toarray(), example_counts().toarray())


def test_annotation_may_come_last_and_blocks_may_be_empty(tmp_path, adata):
    with CountSink(tmp_path / "out.h5ad", var=adata.var) as sink:
        sink.append(Block(0, example_counts()[:0]))
        sink.append(Block(0, example_counts()[4:5]))
        sink.append(Block(1, example_counts()[:2]))
        sink.obs = adata.obs[:3]
        sink.uns["note"] = "late"
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert read.obs_names.tolist() == ["cell0", "cell1", "cell2"]
    assert read.uns["note"] == "late"
    np.testing.assert_array_equal(read.X.toarray(), example_counts()[[4, 0, 1]].toarray())


def test_without_obs_cells_are_numbered(tmp_path, adata):
    _write(tmp_path / "out.h5ad", open_counts(adata))
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obs_names.tolist() == [str(cell) for cell in range(N_CELLS)]


def _group(path):
    return zarr.open_group(path, mode="r")["X"] if path.suffix == ".zarr" else h5py.File(path)["X"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_row_pointers_are_as_narrow_as_they_may_be_and_values_as_asked(tmp_path, adata, suffix):
    path = tmp_path / f"out{suffix}"
    _write(path, open_counts(adata), dtype=np.int32)
    assert [_group(path)[name].dtype for name in ("data", "indices", "indptr")] == [np.int32, np.int32, np.int32]


def test_row_pointers_past_2_to_the_31(tmp_path, adata):
    with CountSink(tmp_path / "out.h5ad", var=adata.var) as sink:
        sink.append(Block(0, example_counts()))
        # as if much had been written before
        sink._lengths.insert(0, np.array([2**31 - 1, 5], dtype=np.int32))
        sink.n_stored += 2**31 + 4
        sink.n_cells += 2
    with h5py.File(tmp_path / "out.h5ad") as file:
        pointers = file["X/indptr"][:]
    assert pointers.dtype == np.int64
    assert pointers[:3].tolist() == [0, 2**31 - 1, 2**31 + 4]
    assert pointers[2:].tolist() == (example_counts().indptr.astype(np.int64) + 2**31 + 4).tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scikit_learn_takes_what_is_read_back(tmp_path, adata, suffix):
    from sklearn.decomposition import PCA

    path = tmp_path / f"out{suffix}"
    _write(path, open_counts(adata))
    assert PCA(2, svd_solver="arpack", random_state=0).fit_transform(_read(path).X).shape == (N_CELLS, 2)


def _codec(compressor):
    return compressor and getattr(compressor, "cname", compressor.codec_id)


def test_compression_is_what_was_chosen(tmp_path, adata):
    found = {}
    for suffix, names in COMPRESSIONS.items():
        for name in (*names, None):
            path = tmp_path / f"{name}{suffix}"
            _write(path, open_counts(adata), compression=name)
            array = _group(path)["data"]
            found[name, suffix] = (
                (array.compression, array.shuffle) if suffix == ".h5ad" else _codec(array.metadata.compressor)
            )
    assert found == {
        ("gzip", ".h5ad"): ("gzip", True),
        ("lzf", ".h5ad"): ("lzf", True),
        (None, ".h5ad"): (None, False),
        ("lz4", ".zarr"): "lz4",
        ("zstd", ".zarr"): "zstd",
        ("gzip", ".zarr"): "gzip",
        (None, ".zarr"): None,
    }


@pytest.mark.parametrize(("name", "suffix"), [("lzf", ".zarr"), ("zstd", ".h5ad"), ("best", ".h5ad")])
def test_another_compression_is_refused_with_the_choices(tmp_path, adata, name, suffix):
    choices = ", ".join(repr(choice) for choice in COMPRESSIONS[suffix])
    with pytest.raises(
        InputError, match=f"{suffix} cannot be compressed by '{name}': choose one of {choices}, or none"
    ):
        CountSink(tmp_path / f"out{suffix}", var=adata.var, compression=name)


@pytest.mark.parametrize("kind", ["f4", "f8", "i2"])
def test_helpers_write_what_hdf5_would(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("unbatch.io.growing._HDF5_CHUNK", 8)
    values = np.random.default_rng(0).poisson(2, 100).astype(kind)
    chunks = []
    for helpers in (None, ThreadPoolExecutor(2)):
        with h5py.File(tmp_path / f"{helpers is None}.h5", "w") as file:
            array = GrowingArray(file, "a", np.dtype(kind), compression="gzip", helpers=helpers)
            for start in range(0, 100, 30):
                array.append(values[start : start + 30])
            array.flush()
            assert file["a"][:].tolist() == values.tolist()
            chunks.append([file["a"].id.read_direct_chunk((start,)) for start in range(0, 100, 8)])
    assert [mask for mask, _ in chunks[1]] == [0] * 13
    unpacked = [[zlib.decompress(chunk) for _, chunk in each] for each in chunks]
    assert unpacked[0] == unpacked[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_output(tmp_path, adata, suffix, error):
    path = tmp_path / f"out{suffix}"
    _write(path, open_counts(adata))

    def fail():
        with CountSink(path, var=adata.var) as sink:
            sink.append(Block(0, example_counts()[:3]))
            raise error

    with pytest.raises(error):
        fail()
    assert _read(path).n_obs == N_CELLS
    assert list(tmp_path.iterdir()) == [path]


def test_blocks_must_follow_each_other_and_fit(tmp_path, adata):
    def append(block, **options):
        with CountSink(tmp_path / "out.h5ad", var=adata.var, **options) as sink:
            sink.append(block)

    with pytest.raises(ValueError, match="starts at cell 0, got one that starts at 3"):
        append(Block(3, example_counts()))
    with pytest.raises(ValueError, match="block has 10 genes, var has 11"):
        append(Block(0, example_counts()[:, :10]))
    with pytest.raises(ValueError, match="values that int32 cannot"):
        append(Block(0, example_counts() * np.float32(0.3)), dtype=np.int32)
    with pytest.raises(InputError, match="23 cells were written, obs has 3 rows"):
        append(Block(0, example_counts()), obs=adata.obs[:3])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_input_is_not_overwritten_while_it_is_read(tmp_path, adata, suffix):
    path = tmp_path / f"out{suffix}"
    _write(path, open_counts(adata))
    source = open_counts(path)
    with pytest.raises(InputError, match="is the input"):
        _write(path, source, inputs=source.paths)
    assert _read(path).n_obs == N_CELLS


def test_the_ending_says_how_to_write(tmp_path, adata):
    with pytest.raises(InputError, match=r"use .h5ad or .zarr"):
        CountSink(tmp_path / "out.csv", var=adata.var)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_stored_is_named(tmp_path, adata, suffix):
    with pytest.raises(InputError, match=r"holds what AnnData cannot store.*'odd'"):
        _write(tmp_path / f"out{suffix}", open_counts(adata), uns={"odd": object()})
    assert list(tmp_path.iterdir()) == []


def test_write_h5ad_gives_the_same_back_and_changes_nothing(tmp_path, adata):
    adata.X = None
    adata.obs["name"] = [f"n{i}" for i in range(N_CELLS)]
    adata.uns["text"] = "x"
    kind = adata.obs["name"].dtype
    write_h5ad(tmp_path / "out.h5ad", adata)
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert read.X is None
    assert read.uns["text"] == "x"
    assert read.obs["name"].tolist() == adata.obs["name"].tolist()
    assert adata.obs["name"].dtype == kind


def test_write_h5ad_compresses_what_gets_smaller(tmp_path, adata):
    random = np.random.default_rng(0).normal(size=(N_GENES, 2))
    adata.varm["random"], adata.varm["sparse"] = random, np.where(np.arange(N_GENES)[:, None] == 0, random, 0.0)
    adata.varm["whole"] = np.ones((N_GENES, 2))
    adata.uns["counts"], adata.uns["one"] = np.arange(10), np.float64(0.5)
    path = tmp_path / "out.h5ad"
    write_h5ad(path, adata)
    with h5py.File(path) as file:
        assert file["varm/random"].compression is None
        smaller = ("varm/sparse", "varm/whole", "uns/counts")
        assert [file[name].compression for name in smaller] == ["gzip"] * len(smaller)
    np.testing.assert_array_equal(anndata.read_h5ad(path).varm["random"], random)


def test_write_h5ad_refuses_its_input_and_what_cannot_be_stored(tmp_path, adata):
    path = tmp_path / "in.h5ad"
    adata.write_h5ad(path)
    with pytest.raises(InputError, match="is the input"):
        write_h5ad(path, adata, inputs=[path])
    adata.obs["mixed"] = np.array([1, "x"] * 11 + [2], dtype=object)
    with pytest.raises(InputError, match=r"cannot store.*'mixed'"):
        write_h5ad(tmp_path / "out.h5ad", adata)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_blocks_of_any_size_against_chunks(tmp_path, adata, suffix, monkeypatch):
    monkeypatch.setattr("unbatch.io.growing._HDF5_CHUNK", 5)
    monkeypatch.setattr("unbatch.io.growing._ZARR_CHUNK", 5)
    for block_size in (1, 2, 10):
        path = tmp_path / f"out{block_size}{suffix}"
        _write(path, open_counts(adata), block_size=block_size)
        read = _read(path).X
        assert read.has_canonical_format
        np.testing.assert_array_equal(read.toarray(), example_counts().toarray())


def test_ctrl_c_is_not_lost_in_the_writing(tmp_path, adata):
    """Python drops an interruption that arrives while h5py releases an object: the main thread must not be there."""
    import threading

    writers = set()
    original = h5py.Dataset.__setitem__
    with pytest.MonkeyPatch.context() as patch:

        def watch(self, *args):
            writers.add(threading.current_thread().name.split("_")[0])
            return original(self, *args)

        patch.setattr(h5py.Dataset, "__setitem__", watch)
        patch.setattr("unbatch.io.growing._HDF5_CHUNK", 5)
        _write(tmp_path / "out.h5ad", open_counts(adata), obs=adata.obs)
    assert writers == {"unbatch-writer"}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("unbatch-writer")]


def test_a_failing_disk_is_one_sentence(tmp_path, adata, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unbatch.io.growing.GrowingArray.append", fail)
    with pytest.raises(InputError, match=r"out.h5ad could not be written: No space left on device"):
        _write(tmp_path / "out.h5ad", open_counts(adata))
    assert list(tmp_path.iterdir()) == []
