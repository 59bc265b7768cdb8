import warnings

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from unbatch._check import InputError, InputWarning
from unbatch.io.door import DoorCheck
from unbatch.io.source import Block, open_counts

from .conftest import N_CELLS, N_GENES, example_counts, with_layer, with_raw


def _check(source, block_size=None):
    check = DoorCheck(source)
    for block in source.blocks(block_size):
        check.add(block)
    return check


def _with(adata, *values):
    """Put values into the last cells of gene 3."""
    dense = adata.X.toarray().astype(np.float64)
    for place, value in enumerate(values):
        dense[N_CELLS - len(values) + place, 3] = value
    adata.X = sparse.csr_matrix(dense)
    return adata


def test_totals_and_warnings(adata):
    with pytest.warns(InputWarning) as caught:
        report = _check(open_counts(adata), 5).finish()
    dense = example_counts().toarray().astype(np.int64)
    np.testing.assert_array_equal(report.counts_per_cell, dense.sum(axis=1))
    np.testing.assert_array_equal(report.counts_per_gene, dense.sum(axis=0))
    assert report.n_nonzero == np.count_nonzero(dense)
    assert tuple(str(warning.message) for warning in caught) == report.warnings
    assert report.warnings[0].startswith("1 of 23 cells have no counts (the first is 'cell4')")
    assert report.warnings[1].startswith("1 of 11 genes have no counts (the first is 'gene7')")


def test_nothing_empty_nothing_warned():
    source = open_counts(AnnData(np.ones((3, 2), dtype=np.float32)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _check(source).finish().warnings == ()


@pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")
def test_block_size_order_and_merging_do_not_matter(adata):
    source = open_counts(adata)
    reference = _check(source, 100).finish()
    for block_size in (1, 4, 7):
        blocks = list(source.blocks(block_size))
        one, other = DoorCheck(source), DoorCheck(source)
        for place, block in enumerate(reversed(blocks)):
            (one if place % 2 else other).add(block)
        one.merge(other)
        report = one.finish()
        np.testing.assert_array_equal(report.counts_per_cell, reference.counts_per_cell)
        np.testing.assert_array_equal(report.counts_per_gene, reference.counts_per_gene)
        assert report.n_nonzero == reference.n_nonzero


def test_missing_blocks_are_noticed(adata):
    source = open_counts(adata)
    check = DoorCheck(source)
    check.add(Block(3, source.rows([3, 4])))
    with pytest.raises(ValueError, match="cover 2 of 23 cells"):
        check.finish()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((-2,), "1 negative among"),
        ((np.nan, np.nan), "2 NaN among"),
        ((np.inf,), "1 infinite among"),
        ((-np.inf,), "1 infinite among"),
        ((0.5, 1.5, -1), "1 negative, 2 fractional among"),
        ((2.0**53,), "1 at 2^53 or more among"),
    ],
)
def test_each_kind_of_wrong_value_is_counted_and_placed(adata, values, words):
    source = open_counts(_with(adata, *values))
    with pytest.raises(InputError) as caught:
        _check(source, 23)
    message = str(caught.value)
    assert words in message
    assert f"the first is {values[0]:g} in cell 'cell{N_CELLS - len(values)}', gene 'gene3'" in message
    assert "No other matrix of this input looks like counts" in message


def test_a_value_that_is_nearly_a_count_is_not_shown_as_one(adata):
    with pytest.raises(InputError, match=r"1 fractional among .*; the first is 7\.00000001 in cell"):
        _check(open_counts(_with(adata, 7 + 1e-8)), 23)


def test_reading_stops_at_the_first_wrong_block(adata):
    source = open_counts(_with(adata, 0.5))
    with pytest.raises(InputError, match=r"cells number 21 to 23 of 23 \(the check stopped there\); the first"):
        _check(source, 5)
    with pytest.raises(InputError, match="values of all 23 cells; the first"):
        _check(source, 23)


def test_cells_of_the_second_file_were_numbered_from_the_start_of_the_first(adata):
    source = open_counts({"one": adata, "two": _with(adata.copy(), 0.5)})
    with pytest.raises(InputError, match=r"cells number 21 to 23 of 23 of 'two' .* in cell 'cell22-two'"):
        _check(source, 10)
    with pytest.raises(InputError, match="values of all 23 cells of 'two'; the first"):
        _check(source, 23)


@pytest.mark.parametrize(("make", "layer"), [(with_layer, "counts"), (with_raw, "raw")])
@pytest.mark.parametrize("where", ["memory", "file", "backed"])
def test_the_matrix_that_looks_like_counts_is_named(tmp_path, make, layer, where):
    import anndata

    data = make()
    if where != "memory":
        data.write_h5ad(tmp_path / "a.h5ad")
        data = tmp_path / "a.h5ad" if where == "file" else anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    source = open_counts(data)
    assert source.alternatives() == (layer,)
    with pytest.raises(InputError, match=f"layer='{layer}' looks like counts"):
        _check(source)
    if where == "backed":
        data.file.close()


def test_normalised_layers_are_not_named():
    adata = with_layer()
    adata.layers["scaled"] = -adata.X.toarray()
    adata.layers["dense"] = adata.layers["counts"].toarray()
    assert open_counts(adata).alternatives() == ("counts", "dense")
    assert open_counts(adata, layer="counts").alternatives() == ("dense",)


def test_no_count_at_all_is_refused():
    source = open_counts(AnnData(np.zeros((3, N_GENES), dtype=np.float32)))
    with pytest.raises(InputError, match="no count at all"):
        _check(source).finish()


def test_totals_are_exact_past_float32():
    source = open_counts(AnnData(np.full((3, 2), 2.0**50 + 1)))
    assert _check(source).finish().counts_per_gene.tolist() == [3 * (2**50 + 1)] * 2
