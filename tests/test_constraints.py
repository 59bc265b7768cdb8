"""What `make` installs is pinned, all of it: the same commit gives the same environment."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSTALLED_BY_MAKE = ("test", "lint", "docs")
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINNED = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in LINES}


def needed(requirement, extras=("",)):
    """Requirements behind a requirement, as far as they are installed here."""
    try:
        behind = requires(requirement.name) or []
    except PackageNotFoundError:
        return []
    found = [Requirement(line) for line in behind]
    return [one for one in found if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in extras)]


def test_constraints_are_plain_lines_each_once():
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    assert len(PINNED) == len(LINES)
    assert {"pip"} <= PINNED.keys()
    assert not {"unbatch", "setuptools"} & PINNED.keys()


def roots():
    lines = list(PROJECT["project"]["dependencies"])
    for group in INSTALLED_BY_MAKE:
        lines += PROJECT["dependency-groups"][group]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("requirement", roots(), ids=str)
def test_every_requirement_is_pinned_within_its_bounds(requirement):
    assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)], prereleases=True)


def test_everything_behind_the_requirements_is_pinned():
    waiting, seen = roots(), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in seen:
            seen.add(name)
            waiting += needed(requirement, ("", *requirement.extras))
    assert len(seen) > len(roots()) + 10
    assert sorted(seen - PINNED.keys()) == []
