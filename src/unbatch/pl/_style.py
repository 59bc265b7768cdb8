"""What all figures share: colours that every reader can tell apart, axes, legends, and room for names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl._names import LONGEST, legible, legible_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from unbatch._types import FloatArray, IntArray

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito (2008): eight colours that readers with any common colour-vision deficiency can tell apart."""
BEFORE, AFTER = COLOURS[1], COLOURS[0]
MARKERS = ("o", "^", "s", "D", "v")
NEUTRAL = "#999999"
MISSING = "#D9D9D9"
DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"
RASTERISE_ABOVE = 2000
"""Dots drawn as vectors at most; more of them are drawn as one image inside the figure."""
MAX_LEGEND = 40
"""Entries of a legend at most; beyond that the axes title gives the number of levels."""
MAX_ROWS = 40
"""Rows of a figure with one line per batch, gene or pair at most."""
_MARGIN = 0.08
"""Inches."""
_LEGEND_DOT = 20.0
_LEGEND_ROWS = 14
"""What fits beside a figure of the usual height."""
_USUAL_LEGEND = 0.9
_SMALLEST = 6.0
"""Points: letters smaller than that are not read."""
_LINE, _LETTER = 1.2, 0.6
"""Height of a line and width of a letter, in font sizes."""
_FULL = 0.7
"""Share of the room of a column that its name may take: the layout leaves less than was judged from outside."""
_SLANTED_AT_MOST = 25
_LONGEST_BELOW = 20
_INCH = 10 / 72
"""A font size."""
_LOWEST = 1.6
"""Inches of a colour bar that its label fits beside."""


def ink(ax: Axes) -> str:
    """Colour of lines on these axes: black on a light ground, white on a dark one."""
    from matplotlib.colors import to_rgba

    ground = to_rgba(ax.get_facecolor())
    if ground[3] < 0.5 and ax.figure is not None:  # noqa: PLR2004 - rather seen through than seen
        ground = to_rgba(ax.figure.get_facecolor())
    return "black" if brightness(np.array(ground[:3])) > 0.5 else "white"  # noqa: PLR2004 - half of full brightness


def brightness(colours: FloatArray) -> FloatArray:
    """Brightness from 0 to 1 of colours (..., 3) of red, green and blue."""
    seen: FloatArray = colours @ np.array([0.299, 0.587, 0.114])
    return seen


