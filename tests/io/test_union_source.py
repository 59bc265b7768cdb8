import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from unbatch._check import InputError, InputWarning
from unbatch.io.door import DoorCheck
from unbatch.io.reduce import reduce_blocks
from unbatch.io.source import open_counts

from .conftest import example_adata, example_counts, with_layer, write_mtx, write_tenx_h5


def _three(tmp_path):
    """Three inputs of three kinds: all genes, some genes in another order, other genes too."""
    first = example_adata()
    first.write_h5ad(tmp_path / "one.h5ad")
    second = example_adata()[:6, [5, 2, 1, 0, 9, 3]].copy()
    second.obs_names = [f"second{i}" for i in range(6)]
    second.obs["age"] = np.arange(6)
    third = example_adata()[10:, 4:].copy()
    third.var_names = [*third.var_names[:-1], "extra"]
    third.obs_names = [f"third{i}" for i in range(13)]
    return [tmp_path / "one.h5ad", second, third], (first, second, third)


def _expected(pieces, genes):
    """The united matrix and what was measured, in the slow way."""
    tables = [pd.DataFrame(piece.X.toarray(), columns=piece.var_names) for piece in pieces]
    measured = np.array([[gene in table for table in tables] for gene in genes])
    return np.concatenate([table.reindex(columns=genes).fillna(0).to_numpy() for table in tables]), measured


def test_genes_are_united_and_absence_is_not_zero(tmp_path):
    inputs, pieces = _three(tmp_path)
    source = open_counts(inputs)
    genes = [f"gene{i}" for i in range(11)] + ["extra"]
    matrix, measured = _expected(pieces, genes)
    assert source.var.index.tolist() == genes
    np.testing.assert_array_equal(source.measured, measured)
    assert source.measured.sum(axis=0).tolist() == [11, 6, 7]
    np.testing.assert_array_equal(source.part, np.repeat([0, 1, 2], [23, 6, 13]))
    for block_size in (1, 5, 100, None):
        read = list(source.blocks(block_size))
        np.testing.assert_array_equal(sparse.vstack([block.counts for block in read]).toarray(), matrix)
        assert all(block.counts.has_canonical_format for block in read)
        assert all(block.counts.indices.dtype == np.int32 for block in read)
        assert [block.start for block in read] == [0, *(block.stop for block in read[:-1])]
        assert all(len(set(source.part[block.start : block.stop])) == 1 for block in read)
    for rows in ([0, 22, 23, 28, 29, 41], [24], [], [30, 31]):
        np.testing.assert_array_equal(source.rows(rows).toarray(), matrix[rows])


def test_counts_in_memory_stay_as_they_are_where_genes_have_another_order():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1, (20, 6)).astype(np.float32))
    one, two = AnnData(counts.copy()), AnnData(counts.copy())
    one.var_names, two.var_names = list("abcdef"), list("fedcba")
    one.obs_names, two.obs_names = [f"x{i}" for i in range(20)], [f"y{i}" for i in range(20)]
    source = open_counts([one, two])
    for _ in range(2):
        read = sparse.vstack([block.counts for block in source.blocks()]).toarray()
        np.testing.assert_array_equal(read, np.vstack([counts.toarray(), counts.toarray()[:, ::-1]]))
    np.testing.assert_array_equal(source.rows(range(20, 40)).toarray(), counts.toarray()[:, ::-1])
    for adata in (one, two):
        np.testing.assert_array_equal(adata.X.toarray(), counts.toarray())


def test_ranges_reach_over_parts(tmp_path):
    inputs, pieces = _three(tmp_path)
    source = open_counts(inputs)
    matrix, _ = _expected(pieces, [f"gene{i}" for i in range(11)] + ["extra"])
    for block_size in (1, 5, 100, None):
        bounds = source.bounds(block_size)
        assert bounds == [(block.start, block.stop) for block in source.blocks(block_size)]
        for cells in ((0, 42), (20, 31), (23, 29), (24, 26), (30, 42), (9, 9)):
            read = list(source.blocks(block_size, cells=cells))
            cuts = [(max(start, cells[0]), min(stop, cells[1])) for start, stop in bounds]
            assert [(block.start, block.stop) for block in read] == [(a, b) for a, b in cuts if a < b]
            together = np.concatenate([np.zeros((0, 12)), *(block.counts.toarray() for block in read)])
            np.testing.assert_array_equal(together, matrix[slice(*cells)])
    with pytest.raises(InputError, match="cells 3 to 43 are no range within 0 to 42"):
        source.blocks(cells=(3, 43))
    with pytest.raises(InputError, match="block_size must be at least 1"):
        source.blocks(0)


