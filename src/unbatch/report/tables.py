"""Tables of a page: what stands in them, and the small pictures beside the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from unbatch._types import FloatArray

MOST_ROWS = 25
"""Rows of a table at most; a note under it says what was left out."""

STRIP_WIDTH = 160
_MARGIN = 6


@dataclass(frozen=True)
class Strip:
    """Numbers of a row on a scale from 0 to a maximum, as a picture beside them."""

    before: float | None
    """Place of the open mark; None for no such mark."""
    after: float | None
    """Place of the full mark."""
    low: float
    """Where the band begins."""
    high: float
    """Where it ends; no band if that is where it begins."""


Rows: TypeAlias = list[tuple[str | Strip, ...]]
"""Rows of a table, not yet cut."""


@dataclass(frozen=True)
class Column:
    """What is common to a column."""

    label: str
    kind: str = "number"
    """"name" (first column: names its row), "text", "number" or "strip"."""


@dataclass(frozen=True)
class Table:
    """A table ready to be shown: every cell is text, or a `Strip`."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Strip, ...], ...]
    note: str = ""


def table(
    caption: str,
    columns: Sequence[Column],
    cells: Sequence[Sequence[str | Strip]],
    *,
    total: int = 0,
    order: str = "",
) -> Table:
    """Put rows, which come in the order of their importance, into a table, and say how many did not find a place.

    Parameters
    ----------
    caption
        What the table is about, for everyone, and read first by a screen reader.
    columns
        One for each cell of a row; the first names the row.
    cells
        Rows.
    total
        Number of rows that there are, if not all of them are here.
    order
        What the rows are in order of, for the note: "the lowest share".
    """
    note = f"{len(cells)} of {total:,} rows: those with {order}." if total > len(cells) else ""
    return Table(caption, tuple(columns), tuple(tuple(row) for row in cells), note)


def strips(
    before: FloatArray | None,
    after: FloatArray | None,
    *,
    low: FloatArray | None = None,
    high: FloatArray | None = None,
) -> list[Strip]:
    """Put the numbers of each row on one scale from 0 to the largest of them all; numbers that are not known stay away.

    Parameters
    ----------
    before, after
        (n_rows,) places of the open and of the full mark; None for no such marks.
    low, high
        (n_rows,) ends of the band, in which values are as they should be; None for no band.
    """
    given = [np.asarray(values, dtype=np.float64) for values in (before, after, low, high) if values is not None]
    finite = np.concatenate([values[np.isfinite(values)] for values in given])
    top = max(float(finite.max(initial=0.0)), 1e-12)
    n_rows = len(given[0])
    nothing = np.zeros(n_rows)

    def place(values: FloatArray | None, row: int) -> float | None:
        if values is None or not np.isfinite(values[row]):
            return None
        return round(_MARGIN + (STRIP_WIDTH - 2 * _MARGIN) * float(np.clip(values[row] / top, 0, 1)), 1)

    lows, highs = (nothing if low is None else low), (nothing if high is None else high)
    return [
        Strip(place(before, row), place(after, row), place(lows, row) or _MARGIN, place(highs, row) or _MARGIN)
        for row in range(n_rows)
    ]
