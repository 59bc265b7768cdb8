"""Names beside dots, where there is room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unbatch.pl import _style
from unbatch.pl._names import legible_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

    from unbatch._types import FloatArray

_SIZE = 7.0
_AWAY = 5.0
_LONGEST = 27
_SIDES = (("center", 0, 1), ("left", 1, 0), ("right", -1, 0), ("left", 1, 1), ("right", -1, 1), ("center", 0, -1))
"""Alignment of the name, and on which side of the dot it stands: across, and up."""


def write_beside(ax: Axes, x: FloatArray, y: FloatArray, names: Sequence[str]) -> None:
    """Write names beside their dots, the first ones first, leaving out those without room.

    The limits, the legend and the labels of the axes must be final.

    Parameters
    ----------
    x, y
        (n,), places of the dots.
    names
        (n,).
    """
    from matplotlib.patheffects import withStroke

    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # so that the axes are where they will be
    ground = "white" if _style.ink(ax) == "black" else "black"
    frame = ax.get_window_extent()
    taken: list[Bbox] = []
    for name, across, up in zip(legible_names(names, longest=_LONGEST), x.tolist(), y.tolist(), strict=True):
        for align, side, rise in _SIDES:
            text = ax.annotate(
                name,
                (across, up),
                xytext=(side * _AWAY, rise * 1.4 * _AWAY),
                textcoords="offset points",
                ha=align,
                va={0: "center_baseline", 1: "bottom", -1: "top"}[rise],
                fontsize=_SIZE,
                parse_math=False,
                path_effects=[withStroke(linewidth=3.0, foreground=ground)],
            )
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
