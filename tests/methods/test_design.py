"""What a user says of the design reaches the method, and its faults are told before the counts are read."""

import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from unbatch import InputError, InputWarning
from unbatch.io.batches import Batches
from unbatch.io.source import open_counts
from unbatch.methods.design import check_within, control_mask


def labels(names, key=()):
    levels = tuple(dict.fromkeys(names))
    return Batches(np.array([levels.index(name) for name in names], dtype=np.int32), levels, key=key)


@pytest.fixture
def source():
    return open_counts(ad.AnnData(np.ones((3, 4)), var=pd.DataFrame(index=["GAPDH", "ACTB", "MALAT1", "XIST"])))


def test_a_crossed_design_raises_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crossing = check_within(labels(["a", "b"] * 8), labels([*"uuuuuuuu", *"vvvvvvvv"], ("stim",)))
    assert crossing.table.tolist() == [[4, 4], [4, 4]]
    assert crossing.n_groups == 1


def test_groups_that_share_no_level_are_named_with_the_table():
    batches = labels([*"aaaa", *"bbbb", *"ccc"])
    within = labels(["ctrl", "ctrl", "drug", "drug", "drug", "drug", "drug", "ctrl", "wash", "wash", "wash"], ("stim",))
    with pytest.warns(InputWarning) as caught:
        assert check_within(batches, within).n_groups == 2
    (warning,) = caught
    text = str(warning.message)
    assert text.startswith("batches and obs['stim'] are partly confounded.")
    assert "'a', 'b' | 'c'" in text
    assert "'a': ctrl 2, drug 2; 'b': ctrl 1, drug 3; 'c': wash 3" in text


def test_batches_with_a_level_each_are_fully_confounded():
    with pytest.warns(InputWarning, match=r"fully confounded: each batch has a single level\. .* 'a' \| 'b'"):
        check_within(labels([*"aaabbb"]), labels([*"uuuvvv"], ("stim",)))


def test_a_single_level_changes_nothing_and_says_so():
    with pytest.warns(InputWarning, match=r"obs\['stim'\] has a single level, 'u': matching inside it changes nothing"):
        check_within(labels([*"aaabbb"]), labels([*"uuuuuu"], ("stim",)))


def test_the_warning_stays_short_however_many_batches():
    names = [f"batch{number:03}" for number in range(300) for _ in range(2)]
    with pytest.warns(InputWarning) as caught:
        check_within(labels(names), labels([name.replace("batch", "level") for name in names]))
    text = str(caught[0].message)
    assert len(text) < 1500
    assert "and 292 more groups" in text
    assert "and 292 more batches" in text
    assert text.startswith("batches and the condition are")


def test_one_condition_per_cell_is_needed():
    with pytest.raises(InputError, match="there are 2 conditions for 3 cells"):
        check_within(labels([*"aab"]), labels([*"uv"]))


def test_control_genes_are_found_by_name(source):
    assert control_mask(source, ["XIST", "ACTB", "XIST"]).tolist() == [False, True, False, True]
    assert control_mask(source, "MALAT1").tolist() == [False, False, True, False]


def test_unknown_control_genes_are_counted_and_the_first_named(source):
    with pytest.warns(
        InputWarning, match=r"7 of 8 control genes are no genes .*: 'E0', 'E1', 'E2', 'E3', 'E4', \.\.\."
    ):
        mask = control_mask(source, ["GAPDH", *[f"E{number}" for number in range(7)]])
    assert mask.tolist() == [True, False, False, False]


def test_no_known_control_gene_is_an_error_that_shows_how_genes_are_called(source):
    message = r"none of the 2 control genes ('ENSG1', 'ENSG2') is a gene of"
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        control_mask(source, ["ENSG1", "ENSG2"])
    assert "called like 'GAPDH', 'ACTB'" in str(caught.value)


def test_an_empty_list_of_control_genes_is_an_error(source):
    with pytest.raises(InputError, match="control_genes is empty"):
        control_mask(source, [])
