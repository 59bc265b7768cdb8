"""What figures with one line per batch, gene or pair share: names at the left, dots and intervals at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style
from unbatch.pl._names import LONGEST, legible_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray, IntArray

_SIZE = 34.0
_TICK = 110.0
_LETTER, _USUAL = 0.07, 10
"""Inches of a letter, and letters of a name that a figure has room for as it is."""
_FEWEST = 4


def axes_for_rows(ax: Axes | None, names: Sequence[str], *, width: float = 5.2, longest: int = LONGEST) -> Axes:
    """Give axes with one named line per row, the first at the top; a new figure is as high as its rows need."""
    letters = max((len(name) for name in legible_names(names, longest=longest)), default=0)
    ax = _style.given_or_new_axes(
        ax, figsize=(width + _LETTER * max(letters - _USUAL, 0), 1.1 + 0.2 * max(len(names), _FEWEST))
    )
    ax.set_ylim(len(names) - 0.4, -0.6)
    _style.name_rows(ax, names, longest=longest)
    ax.grid(axis="x", color=_style.NEUTRAL, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def first_rows(order: IntArray, *, what: str, most: int, by: str) -> tuple[IntArray, str]:
    """Cut rows to those that can be read, and say so in the name of the axis.

    Parameters
    ----------
    order
        Rows in the order in which they are shown.
    what
        What a row is.
    most
        Rows at most.
    by
        What the order is.

    Returns
    -------
    The rows to show, and the name of the axis.
    """
    if len(order) <= most:
        return order, what
    return order[:most], f"{what} ({most} of {len(order):,}, {by})"


def change(ax: Axes, before: FloatArray, after: FloatArray, *, labels: tuple[str, str] = ("before", "after")) -> None:
    """Draw a hollow dot before, a full one after, and a line between them, in each row."""
    rows = np.arange(len(before))
    both = np.isfinite(before) & np.isfinite(after)
    ax.hlines(rows[both], before[both], after[both], color=_style.NEUTRAL, linewidth=1.0, zorder=1)
    for values, colour, full, label in zip(
        (before, after), (_style.BEFORE, _style.AFTER), (False, True), labels, strict=True
    ):
        known = np.isfinite(values)
        ax.scatter(
            values[known],
            rows[known],
            s=_SIZE,
            facecolors=colour if full else "none",
            edgecolors=colour,
            linewidths=1.3,
            zorder=3 if full else 2,
            label=label,
        )


def ticks(ax: Axes, values: FloatArray, *, label: str) -> None:
    """Draw a short upright line in each row."""
    rows = np.arange(len(values))
    ax.scatter(values, rows, marker="|", s=_TICK, color=_style.ink(ax), linewidths=1.3, label=label, zorder=2)


def intervals(
    ax: Axes, centre: FloatArray, lower: FloatArray, upper: FloatArray, *, groups: Sequence[str], title: str
) -> None:
    """Draw a dot with an interval in each row, coloured by group, and a line at 0.

    Parameters
    ----------
    centre, lower, upper
        (n_rows,).
    groups
        (n_rows,), names; "" for none. Without any, no legend is drawn.
    title
        What the groups are.
    """
    rows = np.arange(len(centre))
    ax.axvline(0, color=_style.ink(ax), linewidth=0.8, zorder=1)
    levels = sorted(set(groups) - {""})
    styles = _style.category_styles(len(levels), ink=_style.ink(ax))
    names = ["none of these", *legible_names(levels, longest=20)]
    plain = (_style.NEUTRAL if levels else _style.AFTER, "o")
    for level, name, (colour, marker) in zip(["", *levels], names, [plain, *styles], strict=True):
        mine = np.array([group == level for group in groups], dtype=bool)
        if mine.any():
            ax.hlines(rows[mine], lower[mine], upper[mine], color=colour, linewidth=1.4, zorder=2)
            ax.scatter(
                centre[mine], rows[mine], s=_SIZE, color=colour, marker=marker, linewidths=0, zorder=3, label=name
            )
    if any(groups):
        ax.legend(title=title)
        _style.place_legend(ax)
