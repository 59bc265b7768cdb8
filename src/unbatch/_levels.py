"""The levels of a column as figures and pages show them: their names, and the order in which they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

MISSING = "(missing)"
"""What cells without a label are called; they stand last."""


@dataclass(frozen=True)
class Levels:
    """A column of labels as text.

    Attributes
    ----------
    labels
        (n_cells,) the label of each cell.
    levels
        Every label once, in the order in which they are shown; of a categorical column also those without cells.
    """

    labels: list[str]
    levels: list[str]


def levels_of(column: pd.Series) -> Levels:
    """Give the labels of a column and their order.

    Categories keep their order, other labels are sorted: numbers by value, text by name with the numbers in it by size.
    So are categories that are no more than sorted by name, letter by letter, as pandas makes them from text.
    """
    known = column.dropna()
    if isinstance(column.dtype, pd.CategoricalDtype):
        found = list(column.cat.categories)
        alphabetical = not column.cat.ordered and all(isinstance(level, str) for level in found)
        as_text = alphabetical and found == sorted(found)
    else:
        as_text = not pd.api.types.is_numeric_dtype(column)
        found = list(known.unique()) if as_text else sorted(known.unique())
    names = [str(level) for level in found]
    names = natural_order(names) if as_text else names
    labels = column.astype(object).where(column.notna(), MISSING).map(str).tolist()
    levels = [level for level in dict.fromkeys(names) if level != MISSING]
    return Levels(labels, [*levels, MISSING] if MISSING in labels else levels)


def natural_order(names: Iterable[str]) -> list[str]:
    """Sort names so that "type 2" comes before "type 10"."""
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    # a number sorts by its number of digits, then by them: int() refuses thousands of digits
    parts = [(part, part.lstrip("0")) for part in re.split(r"(\d+)", name)]
    return [(len(digits) + 1, digits) if part.isdecimal() else (0, part) for part, digits in parts]
