import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from unbatch._check import InputError
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


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("block_size", [2, None])
@pytest.mark.parametrize("compress", [True, False])
def test_what_is_written_is_read_by_anndata_and_by_us(tmp_path, adata, suffix, block_size, compress):
    source = open_counts(adata)
    path = tmp_path / f"out{suffix}"
    slots = {"obsm": {"X_q": np.arange(2.0 * N_CELLS).reshape(-1, 2)}, "varm": {"effects": np.ones((N_GENES, 3))}}
    uns = {"unbatch": {"batches": ["a/b", "c"], "none": None, "deep": {"x": 1.5}}}
    _write(path, source, block_size=block_size, obs=source.obs, uns=uns, compress=compress, **slots)
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_row_pointers_are_64_bit_and_values_as_asked(tmp_path, adata, suffix):
    path = tmp_path / f"out{suffix}"
    _write(path, open_counts(adata), dtype=np.int32)
    if suffix == ".h5ad":
        with h5py.File(path) as file:
            kinds = [file["X"][name].dtype for name in ("data", "indices", "indptr")]
    else:
        import zarr

        group = zarr.open_group(path, mode="r")["X"]
        kinds = [group[name].dtype for name in ("data", "indices", "indptr")]
    assert kinds == [np.int32, np.int32, np.int64]


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
