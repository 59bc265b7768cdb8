"""What an input is called among others: by as much of its path as tells them apart."""

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from unbatch.io.names import storable

_SUFFIXES = (".gz", ".mtx", ".h5ad", ".zarr", ".h5")


def trail_of(path: Path) -> tuple[str, ...]:
    """Give the pieces of a path as it was given, links not followed, from its end: the file's name, its folder's, ...

    Endings such as .h5ad are dropped from the first. Each can be stored, as it becomes the name of a batch.
    """
    pieces = Path(os.path.abspath(path)).parts  # noqa: PTH100 - absolute() keeps "..", resolve() follows links
    name, *folders = map(storable, reversed(pieces[1:] or pieces))
    while (stem := name.removesuffix(Path(name).suffix)) != name and name.endswith(_SUFFIXES):
        name = stem
    return (name, *folders)


def name_parts(trails: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Name inputs by the shortest piece of their paths in which all differ: the file's name, a folder's, or several.

    Of pieces of the same length the last is taken; what still is alike gets a number.

    Parameters
    ----------
    trails
        For each input, the pieces of its path from the end, or the one name that it was given.
    """
    longest = max(len(trail) for trail in trails)
    for length in range(1, longest + 1):
        for start in range(longest - length + 1):
            names = [_joined(trail[start : start + length] or trail[-1:]) for trail in trails]
            if len(set(names)) == len(names):
                return tuple(names)
    names = [trail[0] for trail in trails]
    return tuple(
        name if names.count(name) == 1 else f"{name}-{1 + names[:place].count(name)}"
        for place, name in enumerate(names)
    )


def possible_names(trail: tuple[str, ...]) -> frozenset[str]:
    """Give all that `name_parts` may call an input, whatever other inputs come along."""
    return frozenset(_joined(trail[start:stop]) for start, stop in combinations(range(len(trail) + 1), 2))


def _joined(pieces: tuple[str, ...]) -> str:
    return "/".join(reversed(pieces))
