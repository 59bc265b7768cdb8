import os
import shutil

import h5py
import pytest
import zarr

from unbatch._check import InputError
from unbatch.io import tenx_source
from unbatch.io.atomic import replacing
from unbatch.io.readers import WholeReader
from unbatch.io.source import open_counts
from unbatch.io.turning import TurnedReader

from .conftest import example_adata, example_counts, write_mtx, write_zarr

CHANGED = "was changed or replaced while it was read"


def _h5ad(path, adata):
    adata.write_h5ad(path)
    return path


WRITERS = {
    "h5ad": lambda tmp, adata: _h5ad(tmp / "a.h5ad", adata),
    "zarr2": lambda tmp, adata: write_zarr(adata, tmp / "a.zarr", zarr_format=2),
    "zarr3": lambda tmp, adata: write_zarr(adata, tmp / "a.zarr", zarr_format=3),
}


def _replace(path, tmp):
    """Put another output in the place, with the same names but other counts, as `unbatch adjust` does."""
    other = example_adata()
    other.X = other.X * 2
    (tmp / "other").mkdir()
    written = WRITERS["h5ad" if path.suffix == ".h5ad" else "zarr2"](tmp / "other", other)
    with replacing(path, folder=path.is_dir()) as temporary:
        if path.is_dir():
            shutil.copytree(written, temporary, dirs_exist_ok=True)
        else:
            shutil.copyfile(written, temporary)


@pytest.mark.parametrize("kind", WRITERS)
def test_the_second_walk_is_never_over_another_file(tmp_path, kind):
    path = WRITERS[kind](tmp_path, example_adata())
    source = open_counts(path)
    list(source.blocks())
    _replace(path, tmp_path)
    with pytest.raises(InputError, match=CHANGED):
        list(source.blocks())
    assert next(open_counts(path).blocks()).counts.sum() == 2 * example_adata().X.sum()


@pytest.mark.parametrize("kind", WRITERS)
def test_no_walk_has_half_of_each(tmp_path, kind):
    """An open file stays the old one to its end; of a folder, what comes after is refused."""
    path = WRITERS[kind](tmp_path, example_adata())
    walk = open_counts(path).blocks(block_size=5)
    blocks = [next(walk)]
    _replace(path, tmp_path)
    if kind == "h5ad":
        blocks += walk
        assert sum(block.counts.sum(dtype=float) for block in blocks) == example_adata().X.sum(dtype=float)
    else:
        with pytest.raises(InputError, match=CHANGED):
            list(walk)


def test_a_file_that_is_written_to_is_refused(tmp_path):
    path = _h5ad(tmp_path / "a.h5ad", example_adata())
    source = open_counts(path)
    with h5py.File(path, "a") as file:
        file["X"]["data"][0] = 77
    os.utime(path, ns=(1, 1))  # the clock of the file system may be coarse
    with pytest.raises(InputError, match=CHANGED):
        list(source.blocks())


def test_a_store_that_is_not_touched_is_read_as_often_as_wanted(tmp_path):
    path = write_zarr(example_adata(), tmp_path / "a.zarr", zarr_format=3)
    source = open_counts(path)
    assert zarr.open_group(path, mode="r")["X"].attrs["encoding-type"] == "csr_matrix"
    assert [len(list(source.blocks())) for _ in range(3)] == [1, 1, 1]


@pytest.fixture(params=["in memory", "on disk"])
def way(request, tmp_path, monkeypatch):
    """Both ways to turn text to rows."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if request.param == "on disk":
        monkeypatch.setattr("unbatch.io.tenx_source.TURN_IN_MEMORY", -1)
    return request.param


def test_a_10x_folder_that_is_not_touched_is_read_as_often_as_wanted(tmp_path, way):
    source = open_counts(write_mtx(tmp_path / "a"))
    assert isinstance(source.reader, WholeReader if way == "in memory" else TurnedReader)
    for _ in range(2):
        assert sum(block.counts.sum(dtype=float) for block in source.blocks(5)) == example_counts().sum(dtype=float)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["matrix.mtx", "barcodes.tsv", "features.tsv"])
def test_a_10x_folder_of_which_a_file_is_replaced_after_it_was_opened_is_refused(tmp_path, name):
    folder, other = write_mtx(tmp_path / "a"), write_mtx(tmp_path / "b")
    source = open_counts(folder)
    os.utime(other / name, ns=(1, 1))
    (other / name).replace(folder / name)
    with pytest.raises(InputError, match=f"{name} {CHANGED}"):
        list(source.blocks())


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "cut short"])
def test_a_10x_folder_that_is_replaced_while_it_is_turned_is_refused(tmp_path, way, monkeypatch, broken):
    folder = write_mtx(tmp_path / "a")
    source = open_counts(folder)
    name = "check_text" if way == "in memory" else "read_entries"
    before = getattr(tenx_source, name)

    def meanwhile(path, *arguments, **options):
        text = path.read_text()
        path.write_text(text[: len(text) // 2] if broken else text.replace(" 1\n", " 2\n"))
        os.utime(path, ns=(1, 1))
        return before(path, *arguments, **options)

    monkeypatch.setattr(tenx_source, name, meanwhile)
    with pytest.raises(InputError, match=CHANGED):
        list(source.blocks())


def test_a_10x_folder_that_is_replaced_while_its_names_are_read_is_refused(tmp_path, monkeypatch):
    folder = write_mtx(tmp_path / "a")
    before = tenx_source._table

    def meanwhile(path):
        os.utime(folder / "matrix.mtx", ns=(1, 1))
        return before(path)

    monkeypatch.setattr(tenx_source, "_table", meanwhile)
    with pytest.raises(InputError, match=CHANGED):
        open_counts(folder)
