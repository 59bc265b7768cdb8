import h5py
import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.source import Block, open_counts

from .conftest import N_CELLS, N_GENES, example_counts


def _same(counts, expected):
    assert isinstance(counts, sparse.csr_array)
    assert counts.dtype in (np.float32, np.float64)
    assert counts.indices.dtype == counts.indptr.dtype == np.int32
    assert counts.has_canonical_format
    assert counts.data.all()
    np.testing.assert_array_equal(counts.toarray(), expected.toarray())


def test_every_format_gives_the_same_names_and_blocks(any_format):
    data, layer = any_format
    source = open_counts(data, layer=layer)
    expected = example_counts()
    assert (source.n_cells, source.n_genes) == (N_CELLS, N_GENES)
    assert source.obs.index.tolist() == [f"cell{i}" for i in range(N_CELLS)]
    assert source.var.index.tolist() == [f"gene{i}" for i in range(N_GENES)]
    assert source.measured.shape == (N_GENES, 1)
    assert source.measured.all()
    assert not source.part.any()
    for block_size in (1, 4, 23, 100, None):
        blocks = list(source.blocks(block_size))
        assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
        assert blocks[-1].stop == N_CELLS
        for block in blocks:
            assert block.counts.shape[0] <= (block_size or N_CELLS)
            _same(block.counts, expected[block.start : block.stop])


def test_every_format_reads_ranges_in_the_pieces_of_its_blocks(any_format):
    data, layer = any_format
    source = open_counts(data, layer=layer)
    expected = example_counts()
    for block_size in (1, 4, 100, None):
        bounds = source.bounds(block_size)
        assert bounds == [(block.start, block.stop) for block in source.blocks(block_size)]
        for cells in ((0, N_CELLS), (4, 8), (3, 21), (5, 6), (7, 7), (N_CELLS, N_CELLS)):
            read = list(source.blocks(block_size, cells=cells))
            pieces = [(max(start, cells[0]), min(stop, cells[1])) for start, stop in bounds]
            assert [(block.start, block.stop) for block in read] == [(a, b) for a, b in pieces if a < b]
            for block in read:
                _same(block.counts, expected[block.start : block.stop])


@pytest.mark.parametrize("cells", [(-1, 3), (4, 3), (0, N_CELLS + 1)])
def test_ranges_outside_the_matrix_are_refused(adata, cells):
    with pytest.raises(InputError, match=rf"cells {cells[0]} to {cells[1]} are no range within 0 to {N_CELLS}"):
        open_counts(adata).blocks(cells=cells)


@pytest.fixture
def read_values(monkeypatch):
    """How many values are read from each array of an HDF5 file."""
    sizes = {}
    by_key, into = h5py.Dataset.__getitem__, h5py.Dataset.read_direct

    def get(dataset, key, **options):
        values = by_key(dataset, key, **options)
        sizes.setdefault(dataset.name, []).append(np.size(values))
        return values

    def read_direct(dataset, dest, *selections):
        into(dataset, dest, *selections)
        sizes.setdefault(dataset.name, []).append(dest.size)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", get)
    monkeypatch.setattr(h5py.Dataset, "read_direct", read_direct)
    return sizes


def _with_chunks(adata, path, chunk):
    """Write with so many values a chunk; None for no chunks."""
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        for name in ("data", "indices", "indptr"):
            values = file["X"][name][:]
            del file["X"][name]
            file["X"].create_dataset(name, data=values, chunks=None if chunk is None else (chunk,))
    return path


def test_a_range_reads_only_the_blocks_it_touches(tmp_path, adata, read_values):
    source = open_counts(_with_chunks(adata, tmp_path / "a.h5ad", None))
    expected = example_counts().indptr[[8, 13]]
    read_values.clear()
    assert [block.start for block in source.blocks(5, cells=(8, 13))] == [8, 10]
    assert sum(read_values["/X/data"]) == expected[1] - expected[0]


@pytest.mark.parametrize("chunk", [1, 5, 30, 1000])
@pytest.mark.parametrize("block_size", [1, 2, 7, None])
def test_no_chunk_is_read_twice_on_a_walk(tmp_path, adata, read_values, chunk, block_size):
    source = open_counts(_with_chunks(adata, tmp_path / "a.h5ad", min(chunk, N_CELLS)))
    source.bounds()
    read_values.clear()
    walked = sparse.vstack([block.counts for block in source.blocks(block_size)], format="csr")
    _same(walked, example_counts())
    assert sum(read_values["/X/data"]) == sum(read_values["/X/indices"]) == example_counts().nnz
    assert sum(read_values["/X/indptr"]) <= 2 * N_CELLS


