import h5py
import numpy as np
import pandas as pd
import pytest

from unbatch._check import InputError, InputWarning
from unbatch.io.batches import read_batches
from unbatch.io.names import as_text, check_cell_names, check_gene_names, storable, text_of
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


def test_bytes_are_utf_8_and_lose_nothing():
    assert text_of("β".encode()) == "β"
    assert text_of(b"\xff") == r"\xff"
    assert text_of(1) == "1"
    assert storable("bad\udcff β") == r"bad\udcff β"


def test_columns_of_bytes_become_text_and_others_stay():
    column = pd.Categorical([b"y", None, b"x"], categories=[b"y", b"x"], ordered=True)
    frame = pd.DataFrame({"a": [b"p", None, b"q"], "b": column, "c": [1, 2, 3]}, index=[b"i", b"j", "k"])
    text = as_text(frame)
    assert text.index.tolist() == ["i", "j", "k"]
    assert text["a"].tolist() == ["p", None, "q"]
    assert (text["b"].cat.categories.tolist(), text["b"].cat.ordered) == (["y", "x"], True)
    assert text["b"].isna().tolist() == [False, True, False]
    assert text["c"].dtype == frame["c"].dtype
    assert frame["a"].tolist() == [b"p", None, b"q"]


def test_names_stored_as_bytes_of_a_fixed_length_became_their_own_spelling(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    expected = adata.obs_names.tolist(), adata.var_names.tolist()
    adata.obs["batch"] = ["β"] * 3 + ["a"] * (adata.n_obs - 3)
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        texts = {"obs/_index": expected[0], "var/_index": expected[1], "obs/batch": adata.obs["batch"]}
        for key, values in texts.items():
            del file[key]
            file[key] = np.array([value.encode() for value in values], dtype="S")
            file[key].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    source = open_counts(path)
    assert (source.obs.index.tolist(), source.var.index.tolist()) == expected
    assert read_batches(source, "batch").levels == ("a", "β")
    assert source.obs["batch"].tolist() == adata.obs["batch"].tolist()
