import gc
import logging
import os
import stat
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.readers import WholeReader
from unbatch.io.source import open_counts
from unbatch.io.turning import Entries, TurnedReader

from .conftest import N_CELLS, example_adata, example_counts, write_mtx, write_tenx_h5, write_zarr

FORMATS = {
    "h5ad": lambda tmp: _csc_h5ad(tmp / "a.h5ad"),
    "gzip": lambda tmp: _csc_h5ad(tmp / "a.h5ad", compression="gzip"),
    "zarr": lambda tmp: write_zarr(example_adata(sparse.csc_matrix), tmp / "a.zarr", zarr_format=3, shards=True),
    "mtx": lambda tmp: write_mtx(tmp / "a"),
    "mtx-gzip": lambda tmp: write_mtx(tmp / "a", gzipped=True),
    "mtx-by-cell": lambda tmp: write_mtx(tmp / "a", by_cell=True),
}


def _csc_h5ad(path, **options):
    example_adata(sparse.csc_matrix).write_h5ad(path, **options)
    return path


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Everything is turned on disk, in this folder."""
    for module in ("stored", "tenx_source"):
        monkeypatch.setattr(f"unbatch.io.{module}.TURN_IN_MEMORY", -1)
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def _turned_in(scratch):
    """The one folder with turned rows; beside it lies only its lock."""
    folder, lock = sorted(scratch.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (folder.stem, lock.suffix) == (lock.stem, ".lock")
    return folder


def _with_memory(source, memory):
    return replace(source, reader=replace(source.reader, memory=memory))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("memory", [1, 200, 1000, 2**20])
def test_any_memory_gives_the_bits_of_csr(tmp_path, scratch, kind, memory):
    source = _with_memory(open_counts(FORMATS[kind](tmp_path)), memory)
    assert isinstance(source.reader, TurnedReader)
    assert source.reader.row_bytes == example_counts().nnz * (source.reader.dtype.itemsize + 4) / N_CELLS
    for block_size in (None, 4):
        (walked, expected) = (
            sparse.vstack([b.counts for b in source.blocks(block_size)], format="csr"),
            example_counts(),
        )
        for name in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(walked, name), getattr(expected, name))
        assert walked.dtype == source.reader.dtype
    np.testing.assert_array_equal(source.rows([2, 5]).toarray(), expected[[2, 5]].toarray())
    assert _turned_in(scratch).is_dir()


@pytest.mark.parametrize("kind", ["h5ad", "mtx"])
def test_what_is_small_is_turned_in_memory(tmp_path, kind):
    assert isinstance(open_counts(FORMATS[kind](tmp_path)).reader, WholeReader)


def test_a_message_says_that_it_is_turned_once(tmp_path, scratch, caplog):
    source = open_counts(_csc_h5ad(tmp_path / "a.h5ad"))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        list(source.blocks())
        list(source.blocks(3))
    (record,) = caplog.records
    assert f"X of {tmp_path / 'a.h5ad'} is stored by column" in record.getMessage()
    assert f"once, in a scratch file in {scratch}" in record.getMessage()


def test_scratch_files_are_for_their_owner_and_go_with_the_source(tmp_path, scratch):
    source = open_counts(_csc_h5ad(tmp_path / "a.h5ad"))
    list(source.blocks())
    folder = _turned_in(scratch)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    del source
    gc.collect()
    assert list(scratch.iterdir()) == []


def test_scratch_files_go_when_the_program_ends(tmp_path, scratch):
    import subprocess
    import sys

    path = _csc_h5ad(tmp_path / "a.h5ad")
    program = (
        "import unbatch.io.stored as stored, os\n"
        "from unbatch.io.source import open_counts\n"
        "stored.TURN_IN_MEMORY = -1\n"
        f"source = open_counts({str(path)!r})\n"
        "next(source.blocks())\n"
        f"print(len(os.listdir({str(scratch)!r})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["2"]
    assert len(done.stderr.splitlines()) == 1
    assert "turned to rows once" in done.stderr
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("array", "at", "value"), [("indices", 3, 99), ("indices", 3, -1), ("indptr", 3, 10**6), ("indptr", -1, 5)]
)
def test_damage_is_refused_and_leaves_nothing(tmp_path, scratch, array, at, value):
    path = _csc_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        values = file["X"][array]
        values[len(values) + at if at < 0 else at] = value
    with pytest.raises(InputError, match="damaged, cut short"):
        list(open_counts(path).blocks())
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("change", [lambda lines: lines[:-1], lambda lines: [*lines[:-1], "1 x 3"]])
def test_text_that_is_cut_short_or_not_numbers_is_refused(tmp_path, scratch, change):
    path = write_mtx(tmp_path / "a") / "matrix.mtx"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(InputError, match="damaged, cut short"):
        list(open_counts(path).blocks())
    assert list(scratch.iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path, scratch, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    source = open_counts(_csc_h5ad(tmp_path / "a.h5ad"))
    monkeypatch.setattr("unbatch.io.turning._write_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        source.bounds()
    assert list(scratch.iterdir()) == []


def test_too_little_room_is_said_before_anything_is_read(tmp_path, scratch, monkeypatch):
    source = open_counts(_csc_h5ad(tmp_path / "a.h5ad"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(InputError, match=r"up to 0\.0 GB in .*: give a scratch folder with more room"):
        list(source.blocks())
    assert list(scratch.iterdir()) == []


def test_a_full_disk_is_no_damaged_input(tmp_path, scratch, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    source = open_counts(_csc_h5ad(tmp_path / "a.h5ad"))
    monkeypatch.setattr("unbatch.io.growing.GrowingArray.append", fail)
    with pytest.raises(InputError, match=r"scratch file in .* could not be written \(No space left on device\)"):
        list(source.blocks())
    assert list(scratch.iterdir()) == []


@pytest.mark.usefixtures("scratch")
def test_duplicates_are_added_up_and_zeros_dropped():
    def entries(number):
        rows, columns, values = np.array([2, 0, 2, 1, 2]), np.array([1, 3, 1, 2, 0]), np.array([4.0, 1, 5, 0, 6])
        for start in range(0, rows.size, number):
            yield Entries(*(array[start : start + number] for array in (rows, columns, values)))

    for memory in (1, 2**20):
        reader = TurnedReader(entries, 5, (3, 4), np.dtype(np.float64), "the example", memory)
        with reader.open() as read:
            counts = read(0, 3)
        assert counts.toarray().tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [6, 9, 0, 0]]
        assert counts.nnz == 3


@pytest.mark.usefixtures("scratch")
def test_memory_is_bounded():
    n_cells, per_gene, memory = 20_000, 10_000, 2**21

    def entries(number):
        for gene in range(200):
            rows = np.random.default_rng(gene).permutation(n_cells)[:per_gene].astype(np.int32)
            for start in range(0, per_gene, number):
                piece = rows[start : start + number]
                yield Entries(piece, np.full(piece.size, gene, dtype=np.int32), np.ones(piece.size, dtype=np.float32))

    reader = TurnedReader(entries, 200 * per_gene, (n_cells, 200), np.dtype(np.float32), "the example", memory)
    with TurnedReader(entries, 200 * per_gene, (n_cells, 200), np.dtype(np.float32), "a first one").open():
        pass  # compiled
    tracemalloc.start()
    with reader.open():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * memory
    assert 8 * 200 * per_gene > 7 * memory


def test_10x_h5_needs_no_turning(tmp_path, scratch):
    list(open_counts(write_tenx_h5(tmp_path / "a.h5")).blocks())
    assert list(scratch.iterdir()) == []
