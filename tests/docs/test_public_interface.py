"""The walk over everything public: each name is in the reference, each parameter and option is explained."""

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path

import pytest
import typer.main
from public import documents_fields, parameters, public_objects

import unbatch as ub
from unbatch.cli import app

OBJECTS = public_objects()
PROGRAM = typer.main.get_command(app)
API = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def entries(docstring):
    """Parameters that have an entry with a text in the numpy section `Parameters`."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", docstring, flags=re.DOTALL | re.MULTILINE)
    if section is None:
        return set()
    found = set()
    for names, text in re.findall(r"^(\S[^\n]*)\n((?: +[^\n]*\n?|\n)*)", section.group(1), flags=re.MULTILINE):
        if text.strip():
            found |= {name.strip() for name in names.split(":")[0].split(",")}
    return found


def explained_fields(cls):
    """Fields of a dataclass with a string below them, its own or inherited."""
    found = set()
    for one in cls.__mro__:
        if one is object:
            continue
        tree = ast.parse(Path(inspect.getsourcefile(one)).read_text())
        (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == one.__name__]
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                found.add(field.target.id)
    return found


def test_the_walk_finds_what_users_call():
    assert {"tl.batch_effects", "pp.adjust_counts", "get.batch_effects", "pl.batch_effects"} <= OBJECTS.keys()
    assert {"datasets.toy", "simulate", "BatchModel", "BatchModel.fit", "BatchModel.map", "BatchFit"} <= OBJECTS.keys()
    assert len(OBJECTS) > 30
    assert {name.split(".")[0] for name in OBJECTS} | {"InputError", "InputWarning", "__version__"} == set(ub.__all__)


def test_an_entry_needs_a_text():
    assert entries(
        "Do.\n\nParameters\n----------\none\n    A text.\ntwo, three : int\n    Two.\nfour\n\nReturns\n"
    ) == {
        "one",
        "two",
        "three",
    }


@pytest.mark.parametrize("name", OBJECTS)
def test_every_parameter_has_an_entry(name):
    value = OBJECTS[name]
    docstring = inspect.getdoc(value)
    assert docstring, name
    known = entries(docstring)
    if documents_fields(value):
        known |= explained_fields(value)
    assert [one for one in parameters(value) if one not in known] == []


@pytest.mark.parametrize("name", OBJECTS)
def test_every_name_is_in_the_reference(name):
    where = name.split(".", maxsplit=1)[0]
    assert f"module:: unbatch.{where}\n" in API or f":: unbatch.{where}\n" in API


@pytest.mark.parametrize("name", PROGRAM.commands)
def test_every_option_has_help(name):
    command = PROGRAM.commands[name]
    assert command.help
    assert len(command.params) > 1
    assert [one.name for one in command.params if not (getattr(one, "help", None) or "").strip()] == []
