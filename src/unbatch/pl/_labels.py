"""Names beside dots, where there is room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl._names import legible_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray

_SIZE = 7.0
_AWAY = 4.0
_LONGEST = 20


def write_beside(ax: Axes, x: FloatArray, y: FloatArray, names: Sequence[str]) -> None:
    """Write names beside their dots, the first ones first, leaving out those without room.

    The limits of the axes must be final. Room is judged from the number of letters, so that it costs nothing.

    Parameters
    ----------
    x, y
        (n,), places of the dots.
    names
        (n,).
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    place = ax.get_position()
    width, height = np.array([place.width, place.height]) * figure.get_size_inches() * 72
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    taken: list[tuple[float, float, float, float]] = []
    for name, across, up in zip(legible_names(names, longest=_LONGEST), x.tolist(), y.tolist(), strict=True):
        at = ((across - left) / (right - left) * width, (up - low) / (high - low) * height)
        size = (0.62 * _SIZE * len(name), 1.15 * _SIZE)
        for side, rise in ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            start = at[0] + _AWAY if side > 0 else at[0] - _AWAY - size[0]
            floor = at[1] - size[1] / 2 + rise * size[1]
            box = (start, floor, start + size[0], floor + size[1])
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height
            if inside and not any(_meet(box, other) for other in taken):
                ax.annotate(
                    name,
                    (across, up),
                    xytext=(side * _AWAY, rise * size[1]),
                    textcoords="offset points",
                    ha="left" if side > 0 else "right",
                    va="center",
                    fontsize=_SIZE,
                    parse_math=False,
                )
                taken.append(box)
                break


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
