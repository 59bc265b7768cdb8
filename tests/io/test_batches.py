import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from unbatch._check import InputError, InputWarning
from unbatch.io.batches import label_cells, measured_by_batch, read_batches
from unbatch.io.source import open_counts

from .conftest import example_adata


def _source(**columns):
    n_cells = len(next(iter(columns.values()))) if columns else 4
    obs = pd.DataFrame(columns, index=[f"c{i}" for i in range(n_cells)])
    return open_counts(AnnData(np.ones((n_cells, 2), dtype=np.float32), obs=obs))


def _levels(values, **options):
    batches = read_batches(_source(batch=values), "batch", min_cells=1, **options)
    assert batches.codes.dtype == np.int32
    assert [batches.levels[code] for code in batches.codes] == [str(value) for value in values]
    return batches.levels


def test_levels_follow_categories_and_drop_unused_ones():
    assert _levels(pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"])) == ("b", "a")


def test_levels_are_sorted_text_or_numbers():
    assert _levels(["b", "a", "b"]) == ("a", "b")
    assert _levels([10, 9, 10]) == ("9", "10")
    assert _levels([True, False, True]) == ("False", "True")
    assert _levels(pd.array(["y", "x"], dtype="string")) == ("x", "y")
    assert _levels(pd.Categorical([10, 9, 10])) == ("9", "10")


def test_labels_that_read_alike_are_one_batch():
    assert _levels(np.array([1, "1", 2], dtype=object)) == ("1", "2")


def test_several_columns_combine_to_the_levels_that_occur():
    source = _source(donor=["d1", "d1", "d2", "d2"], lane=["x", "y", "x", "x"])
    batches = read_batches(source, ["donor", "lane"], min_cells=1)
    assert batches.levels == ("d1 | x", "d1 | y", "d2 | x")
    assert batches.codes.tolist() == [0, 1, 2, 2]
    assert batches.key == ("donor", "lane")
    assert batches.sizes.tolist() == [1, 1, 2]


def test_without_key_each_file_is_a_batch(tmp_path, adata):
    adata.write_h5ad(tmp_path / "one.h5ad")
    adata[:9, :7].copy().write_h5ad(tmp_path / "two.h5ad")
    source = open_counts([tmp_path / "one.h5ad", tmp_path / "two.h5ad"])
    batches = read_batches(source)
    assert batches.levels == ("one", "two")
    assert batches.sizes.tolist() == [adata.n_obs, 9]
    np.testing.assert_array_equal(measured_by_batch(source, batches), source.measured)


def test_cells_of_a_file_that_lacks_a_gene_counted_as_zeros_in_a_batch_of_two_files(adata):
    one, two = adata[:, :4].copy(), adata[:, 2:6].copy()
    one.obs["batch"], two.obs["batch"] = ["a"] * 22 + ["b"], ["b"] * 23
    source = open_counts({"one": one, "two": two})
    measured = measured_by_batch(source, read_batches(source, "batch"))
    assert measured.T.astype(int).tolist() == [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0]]


def test_labels_are_read_without_asking_for_anything_to_compare():
    source = _source(donor=["d1", "d2", "d2"], lane=["x", "x", "y"])
    labelled = label_cells(source, ["donor", "lane"])
    assert labelled.labels == ["d1 | x", "d2 | x", "d2 | y"]
    assert labelled.usable.all()
    assert label_cells(_source(batch=["a"]), "batch").labels == ["a"]
    with pytest.raises(InputError, match="no batch key is given"):
        label_cells(source)


def test_a_misspelt_key_lists_the_likely_columns(adata):
    adata.obs["condition"] = ["x"] * adata.n_obs
    with pytest.raises(InputError) as caught:
        read_batches(open_counts(adata), "Btach")
    message = str(caught.value)
    assert "no obs column 'Btach': likely columns are 'batch' (2 levels), 'donor' (4 levels)" in message
    assert "n_counts" not in message
    assert "condition" not in message


