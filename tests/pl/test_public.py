"""Every figure follows the same rules: documented arguments, an axes taken by keyword and given back, nothing shown."""

import inspect
import re

import pytest

from unbatch import pl

FIGURES = sorted(set(pl.__all__) - {"strongest_genes", "tsne"})


@pytest.mark.parametrize("name", pl.__all__)
def test_every_argument_is_documented(name):
    section = inspect.getdoc(getattr(pl, name)).split("Parameters\n")[1].split("\n\n")[0]
    for parameter in inspect.signature(getattr(pl, name)).parameters:
        assert re.search(rf"^(.+, )?{parameter}\b", section, flags=re.MULTILINE), parameter


@pytest.mark.parametrize("name", FIGURES)
def test_an_axes_is_taken_by_keyword_and_none_by_default(name):
    parameter = inspect.signature(getattr(pl, name)).parameters["ax"]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default is None


@pytest.mark.parametrize("name", sorted(pl.__all__))
def test_at_most_three_arguments_go_without_their_name(name):
    parameters = inspect.signature(getattr(pl, name)).parameters.values()
    assert sum(parameter.kind is not inspect.Parameter.KEYWORD_ONLY for parameter in parameters) <= 3