def test_names_paths_and_tables(tmp_path):
    inputs, pieces = _three(tmp_path)
    source = open_counts(inputs)
    assert source.parts == ("one", "AnnData-1", "AnnData-2")
    assert source.paths == (tmp_path / "one.h5ad",)
    assert source.path is None
    assert "3 inputs (one, AnnData-1, AnnData-2)" in source.description
    assert source.obs.index.tolist() == [name for piece in pieces for name in piece.obs_names]
    assert source.obs["donor"].tolist() == [value for piece in pieces for value in piece.obs["donor"]]
    assert source.obs["age"].notna().tolist() == [False] * 23 + [True] * 6 + [False] * 13
    assert source.var.loc["extra", "gene_ids"] == "ENSG10"
    assert source.var.loc["gene10", "gene_ids"] == "ENSG10"


def test_names_that_clash_get_the_name_of_their_input(adata):
    source = open_counts({"p1": adata, "p2": adata[:2].copy()})
    names = source.obs.index.tolist()
    assert names[:2] == ["cell0-p1", "cell1-p1"]
    assert names[-3:] == ["cell22-p1", "cell0-p2", "cell1-p2"]
    assert source.obs.index.is_unique
    assert adata.obs_names[0] == "cell0"


def test_inputs_are_named_by_what_differs_in_their_paths(tmp_path):
    for sample in ("s1", "s2"):
        (tmp_path / sample / "outs").mkdir(parents=True)
        write_tenx_h5(tmp_path / sample / "outs" / "filtered.h5")
    paths = [tmp_path / sample / "outs" / "filtered.h5" for sample in ("s1", "s2")]
    assert open_counts(paths).parts == ("s1", "s2")
    write_mtx(tmp_path / "s3")
    assert open_counts([paths[0], tmp_path / "s3"]).parts == ("filtered", "s3")


def test_a_single_input_in_a_list_is_that_input(adata):
    assert open_counts([adata]).parts == ("AnnData",)
    assert open_counts({"p1": adata}).parts == ("p1",)


def test_a_layer_is_taken_from_each_and_offered_if_all_have_it():
    source = open_counts([with_layer(), with_layer()], layer="counts")
    np.testing.assert_array_equal(source.rows([24]).toarray(), example_counts()[[1]].toarray())
    assert open_counts([with_layer(), with_layer()]).alternatives() == ("counts",)
    assert open_counts([with_layer(), example_adata()]).alternatives() == ()


def test_the_door_names_the_input(adata):
    bad = adata.copy()
    bad.X = bad.X * 0.5
    source = open_counts({"good": adata, "bad": bad})
    with pytest.raises(InputError, match=r"of all 23 cells of 'bad'.* in cell 'cell0-bad'"):
        reduce_blocks(source, DoorCheck(source))


def test_the_same_file_twice_is_refused(tmp_path, adata):
    adata.write_h5ad(tmp_path / "a.h5ad")
    (tmp_path / "b.h5ad").symlink_to(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"a\.h5ad is given more than once"):
        open_counts([tmp_path / "a.h5ad", tmp_path / "b.h5ad"])


@pytest.mark.parametrize(
    "link", ["hard", "of a folder", "of the files of a 10x folder", "none, a 10x folder by its matrix"]
)
def test_the_same_file_under_two_names_is_refused(tmp_path, adata, link):
    adata.write_h5ad(tmp_path / "a.h5ad")
    one, two = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    if link == "hard":
        two.hardlink_to(one)
    elif link == "of a folder":
        one, two = write_mtx(tmp_path / "a"), tmp_path / "b"
        two.symlink_to(one)
    elif link.startswith("none"):
        one = write_mtx(tmp_path / "a")
        two = one / "matrix.mtx"
    else:
        one, two = write_mtx(tmp_path / "a"), tmp_path / "b"
        two.mkdir()
        for file in one.iterdir():
            (two / file.name).hardlink_to(file)
    with pytest.raises(InputError, match=r"given more than once, also as .*: its cells would be counted twice"):
        open_counts([one, two])


def test_no_input_is_refused():
    with pytest.raises(InputError, match="no input is given"):
        open_counts([])


def test_no_common_gene_is_refused(adata):
    other = adata.copy()
    other.var_names = other.var["gene_ids"].tolist()
    with pytest.raises(InputError, match=r"no gene in common: 'x' has 'gene0', 'gene1', ...; 'y' has 'ENSG0', 'ENSG1'"):
        open_counts({"x": adata, "y": other})


def test_few_common_genes_are_warned_of(adata):
    other = AnnData(np.ones((2, 3), dtype=np.float32))
    other.var_names = ["gene0", "p", "q"]
    with pytest.warns(InputWarning) as caught:
        open_counts({"x": adata, "y": other})
    assert [str(warning.message)[:45] for warning in caught] == [
        "only 1 of the 11 genes of 'x' are in another ",
        "only 1 of the 3 genes of 'y' are in another i",
    ]
