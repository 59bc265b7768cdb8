"""What all figures share: colours that every reader can tell apart, a new axes where none is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage

    from unbatch._types import FloatArray

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito (2008): eight colours that readers with any common colour-vision deficiency can tell apart."""
MARKERS = ("o", "^", "s", "D", "v")
NEUTRAL = "#999999"
MISSING = "#D9D9D9"
DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"
RASTERISE_ABOVE = 2000
"""Dots drawn as vectors at most; more of them are drawn as one image inside the figure."""
MAX_LEGEND = 40
"""Entries of a legend at most; beyond that the axes title gives the number of levels."""


def category_styles(n_levels: int) -> list[tuple[str, str]]:
    """Give each of ``n_levels`` categories a colour and a marker; the marker changes when the colours are used up."""
    n = len(COLOURS)
    return [(COLOURS[i % n], MARKERS[(i // n) % len(MARKERS)]) for i in range(n_levels)]


def dot_size(n_dots: int) -> float:
    """Area of a dot in points squared: smaller as there are more, from 14 down to 1."""
    return float(min(14.0, max(1.0, 9000.0 / max(n_dots, 1))))


def rasterise(n_dots: int) -> bool:
    """Whether so many dots are better drawn as one image inside the figure."""
    return n_dots > RASTERISE_ABOVE


def given_or_new_axes(ax: Axes | None, *, figsize: tuple[float, float]) -> Axes:
    """Return ``ax``, or the axes of a new pyplot figure of ``figsize`` inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, new = plt.subplots(figsize=figsize, layout="constrained")
    return new


def open_frame(ax: Axes) -> None:
    """Leave only the left and the bottom line of the frame."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_of_levels(ax: Axes, levels: Sequence[str], *, title: str) -> None:
    """Write the levels of a categorical colouring to the right of the axes, or their number into its title."""
    from matplotlib.lines import Line2D

    if len(levels) > MAX_LEGEND:
        ax.set_title(f"{title} ({len(levels)} levels)")
        return
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=level)
        for level, (colour, marker) in zip(levels, category_styles(len(levels)), strict=True)
    ]
    ax.legend(
        handles=handles,
        title=title,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        ncols=1 + (len(levels) - 1) // 20,
        handletextpad=0.2,
        borderaxespad=0.2,
    )


def write_values(ax: Axes, image: AxesImage, texts: Sequence[Sequence[str]]) -> None:
    """Write one text into each cell of a heat map, dark on light cells and light on dark ones."""
    shades: FloatArray = image.to_rgba(np.ma.asarray(image.get_array()))[..., :3] @ [0.299, 0.587, 0.114]
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            ink = "black" if shades[row, column] > 0.5 else "white"  # noqa: PLR2004 - half of full brightness
            ax.text(column, row, text, ha="center", va="center", color=ink, fontsize="small")


def colour_map(name: str) -> Colormap:
    """Colour map of that name with grey for missing values."""
    import matplotlib as mpl

    return mpl.colormaps[name].with_extremes(bad=MISSING)


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Label the columns of a heat map, slanted where the names would not fit side by side."""
    long = max(map(len, names), default=0) > 4 or len(names) > 12  # noqa: PLR2004 - what fits side by side
    ax.set_xticks(
        range(len(names)),
        list(names),
        rotation=45 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
        fontsize=name_size(len(names)),
    )
    ax.tick_params(length=0)


def name_size(n_names: int) -> str:
    """Font size of the names of so many rows or columns."""
    return "medium" if n_names <= 12 else "x-small"  # noqa: PLR2004 - what fits side by side
