import numpy as np
import pytest
from anndata import AnnData

from unbatch._check import InputError
from unbatch.io import anndata_source
from unbatch.io.source import open_counts

from .conftest import example_counts, with_raw


def test_a_matrix_that_is_neither_numpy_nor_scipy_is_refused(adata, monkeypatch):
    class Lazy:
        """Stands for an array of a library that is not known."""

        def compute(self):
            raise AssertionError

    monkeypatch.setattr(anndata_source, "_matrix", lambda *_: Lazy())
    with pytest.raises(
        InputError, match=r"X of the AnnData is a .*Lazy: give a numpy array, a scipy sparse matrix or a Dask array"
    ):
        open_counts(adata)


def test_text_and_complex_values_are_refused():
    for values in (np.array([["a"]], dtype=object), np.ones((1, 1), dtype=complex)):
        with pytest.raises(InputError, match="not numbers"):
            open_counts(AnnData(values))


def test_raw_brings_its_own_genes():
    adata = with_raw()
    assert open_counts(adata).n_genes == 5
    assert open_counts(adata, layer="raw").n_genes == 11


def test_the_raw_of_a_view_follows_its_cells():
    view = with_raw()[[8, 2]]
    np.testing.assert_array_equal(
        open_counts(view, layer="raw").rows([0, 1]).toarray(), example_counts()[[8, 2]].toarray()
    )


def test_a_missing_layer_lists_the_choices(adata):
    adata.layers["counts"] = adata.X
    with pytest.raises(InputError, match=r"the AnnData has no layer 'cnts': layer can be 'counts', None \(X\)"):
        open_counts(adata, layer="cnts")


def test_an_empty_anndata_is_refused(adata):
    for empty, words in ((adata[:0], "0 cells and 11 genes"), (adata[:, :0], "23 cells and 0 genes")):
        with pytest.raises(InputError, match=words):
            open_counts(empty.copy())
        with pytest.raises(InputError, match=words):
            open_counts(empty)