def test_every_format_gives_the_same_rows(any_format):
    data, layer = any_format
    source = open_counts(data, layer=layer)
    for rows in ([0, 3, 4, 9, 22], [7], [], list(range(N_CELLS)), [2, 2, 5]):
        _same(source.rows(rows), example_counts()[rows])


def test_rows_far_apart_are_read_in_runs(tmp_path, monkeypatch, adata):
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_counts(tmp_path / "a.h5ad")
    monkeypatch.setattr("unbatch.io.matrix_source._GAP_BYTES", 0)
    monkeypatch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", 3 * source.reader.row_bytes)
    rows = [0, 1, 2, 3, 4, 9, 10, 20]
    _same(source.rows(rows), example_counts()[rows])


def test_default_blocks_are_cut_by_the_sizes_of_rows(tmp_path, monkeypatch, adata):
    adata.write_h5ad(tmp_path / "a.h5ad")
    sizes = np.diff(example_counts().indptr)
    for largest in (1, 7, 20, 10**6):
        monkeypatch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", 8 * largest)
        for pointers in (1, 3, 100):
            monkeypatch.setattr("unbatch.io.readers._POINTERS", pointers)
            bounds = open_counts(tmp_path / "a.h5ad").bounds()
            assert [bounds[0][0], *(stop for _, stop in bounds)] == [*(start for start, _ in bounds), N_CELLS]
            for (start, stop), follower in zip(bounds, [*bounds[1:], (N_CELLS, N_CELLS)], strict=True):
                assert stop == start + 1 or sizes[start:stop].sum() <= largest
                # one row more would not have fitted
                assert stop == N_CELLS or sizes[start : follower[0] + 1].sum() > largest


def test_default_blocks_follow_bytes_and_chunks(tmp_path, monkeypatch, adata):
    adata.X = adata.X.toarray()
    adata.write_h5ad(tmp_path / "a.h5ad", compression="gzip")
    reader = open_counts(tmp_path / "a.h5ad").reader
    chunk = reader.row_chunk
    assert chunk > 1
    for n_bytes, rows in (((chunk + 1) * reader.row_bytes, chunk), (1, 1)):
        monkeypatch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", n_bytes)
        assert next(open_counts(tmp_path / "a.h5ad").blocks()).stop == min(rows, N_CELLS)


def test_a_csr_file_is_never_read_whole(tmp_path, adata, read_values):
    source = open_counts(_with_chunks(adata, tmp_path / "a.h5ad", None))
    read_values.clear()
    largest = max(block.counts.nnz for block in source.blocks(2))
    for name in ("data", "indices", "indptr"):
        assert 0 < max(read_values[f"/X/{name}"]) <= largest


def test_integers_stay_exact(adata):
    for dtype, out in ((np.uint8, np.float32), (np.int16, np.float32), (np.int32, np.float64), (np.int64, np.float64)):
        adata.X = sparse.csr_matrix(example_counts().toarray().clip(0, 200).astype(dtype))
        assert next(open_counts(adata).blocks()).counts.dtype == out
    large = example_counts().astype(np.int64)
    large.data[0] = 2**24 + 1
    adata.X = sparse.csr_matrix(large)
    assert next(open_counts(adata).blocks()).counts.data[0] == 2**24 + 1


def test_the_input_is_not_changed(adata):
    stored = (np.array([3, 1], dtype=np.float32), np.array([5, 1]), np.array([0, 2]))
    unsorted = sparse.csr_matrix(stored, shape=(1, N_GENES))
    adata = adata[:1].copy()
    adata.X = unsorted
    assert next(open_counts(adata).blocks()).counts.indices.tolist() == [1, 5]
    assert adata.X.indices.tolist() == [5, 1]


def test_files_are_closed_between_walks(tmp_path, adata):
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_counts(tmp_path / "a.h5ad")
    walk = source.blocks(5)
    next(walk)
    walk.close()
    list(source.blocks())
    source.rows([1])
    adata.write_h5ad(tmp_path / "a.h5ad")


@pytest.mark.parametrize("rows", [[3, 1], [-1], [N_CELLS]])
def test_rows_must_be_ascending_and_inside(adata, rows):
    with pytest.raises(InputError, match="rows must"):
        open_counts(adata).rows(rows)


def test_block_size_must_be_positive(adata):
    with pytest.raises(InputError, match="at least 1"):
        open_counts(adata).blocks(0)


def test_what_is_no_input_is_refused():
    with pytest.raises(InputError, match=r"cannot read counts from int: give an AnnData"):
        open_counts(5)


def test_a_block_knows_where_it_ends():
    assert Block(3, example_counts()).stop == 3 + N_CELLS
