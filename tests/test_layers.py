"""The package's imports go one way: from a layer to itself or to a lower one."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "unbatch"

LAYERS = [
    ["__main__", "cli", "_stopping", "_streams"],
    ["demo"],
    ["__init__"],  # the public names
    ["report"],
    ["tl", "pp", "pl", "get"],
    ["model"],
    ["programmes", "offsets"],
    ["diagnosing"],
    ["assembly", "adjusting", "mapping", "mapping_checks", "ranking", "raw_counts"],
    ["unknown_batches"],
    ["methods"],
    ["slots", "slot_checks", "stored_fit", "stored_parts", "fitted", "fitted_cells", "labels", "sampled_cells"],
    ["datasets", "simulation"],
    ["io"],
    ["core"],
    ["_progress"],
    ["_types", "_check", "_interruption", "_levels", "_memory", "_results", "_threads"],
]
"""Top to bottom. A new module of the package finds its place here."""

DEPTH = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}


def modules(package):
    """Name and file of each module, the package itself as its `__init__`."""
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        yield ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts), file


def imported(file, *, module, package):
    """Name of each module of the package that a file imports, anywhere in it, with its line."""
    is_package = file.name == "__init__.py"
    inside = [package.name, *(module.split(".") if module != "__init__" else [])]
    for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + is_package] if node.level else []
            base = above + (node.module.split(".") if node.module else [])
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, target[1:]) for target in targets if target[0] == package.name)


def top_name(target, package):
    """The part of the package that a dotted name belongs to; a name that is no module belongs to `__init__`."""
    first = target[0] if target else "__init__"
    is_module = (package / first).is_dir() or (package / f"{first}.py").exists()
    return first if is_module else "__init__"


def faults(package):
    """Every import that goes up, and every module without a place in `LAYERS`."""
    found = []
    for module, file in modules(package):
        here = module.split(".")[0]
        if here not in DEPTH:
            found.append(f"{module}: has no place in LAYERS")
            continue
        for line, target in imported(file, module=module, package=package):
            there = top_name(target, package)
            if there in DEPTH and DEPTH[there] < DEPTH[here]:
                found.append(f"{module}, line {line}: {here} imports {there}, which lies above it")
    return found


def test_no_module_imports_from_a_layer_above_it():
    assert faults(PACKAGE) == []


def test_every_module_of_the_package_is_looked_at():
    looked_at = dict(modules(PACKAGE))
    assert {"__init__", "core", "core.concept", "_types"} <= looked_at.keys()
    names = {
        top_name(target, PACKAGE)
        for name, file in looked_at.items()
        for _, target in imported(file, module=name, package=PACKAGE)
    }
    assert {"core", "_types", "_check"} <= names


@pytest.fixture
def planted(tmp_path):
    """Write a small package of the same name."""

    def write(files):
        package = tmp_path / "unbatch"
        for name in ("__init__.py", "core/__init__.py", "io/__init__.py", "tl.py", "_types.py", *files):
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(files.get(name, ""))
        return package

    return write


@pytest.mark.parametrize(
    "upward",
    [
        "import unbatch.io",
        "import numpy, unbatch.tl as tl",
        "from unbatch.io.source import open_counts",
        "from unbatch import tl",
        "from unbatch import simulate",  # a public name, from the package itself
        "import unbatch",
        "from ..io import source",
        "from .. import tl",
        "def late():\n    from unbatch import tl",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from unbatch.io import source",
    ],
)
def test_a_planted_upward_import_is_found(planted, upward):
    found = faults(planted({"core/matching.py": upward}))
    assert len(found) == 1
    assert "core.matching, line" in found[0]
    assert "lies above it" in found[0]


@pytest.mark.parametrize("upward", ["from . import io", "from .io import source"])
def test_a_planted_upward_import_of_a_package_itself_is_found(planted, upward):
    assert len(faults(planted({"core/__init__.py": upward.replace(".", "..", 1)}))) == 1
    assert faults(planted({"core/__init__.py": "from . import matching", "core/matching.py": ""})) == []


@pytest.mark.parametrize(
    "allowed",
    [
        "import unbatch._types",
        "from unbatch._types import Counts",
        "from unbatch.core import other",
        "from .other import x",
        "from .._types import Counts",
        "import numpy.io",
        "from unbatchable import tl",
    ],
)
def test_imports_to_the_side_and_down_are_allowed(planted, allowed):
    assert faults(planted({"core/matching.py": allowed, "core/other.py": ""})) == []


def test_a_module_without_a_place_is_named(planted):
    assert faults(planted({"utils.py": ""})) == ["utils: has no place in LAYERS"]
