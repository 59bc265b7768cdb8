"""What another process gets of a source: the counts, from where they are stored, and nothing else."""

import pickle
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from unbatch import InputError
from unbatch.io.places import Hdf5File, stamp_of
from unbatch.io.portable import portable
from unbatch.io.readers import CsrReader
from unbatch.io.source import open_counts

from .conftest import N_CELLS, N_GENES, example_adata, example_counts, write_tenx_h5, write_zarr


def sent(source):
    return pickle.loads(pickle.dumps(portable(source)))  # noqa: S301


def test_stored_by_cell_can_be_sent_and_all_else_is_refused(any_format, request):
    data, layer = any_format
    source = open_counts(data, layer=layer)
    kind = request.node.callspec.params["any_format"]
    if kind.startswith(("memory", "dask", "10x-mtx")) or "csc" in kind or kind == "backed-view":
        with pytest.raises(InputError, match=r"cannot be read by other processes: the workers .* give its path"):
            portable(source)
        return
    there = sent(source)
    assert (there.n_cells, there.n_genes, there.parts) == (N_CELLS, N_GENES, source.parts)
    assert there.description == source.description
    read = [block.counts.toarray() for block in there.blocks(4, cells=(3, 20))]
    np.testing.assert_array_equal(np.concatenate(read), example_counts()[3:20].toarray())


def test_paths_do_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    example_adata().write_h5ad(tmp_path / "a.h5ad")
    write_zarr(example_adata(), tmp_path / "a.zarr", zarr_format=3)
    write_tenx_h5(tmp_path / "a.h5", extra_features=["antibody"])
    monkeypatch.chdir(tmp_path)
    packed = [pickle.dumps(portable(open_counts(name))) for name in ("a.h5ad", "a.zarr")]
    with pytest.warns(UserWarning, match="antibody|Antibody"):
        packed.append(pickle.dumps(portable(open_counts("a.h5"))))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for one in packed:
        (block,) = pickle.loads(one).blocks()  # noqa: S301
        np.testing.assert_array_equal(block.counts.toarray(), example_counts().toarray())


def test_genes_of_several_parts_keep_their_places(tmp_path):
    first, second = example_adata()[:, :8].copy(), example_adata()[:10, [9, 3, 10, 0, 5, 1, 2]].copy()
    second.obs_names = [f"other{cell}" for cell in range(10)]
    first.write_h5ad(tmp_path / "one.h5ad")
    write_zarr(second, tmp_path / "two.zarr", zarr_format=3)
    source = open_counts([tmp_path / "one.h5ad", tmp_path / "two.zarr"])
    there = sent(source)
    np.testing.assert_array_equal(there.measured, source.measured)
    np.testing.assert_array_equal(there.part, source.part)
    for mine, theirs in zip(source.blocks(7), there.blocks(7), strict=True):
        assert mine.start == theirs.start
        np.testing.assert_array_equal(mine.counts.toarray(), theirs.counts.toarray())
    with pytest.raises(InputError, match="X of the AnnData cannot be read by other processes"):
        portable(open_counts([tmp_path / "one.h5ad", second]))


def test_neither_tables_nor_counts_are_sent(tmp_path):
    n_cells, n_genes = 3000, 500
    obs = pd.DataFrame({"note": [f"a long note on cell {cell}" for cell in range(n_cells)]})
    obs.index = [f"cell{cell}" for cell in range(n_cells)]
    ad.AnnData(sparse.random(n_cells, n_genes, 0.05, "csr", np.float32), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    source = open_counts(tmp_path / "a.h5ad")
    list(source.blocks())
    assert len(pickle.dumps(portable(source))) < 3000


def test_a_file_that_only_this_process_has_made_is_not_sent(tmp_path):
    example_adata().write_h5ad(tmp_path / "scratch.h5ad")
    source = open_counts(tmp_path / "scratch.h5ad")
    assert isinstance(source.reader, CsrReader)
    object.__setattr__(source, "path", Path("by_column.h5ad"))
    with pytest.raises(InputError, match="cannot be read by other processes"):
        portable(source)
    object.__setattr__(source, "path", tmp_path / "scratch.h5ad")
    assert portable(source).reader.place == Hdf5File(tmp_path / "scratch.h5ad", stamp_of(tmp_path / "scratch.h5ad"))


def test_what_is_no_source_of_ours_is_refused():
    class Other:
        description = "something else"

    with pytest.raises(InputError, match="something else cannot be read by other processes"):
        portable(Other())
