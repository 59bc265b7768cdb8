"""Levels stand in an order that readers expect: of the categories, of numbers, or of names and the numbers in them."""

import numpy as np
import pandas as pd
import pytest

from unbatch._levels import levels_of, natural_order


def test_numbers_in_names_sort_by_size_even_those_of_ten_thousand_digits():
    huge = "9" * 10_000
    assert natural_order(["type 10", huge, "type 2", "type 002b", "7", "12"]) == [
        "7",
        "12",
        huge,
        "type 2",
        "type 002b",
        "type 10",
    ]


@pytest.mark.parametrize(
    ("column", "levels"),
    [
        (pd.Categorical(["mid", "early", "mid"], ["early", "mid", "late"], ordered=True), ["early", "mid", "late"]),
        (pd.Categorical(["a", "b"], ["b", "a"]), ["b", "a"]),
        (pd.Categorical(["s10", "s2", "s1"]), ["s1", "s2", "s10"]),  # as pandas sorts them: s1, s10, s2
        (pd.Categorical(["s10", "s2", "s1"], ["s1", "s10", "s2"], ordered=True), ["s1", "s10", "s2"]),
        (pd.Categorical([10, 2, -1, -3]), ["-3", "-1", "2", "10"]),
        ([10, 2, -1, -3], ["-3", "-1", "2", "10"]),
        ([0.5, -1.5, np.nan], ["-1.5", "0.5", "(missing)"]),
        (["s10", "s2", None], ["s2", "s10", "(missing)"]),
        (pd.Categorical(["a", None], ["b", "a"]), ["b", "a", "(missing)"]),
        ([True, False], ["False", "True"]),
        (pd.Categorical([None, None]), ["(missing)"]),
    ],
)
def test_levels_stand_in_the_order_of_their_kind_and_missing_labels_last(column, levels):
    found = levels_of(pd.Series(column))
    assert found.levels == levels
    assert set(found.labels) <= set(levels)
    assert len(found.labels) == len(column)


def test_each_cell_has_its_label():
    assert levels_of(pd.Series(["b", None, "a"])).labels == ["b", "(missing)", "a"]
