import pandas as pd
import pytest

from unbatch._check import InputError, InputWarning
from unbatch.io.names import as_text, check_cell_names, check_gene_names
from unbatch.io.source import open_counts


def test_repeated_gene_names_are_refused_with_a_cure(adata, tmp_path):
    adata.var_names = ["gene0"] * 2 + ["gene2"] * 3 + list("abcdef")
    with pytest.raises(InputError) as caught:
        open_counts(adata)
    for word in ("2 gene names that occur more than once ('gene0', 'gene2')", "var_names_make_unique", "'gene_ids'"):
        assert word in str(caught.value)
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="2 gene names that occur more than once"):
        open_counts(tmp_path / "a.h5ad")


def test_only_columns_that_would_do_are_offered():
    var = pd.DataFrame({"symbol": ["a", "a"], "id": ["x", "y"], "gap": ["z", None]}, index=["a", "a"])
    with pytest.raises(InputError, match=r"use a column that is unique \('id'\)"):
        check_gene_names(var, "X")


def test_repeated_cell_names_are_kept_with_a_warning(adata):
    adata.obs_names = ["cell0"] * adata.n_obs
    with pytest.warns(InputWarning, match=r"1 cell names that occur more than once \('cell0'\)"):
        source = open_counts(adata)
    assert source.obs.index.tolist() == ["cell0"] * adata.n_obs


def test_unique_names_pass():
    frame = pd.DataFrame(index=["a", "b"])
    check_gene_names(frame, "X")
    check_cell_names(frame, "X")


def test_names_become_text_in_a_copy():
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index([10, 11], name="cell"))
    text = as_text(frame)
    assert text.index.tolist() == ["10", "11"]
    assert text.index.name == "cell"
    assert frame.index.tolist() == [10, 11]
