"""Every argument of the public interface is documented, and every example gives what it says."""

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import unbatch as ub
from unbatch.methods import METHODS

FUNCTIONS = {
    "tl.batch_effects": ub.tl.batch_effects,
    "tl.rank_batch_genes": ub.tl.rank_batch_genes,
    "tl.factors": ub.tl.factors,
    "pp.adjust_counts": ub.pp.adjust_counts,
    "pp.add_offsets": ub.pp.add_offsets,
    "get.batch_effects": ub.get.batch_effects,
    "get.offsets": ub.get.offsets,
    "get.pseudobulks": ub.get.pseudobulks,
    "get.factors": ub.get.factors,
    "get.factor_choice": ub.get.factor_choice,
    "simulate": ub.simulate,
    "simulate_to_file": ub.simulate_to_file,
    "write_report": ub.write_report,
    "BatchModel": ub.BatchModel,
    "BatchModel.fit": ub.BatchModel.fit,
    "BatchModel.fit_source": ub.BatchModel.fit_source,
    "BatchModel.adjust": ub.BatchModel.adjust,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_documented(name):
    section = inspect.getdoc(FUNCTIONS[name]).split("Parameters\n")[1].split("\n\n")[0]
    parameters = [parameter for parameter in inspect.signature(FUNCTIONS[name]).parameters if parameter != "self"]
    assert parameters
    for parameter in parameters:
        assert re.search(rf"\b{parameter}\b", section), parameter


@pytest.mark.parametrize("options", [method.options for method in METHODS])
def test_every_option_of_a_method_is_documented(options):
    body = ast.parse(Path(inspect.getsourcefile(options)).read_text())
    (definition,) = [node for node in body.body if isinstance(node, ast.ClassDef) and node.name == options.__name__]
    pairs = list(zip(definition.body, definition.body[1:], strict=False))
    fields = {node.target.id: after for node, after in pairs if isinstance(node, ast.AnnAssign)}
    assert set(fields) == set(inspect.signature(options).parameters)
    for name, after in fields.items():
        assert isinstance(after, ast.Expr), name
        assert isinstance(after.value, ast.Constant), name


@pytest.mark.parametrize("name", ["unbatch", "unbatch.tl", "unbatch.pp", "unbatch.model"])
def test_examples_give_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
