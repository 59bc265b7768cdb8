"""Methods are chosen by name from one table; options that do not belong are refused by name."""

import pytest

import unbatch as ub
from unbatch.methods import DEFAULT_METHOD, METHODS, find_method, options_for


def test_every_method_is_found_by_its_name_and_by_its_options():
    for method in METHODS:
        options = options_for(method.name)
        assert isinstance(options, method.options)
        assert find_method(options) is method


def test_chosen_options_replace_defaults_and_only_those():
    options = options_for("concept", {"n_neighbors": 7})
    assert options == ub.ConceptOptions(n_neighbors=7)
    assert options.n_dims == ub.ConceptOptions().n_dims


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(ub.InputError, match=r"no method 'concpt': choose 'matched' or 'concept'"):
        options_for("concpt")


def test_an_option_of_no_method_lists_the_valid_ones():
    with pytest.raises(ub.InputError, match="no option 'caliper': its options are n_dims, n_neighbors, max_iter, tol"):
        options_for("concept", {"caliper": 1.0})
    with pytest.raises(
        ub.InputError, match="'matched' has no option 'n_neighbors': its options are n_dims, n_embedding_dims"
    ):
        options_for("matched", {"n_neighbors": 3})


def test_anything_else_is_no_method():
    with pytest.raises(ub.InputError, match=r"3 is no method: give unbatch.MatchedOptions\(...\) or 'matched', "):
        find_method(3)


def test_the_default_is_one_of_them():
    assert DEFAULT_METHOD in {method.name for method in METHODS}
