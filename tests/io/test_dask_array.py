import sys

import dask.array as da
import numpy as np
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.source import open_counts

from .conftest import N_CELLS, N_GENES, example_adata, example_counts, write_zarr


@pytest.fixture
def counted():
    """An AnnData of Dask chunks of 4 cells, and a list of those that were computed."""
    computed = []

    def chunk(block, block_info=None):
        computed.append(block_info[0]["chunk-location"][0])
        return sparse.csr_matrix(block)

    dense = da.from_array(example_counts().toarray(), chunks=(4, N_GENES))
    meta = sparse.csr_matrix((0, 0), dtype=np.float32)
    adata = example_adata()
    adata.X = dense.map_blocks(chunk, dtype=np.float32, meta=meta)
    return adata, computed


@pytest.mark.parametrize("block_size", [1, 3, 4, 9, 100, None])
def test_each_chunk_is_computed_once_on_a_walk(counted, block_size):
    adata, computed = counted
    source = open_counts(adata)
    source.bounds()
    computed.clear()
    walked = sparse.vstack([block.counts for block in source.blocks(block_size)], format="csr")
    np.testing.assert_array_equal(walked.toarray(), example_counts().toarray())
    assert sorted(computed) == list(range(6))


def test_only_chunks_that_are_asked_for_are_computed(counted, monkeypatch):
    monkeypatch.setattr("unbatch.io.matrix_source._GAP_BYTES", 0)
    adata, computed = counted
    source = open_counts(adata)
    source.bounds()
    computed.clear()
    source.rows([5, 6, 20])
    assert sorted(computed) == [1, 5]
    computed.clear()
    list(source.blocks(2, cells=(9, 12)))
    assert sorted(computed) == [2]


@pytest.mark.parametrize(
    ("rows", "cuts"),
    [(1000, [0, 23]), (9, [0, 8, 16, 23]), (4, [0, 4, 8, 12, 16, 20, 23]), (3, [0, 3, 4, 7, 8, 11, 12])],
)
def test_blocks_end_where_chunks_do(monkeypatch, rows, cuts):
    adata = AnnData(da.from_array(np.ones((N_CELLS, N_GENES), dtype=np.float32), chunks=(4, N_GENES)))
    monkeypatch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", rows * 4 * N_GENES)
    bounds = open_counts(adata).bounds()
    assert [start for start, _ in bounds] + [bounds[-1][1]] == cuts + ([15, 16, 19, 20, 23] if rows == 3 else [])


def test_unknown_lengths_of_chunks_get_a_cure(monkeypatch):
    array = da.from_array(np.ones((6, 2), dtype=np.float32), chunks=(3, 2))
    adata = AnnData(array)
    unknown = array[array[:, 0] > 0]
    monkeypatch.setattr("unbatch.io.anndata_source._matrix", lambda *_: unknown)
    with pytest.raises(InputError, match=r"X of the AnnData is a Dask array .*compute_chunk_sizes\(\)"):
        open_counts(adata)


def test_alternatives_are_looked_for_in_dask_layers(counted):
    adata, _ = counted
    adata.layers["counts"] = adata.X
    adata.X = np.full(adata.shape, 0.5)
    assert open_counts(adata).alternatives() == ("counts",)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("form", [sparse.csr_matrix, np.asarray])
def test_what_anndata_reads_lazily_is_read(tmp_path, kind, form):
    from anndata.experimental import read_lazy

    path = tmp_path / f"a.{kind}"
    if kind == "h5ad":
        example_adata(form).write_h5ad(path)
    else:
        write_zarr(example_adata(form), path, zarr_format=2)
        zarr.consolidate_metadata(path)
    lazy = read_lazy(path)
    for adata, rows in ((lazy, slice(None)), (lazy[5:20], slice(5, 20))):
        source = open_counts(adata)
        expected = example_adata().obs.iloc[rows]
        assert source.obs["batch"].astype(str).tolist() == expected["batch"].astype(str).tolist()
        assert source.obs.index.tolist() == expected.index.tolist()
        walked = sparse.vstack([block.counts for block in source.blocks(6)])
        np.testing.assert_array_equal(walked.toarray(), example_counts().toarray()[rows])


def test_dask_is_not_imported_for_others():
    import subprocess

    program = (
        "import sys, numpy as np\n"
        "from anndata import AnnData\n"
        "before = 'dask.array' in sys.modules\n"
        "from unbatch.io.source import open_counts\n"
        "list(open_counts(AnnData(np.ones((3, 2)))).blocks())\n"
        "assert before or 'dask.array' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