def test_columns_that_sound_like_batches_come_first():
    source = _source(aisle=["x", "y", "x", "y"], donor=["p", "p", "q", "q"], cell=["1", "2", "3", "4"])
    with pytest.raises(InputError, match=r"likely columns are 'donor' \(2 levels\), 'aisle' \(2 levels\)$"):
        label_cells(source)


def test_a_missing_key_lists_the_likely_columns(adata):
    with pytest.raises(InputError, match=r"no batch key is given .* likely columns are 'batch' \(2 levels\)"):
        read_batches(open_counts(adata))


def test_no_likely_column_lists_all_or_says_there_are_none():
    with pytest.raises(InputError, match="its columns are 'score'"):
        read_batches(_source(score=[0.1, 0.2, 0.3]), "batch")
    with pytest.raises(InputError, match="obs has no columns at all"):
        read_batches(_source(), "batch")


@pytest.mark.parametrize("values", [["a", None, "b", None], ["a", "", "b", ""], pd.Categorical(["a", None, "b", None])])
def test_missing_labels_are_counted(values):
    with pytest.raises(InputError, match=r"no label for 2 of 4 cells \(the first is 'c1'\).*notna"):
        read_batches(_source(batch=values), "batch")


def test_missing_numbers_are_counted():
    with pytest.raises(InputError, match="no label for 1 of 3 cells"):
        read_batches(_source(batch=[1.0, np.nan, 2.0]), "batch")


def test_a_single_batch_is_refused():
    with pytest.raises(InputError, match=r"obs\['batch'\] has a single batch, 'a', for all 4 cells"):
        read_batches(_source(batch=["a"] * 4), "batch")


def test_small_batches_are_named_and_take_no_part():
    source = _source(batch=["a"] * 3 + ["b"] * 3 + ["p7"])
    with pytest.warns(InputWarning, match=r"1 of 3 batches have fewer than 2 cells .*: 'p7' \(1\). Drop them or lower"):
        batches = read_batches(source, "batch")
    assert batches.too_small == ("p7",)
    assert batches.usable.tolist() == [True, True, False]
    assert read_batches(source, "batch", min_cells=1).too_small == ()


def test_too_few_large_batches_are_refused():
    with pytest.raises(InputError, match=r"1 batches of at least 2 cells.*1 are too small: 'b' \(1\)"):
        read_batches(_source(batch=["a", "a", "b"]), "batch")


def test_min_cells_must_be_positive():
    with pytest.raises(InputError, match="min_cells is 0: it must be a whole number of 1 or more"):
        read_batches(_source(batch=["a", "b"]), "batch", min_cells=0)


def test_a_batch_called_nan_is_used_with_a_warning():
    with pytest.warns(InputWarning, match=r"looks like a missing label: 'nan' \(2 cells\)"):
        batches = read_batches(_source(batch=["a", "a", "nan", "nan"]), "batch")
    assert batches.levels == ("a", "nan")


def test_a_key_that_one_file_lacks_says_which(adata):
    other = example_adata()
    del other.obs["batch"]
    source = open_counts({"one": adata, "two": other})
    with pytest.raises(InputError, match=r"no label for 23 of 46 cells.*all of them are in 'two'"):
        read_batches(source, "batch")


def test_columns_whose_labels_become_the_same_together_are_refused():
    source = _source(p=["a", "a | b", "a"], q=["b | c", "c", "d"])
    with pytest.raises(InputError, match=r"'a \| b \| c' in two ways"):
        label_cells(source, ("p", "q"))


def test_a_column_that_is_named_twice_is_refused():
    source = _source(batch=["x", "x", "y", "y"], lane=["1", "2", "1", "2"])
    for read in (label_cells, read_batches):
        with pytest.raises(InputError, match="'batch' is named twice: name each column once"):
            read(source, ["batch", "lane", "batch"])


def test_labels_of_bytes_are_text_and_an_empty_one_is_missing():
    assert label_cells(_source(batch=[b"y", b"x", b"y", "x"]), "batch").levels == ("x", "y")
    with pytest.raises(InputError, match="no label for 1 of 4 cells"):
        label_cells(_source(batch=[b"y", b"x", b"", b"x"]), "batch")