def category_styles(n_levels: int, *, ink: str = "black") -> list[tuple[str, str]]:
    """Give each of ``n_levels`` categories a colour and a marker; the marker changes when the colours are used up.

    ``ink`` stands in for black, which nobody sees on a dark ground.
    """
    colours = [*COLOURS[:-1], COLOURS[-1] if ink == "black" else ink]
    n = len(colours)
    return [(colours[i % n], MARKERS[(i // n) % len(MARKERS)]) for i in range(n_levels)]


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

    figure, new = plt.subplots(figsize=figsize, layout="constrained")
    leave_margin(figure)
    return new


def leave_margin(figure: Figure) -> None:
    """Keep a margin around everything on a new figure."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=_MARGIN, h_pad=_MARGIN))


def say(ax: Axes | None, sentence: str) -> Axes:
    """Write a sentence where a figure would be, since there is nothing to draw."""
    ax = given_or_new_axes(ax, figsize=(3.6, 1.0))
    ax.text(0.5, 0.5, sentence, transform=ax.transAxes, ha="center", va="center", wrap=True)
    ax.set_axis_off()
    return ax


def widen_for_legends(ax: Axes) -> None:
    """Make the new figure of these axes wider by its legends, so that they take nothing from the data."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    legends = [ax.get_legend() for ax in figure.axes]
    widths = [legend.get_window_extent().width / figure.dpi for legend in legends if legend is not None]
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + max([0.0, *(width - _USUAL_LEGEND for width in widths)]), height)


def open_frame(ax: Axes) -> None:
    """Leave only the left and the bottom line of the frame."""
    ax.spines[["top", "right"]].set_visible(False)


def legend_of_levels(
    ax: Axes, levels: Sequence[str], *, title: str, styles: Sequence[tuple[str, str]] | None = None
) -> None:
    """Write the levels of a categorical colouring to the right of the axes, or their number into its title.

    ``styles`` are the colour and the marker of each, by default those of so many categories.
    """
    from matplotlib.lines import Line2D

    if len(levels) > MAX_LEGEND:
        ax.set_title(f"{legible(title)} ({len(levels)} levels)", parse_math=False)
        return
    styles = category_styles(len(levels), ink=ink(ax)) if styles is None else styles
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=level)
        for level, (colour, marker) in zip(legible_names(levels, longest=20), styles, strict=True)
    ]
    ax.legend(handles=handles, title=legible(title), ncols=1 + (len(levels) - 1) // _LEGEND_ROWS)
    place_legend(ax)


def place_legend(ax: Axes) -> None:
    """Put the legend to the right of the axes, its entries as they are written."""
    from matplotlib.collections import PathCollection

    legend = ax.get_legend()
    assert legend is not None
    legend.set_loc("center left")
    legend.set_bbox_to_anchor((1.0, 0.5))
    legend.set_frame_on(False)
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):  # dots may be too small there to show their colour
            handle.set_sizes([max(float(handle.get_sizes()[0]), _LEGEND_DOT)])
            handle.set_alpha(1.0)


def write_values(ax: Axes, image: AxesImage, texts: Sequence[Sequence[str]]) -> None:
    """Write one text into each cell of a heat map, dark on light cells and light on dark ones."""
    shades = brightness(image.to_rgba(np.ma.asarray(image.get_array()))[..., :3])
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            colour = "black" if shades[row, column] > 0.5 else "white"  # noqa: PLR2004 - half of full brightness
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")


def colour_map(name: str) -> Colormap:
    """Colour map of that name with grey for missing values."""
    import matplotlib as mpl

    return mpl.colormaps[name].with_extremes(bad=MISSING)


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Name the columns of a heat map, slanted where the names would not fit side by side.

    Where letters would be too small to read, only every second, third, ... column is named.
    """
    short = legible_names(names, longest=_LONGEST_BELOW)
    room = _points(ax, across=True) / max(len(short), 1)
    shown, size = _fitting(len(short), room)
    slanted = max(map(len, short), default=0) * _LETTER * size > _FULL * room
    angle = 0 if not slanted else 45 if len(short) <= _SLANTED_AT_MOST else 90
    ax.set_xticks(
        shown,
        [short[column] for column in shown],
        rotation=angle,
        ha="right" if angle else "center",
        va="center" if angle == 90 else "top",  # noqa: PLR2004 - upright
        rotation_mode="anchor",
        fontsize=size,
        parse_math=False,
    )
    ax.tick_params(axis="x", length=0)


def name_rows(ax: Axes, names: Sequence[str], *, longest: int = LONGEST) -> None:
    """Name rows 0, 1, ... from the top, only every second, third, ... where letters would be too small to read."""
    short = legible_names(names, longest=longest)
    shown, size = _fitting(len(short), _points(ax, across=False) / max(len(short), 1))
    ax.set_yticks(shown, [short[row] for row in shown], fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)


def _points(ax: Axes, *, across: bool) -> float:
    figure = ax.get_figure(root=True)
    assert figure is not None
    place = ax.get_position()
    return float((place.width if across else place.height) * figure.get_size_inches()[0 if across else 1] * 72)


def _fitting(n_names: int, room: float) -> tuple[list[int], float]:
    """Which names fit in so many points each, and at which font size."""
    import matplotlib as mpl

    size = float(min(mpl.rcParams["font.size"], max(room / _LINE, _SMALLEST)))
    every = max(1, int(np.ceil(size * _LINE / max(room, 0.01) - 1e-9)))
    return list(range(0, n_names, every)), size


def heat_map_size(
    rows: Sequence[str], columns: Sequence[str], *, cell: tuple[float, float], most: tuple[float, float]
) -> tuple[float, float]:
    """Give a new heat map a size in inches at which its names can be read.

    Parameters
    ----------
    rows, columns
        Names.
    cell
        Width and height of a cell.
    most
        Width and height of all cells together at most.
    """
    beside, below = (
        _INCH * _LETTER * max((len(name) for name in legible_names(names, longest=longest)), default=0)
        for names, longest in ((rows, LONGEST), (columns, _LONGEST_BELOW))
    )
    width = min(max(cell[0] * len(columns), 1.0), most[0])
    height = min(max(cell[1] * len(rows), _LOWEST), most[1])
    return beside + width + 1.9, below + height + 0.7


def keep_pixels(x: FloatArray, y: FloatArray, *, above: int = 200_000, grid: int = 1000) -> IntArray:
    """Choose the dots that are seen: of very many, the last of those that fall on one point of a fine grid.

    Parameters
    ----------
    x, y
        (n,), in the order of drawing, on the scale of the axes.
    above
        Up to so many dots, all are kept.
    grid
        Points of the grid each way. More of them keep more dots: a figure larger than so many pixels needs more.

    Returns
    -------
    Indices in the order of drawing.
    """
    if len(x) <= above:
        return np.arange(len(x))
    cells = np.zeros(len(x), dtype=np.int64)
    for values in (x, y):
        low, high = float(values.min()), float(values.max())
        cells = cells * grid + np.minimum((values - low) / max(high - low, 1e-300) * grid, grid - 1).astype(np.int64)
    last = np.full(grid * grid, -1, dtype=np.int64)
    last[cells] = np.arange(len(x))
    return np.sort(last[last >= 0])


def name_size(n_names: int) -> str:
    """Font size of the names of so many groups."""
    return "medium" if n_names <= 12 else "x-small"  # noqa: PLR2004 - what fits side by side
