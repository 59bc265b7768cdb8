import h5py
import numpy as np
import pytest

from unbatch.io import gzip_chunks
from unbatch.io.gzip_chunks import GzipChunks
from unbatch.io.spans import Spans

N = 1003
VALUES = np.random.default_rng(0).integers(0, 2**20, N)


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        yield file


def stored(file, dtype="f4", *, chunk=50, compression="gzip", **options):
    return file.create_dataset("x", data=VALUES.astype(dtype), chunks=(chunk,), compression=compression, **options)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u2"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("chunk", [1, 50, N, 17])
def test_values_are_those_of_hdf5(file, dtype, shuffle, chunk):
    array = stored(file, dtype, chunk=chunk, shuffle=shuffle)
    reader = GzipChunks.of(array)
    rng = np.random.default_rng(1)
    for start, stop in np.sort(rng.integers(0, N + 1, (20, 2)), axis=1).tolist():
        out = np.empty(stop - start, array.dtype)
        reader.read(out, start)
        np.testing.assert_array_equal(out, VALUES.astype(dtype)[start:stop])


def test_what_is_not_packed_by_gzip_alone_is_left_to_hdf5(file, monkeypatch):
    assert GzipChunks.of(stored(file, compression=None)) is None
    assert GzipChunks.of(file.create_dataset("lzf", data=VALUES, chunks=(50,), compression="lzf")) is None
    checked = file.create_dataset("checked", data=VALUES, chunks=(50,), compression="gzip", fletcher32=True)
    assert GzipChunks.of(checked) is None
    assert GzipChunks.of(file.create_dataset("swapped", data=VALUES.astype(">i8"), compression="gzip")) is None
    assert GzipChunks.of(file.create_dataset("whole", data=VALUES)) is None
    assert GzipChunks.of(VALUES) is None
    table = file.create_dataset("table", data=VALUES[:1000].reshape(10, 100), compression="gzip")
    assert GzipChunks.of(table) is None
    assert GzipChunks.of(file["lzf"]) is None
    monkeypatch.setattr(gzip_chunks, "_LARGEST", 50 * 8 - 1)
    assert GzipChunks.of(file.create_dataset("large", data=VALUES, chunks=(50,), compression="gzip")) is None


def test_chunks_that_were_never_written_or_not_packed_are_read_by_hdf5(file):
    array = file.create_dataset("x", shape=(200,), dtype="i4", chunks=(50,), compression="gzip", fillvalue=7)
    array[50:100] = np.arange(50)
    array.id.write_direct_chunk((100,), np.arange(100, 150, dtype="i4").tobytes(), filter_mask=1)
    out = np.empty(200, "i4")
    GzipChunks.of(array).read(out, 0)
    np.testing.assert_array_equal(out, [7] * 50 + [*range(50)] + [*range(100, 150)] + [7] * 50)


@pytest.mark.parametrize("spoilt", [b"no gzip", b"\x78\x9c" + bytes(20)])
def test_of_a_damaged_chunk_hdf5_says_so(file, spoilt):
    array = stored(file)
    array.id.write_direct_chunk((100,), spoilt)
    reader, out = GzipChunks.of(array), np.empty(100, "f4")
    reader.read(out, 0)
    np.testing.assert_array_equal(out, VALUES[:100].astype("f4"))
    with pytest.raises(OSError, match="read"):
        reader.read(out, 50)


def test_a_chunk_that_unpacks_to_more_than_it_may_is_refused_before_it_does(file):
    import zlib

    array = stored(file)
    array.id.write_direct_chunk((0,), zlib.compress(bytes(2**24)))
    assert GzipChunks.of(array)._unpacked(0) is None


@pytest.mark.parametrize(("stored_as", "wanted"), [("f4", "f4"), ("i8", "i4"), ("f8", "f4"), ("i4", "f4")])
def test_spans_read_this_way(file, monkeypatch, stored_as, wanted):
    array, usual, read = stored(file, stored_as), GzipChunks.read, []

    def watched(self, out, start):
        read.append((start, out.size))
        usual(self, out, start)

    monkeypatch.setattr(GzipChunks, "read", watched)
    np.testing.assert_array_equal(Spans(array, np.dtype(wanted)).read(50, 120), VALUES[50:120].astype(wanted))
    assert read == [(50, 50), (100, 50)]
