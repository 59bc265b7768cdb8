import numpy as np
import pandas as pd
import pytest

from unbatch._check import InputError
from unbatch.io.tables import join_tables


def _join(*columns):
    """Join tables of one column each; None for a table that lacks it."""
    tables = [pd.DataFrame({} if column is None else {"x": column}, index=["a", "b"]) for column in columns]
    return join_tables(tables)["x"]


def test_numbers_stay_numbers():
    assert _join([1, 2], [3, 4]).dtype == np.int64
    assert _join([1, 2], [0.5, 1]).tolist() == [1, 2, 0.5, 1]
    assert _join([1, 2], None).tolist()[:2] == [1, 2]
    assert _join([1, 2], None).isna().tolist() == [False, False, True, True]
    nullable = _join(pd.array([1, None], dtype="Int64"), [3, 4])
    assert nullable.isna().tolist() == [False, True, False, False]
    assert nullable.tolist()[2:] == [3, 4]


def test_truth_values_stay_or_become_text():
    assert _join([True, False], [True, True]).dtype == np.bool_
    assert _join([True, False], None).tolist()[:2] == ["True", "False"]


def test_text_and_categories_become_categories_in_order_of_occurrence():
    joined = _join(pd.Categorical(["b", "a"], categories=["b", "a", "unused"]), ["c", "a"], None, ["d", None])
    assert joined.cat.categories.tolist() == ["b", "a", "unused", "c", "d"]
    assert joined.isna().tolist() == [False, False, False, False, True, True, False, True]
    assert joined.astype(object).tolist()[:4] == ["b", "a", "c", "a"]
    assert _join([1, 2], ["x", "1"]).tolist() == ["1", "2", "x", "1"]


@pytest.mark.parametrize("levels", [["low", "mid", "high"], [3, 1, 2]])
def test_categories_that_are_ordered_alike_in_all_tables_stay_ordered(levels):
    kind = pd.CategoricalDtype(levels, ordered=True)
    joined = _join(pd.Categorical(levels[:2], dtype=kind), None, pd.Categorical([levels[2], None], dtype=kind))
    assert joined.dtype == kind
    assert joined.cat.categories.tolist() == levels
    assert joined.astype(object).tolist()[:2] == levels[:2]
    assert joined.isna().tolist() == [False, False, True, True, False, True]


def test_categories_that_are_ordered_in_one_table_or_otherwise_are_not():
    one = pd.Categorical(["b", "a"], categories=["b", "a"], ordered=True)
    others = (pd.Categorical(["b", "a"], categories=["b", "a"]), one.reorder_categories(["a", "b"]), ["b", "a"])
    assert not any(_join(one, other).cat.ordered for other in others)


def test_categories_that_are_numbers_stay_numbers():
    joined = _join(pd.Categorical([10, 2]), pd.Categorical([3, 10]))
    assert joined.cat.categories.tolist() == [2, 3, 10]
    assert joined.tolist() == [10, 2, 3, 10]
    assert _join(pd.Categorical([1, 2]), pd.Categorical(["1", "x"])).tolist() == ["1", "2", "1", "x"]
    assert _join(pd.Categorical([1, 2]), [1, 3]).tolist() == ["1", "2", "1", "3"]


def ordered(levels):
    """Two cells of ordered levels, the first and the last; missing ones without any."""
    return pd.Categorical([*levels[:1], *levels[-1:]] or [None, None], categories=levels, ordered=True)


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (("low", "high"), ("low", "mid", "high"), ["low", "mid", "high"]),
        (("low", "mid"), ("mid", "high"), ["low", "mid", "high"]),
        (("mid", "high"), ("low", "mid"), ["low", "mid", "high"]),
        (("low", "high"), (), ["low", "high"]),
        ((0, 7), (3, 14), [0, 3, 7, 14]),
        ((14, 7), (7, 3), [14, 7, 3]),
    ],
)
def test_orders_that_leave_one_order_of_all_are_kept(one, other, order):
    found = _join(ordered(one), ordered(other))
    assert found.cat.ordered
    assert found.cat.categories.tolist() == order
    assert found.dropna().tolist() == [level for levels in (one, other) for level in (*levels[:1], *levels[-1:])]


@pytest.mark.parametrize(
    ("one", "other"), [(("low", "high"), ("high", "low")), (("low", "mid"), ("low", "high")), ((14, 7), (3,))]
)
def test_orders_that_contradict_each_other_or_leave_a_choice_are_not(one, other):
    found = _join(ordered(one), ordered(other))
    assert not found.cat.ordered
    assert found.tolist() == [one[0], one[-1], other[0], other[-1]]


def test_columns_and_names_keep_their_order():
    joined = join_tables([pd.DataFrame({"p": [1], "q": [2]}, index=["a"]), pd.DataFrame({"r": [3]}, index=["a"])])
    assert joined.columns.tolist() == ["p", "q", "r"]
    assert joined.index.tolist() == ["a", "a"]


def test_the_joined_table_can_be_stored(tmp_path):
    from anndata import AnnData, read_h5ad

    mixed = np.array([1, "x"], dtype=object)
    tables = [pd.DataFrame({"m": mixed, "n": [1, 2]}), pd.DataFrame({"b": [True, False], "s": ["u", "v"]})]
    joined = join_tables([table.set_index(pd.Index(["a", "b"])) for table in tables])
    joined.index = list("abcd")
    AnnData(obs=joined).write_h5ad(tmp_path / "a.h5ad")
    assert read_h5ad(tmp_path / "a.h5ad").obs["s"].isna().tolist() == [True, True, False, False]


def test_two_columns_of_one_name_are_refused():
    table = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(InputError, match="two columns called 'x'"):
        join_tables([table, table])
