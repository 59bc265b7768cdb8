"""Figures: cells in two dimensions, coloured by a category or by a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unbatch._check import InputError
from unbatch._levels import natural_order
from unbatch.pl import _style
from unbatch.pl._names import legible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from unbatch._types import FloatArray, IntArray


def cells(
    coordinates: FloatArray,
    labels: Sequence[str],
    *,
    title: str,
    levels: Sequence[str] | None = None,
    colours: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw one dot per cell, coloured by its label, in an order that lets no label cover the others.

    Parameters
    ----------
    coordinates
        (n_cells, 2), of no unit: the ticks are left out.
    labels
        (n_cells,), the label of each cell.
    title
        What the labels are; heads the legend.
    levels
        All levels in the order in which they take their colours and stand in the legend. Those without cells keep their
        colour to themselves and are not named. None for those that there are, sorted by name, numbers in them by size.
    colours
        Colours of levels, in any form that matplotlib knows. Levels without one take theirs by their place.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with a legend to its right for at most 40 levels. Of more than 200,000 cells, only those are drawn that
    are seen: the others lie below them.

    Raises
    ------
    InputError
        If a label is not among the levels.
    """
    from matplotlib.colors import to_rgba_array

    codes, found = pd.factorize(np.array([str(label) for label in labels], dtype=object))
    levels = natural_order(found) if levels is None else list(levels)
    place = {level: code for code, level in enumerate(levels)}
    if strangers := sorted(set(found) - set(place)):
        raise InputError(f"levels lack {len(strangers)} labels that cells have (first: {strangers[0]!r}): add them")
    codes = np.array([place[level] for level in found], dtype=np.int64)[codes]
    new = ax is None
    ax = _style.given_or_new_axes(ax, figsize=(4.4, 3.4))
    given = {} if colours is None else colours
    styles = [
        (given[level], _style.MARKERS[0]) if level in given else style
        for level, style in zip(levels, _style.category_styles(len(levels), ink=_style.ink(ax)), strict=True)
    ]
    of_levels = to_rgba_array([colour for colour, _ in styles])
    markers = np.array([marker for _, marker in styles])
    order = _drawing_order(coordinates)
    for marker in dict.fromkeys(markers.tolist()):
        chosen = order[markers[codes[order]] == marker]
        ax.scatter(
            coordinates[chosen, 0],
            coordinates[chosen, 1],
            c=of_levels[codes[chosen]],
            s=_style.dot_size(len(codes)),
            marker=marker,
            alpha=0.8 if len(order) == len(codes) else 1.0,
            linewidths=0,
            rasterized=_style.rasterise(len(codes)),
        )
    _bare(ax)
    named = sorted(place[level] for level in found)
    _style.legend_of_levels(ax, [levels[code] for code in named], title=title, styles=[styles[code] for code in named])
    if new:
        _style.widen_for_legends(ax)
    return ax


def cells_by_value(coordinates: FloatArray, values: FloatArray, *, title: str, ax: Axes | None = None) -> Axes:
    """Draw one dot per cell, coloured by a number, in an order that lets no value cover the others.

    Parameters
    ----------
    coordinates
        (n_cells, 2), of no unit: the ticks are left out.
    values
        (n_cells,); cells without a finite value are grey.
    title
        What the values are; written beside the colour bar.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, with a colour bar.
    """
    order = _drawing_order(coordinates)
    ax = _style.given_or_new_axes(ax, figsize=(4.4, 3.4))
    dots = ax.scatter(
        coordinates[order, 0],
        coordinates[order, 1],
        c=np.ma.masked_invalid(values[order]),
        cmap=_style.colour_map(_style.SEQUENTIAL),
        plotnonfinite=True,
        s=_style.dot_size(len(values)),
        linewidths=0,
        rasterized=_style.rasterise(len(values)),
    )
    _bare(ax)
    ax.figure.colorbar(dots, ax=ax, shrink=0.7, pad=0.02).set_label(legible(title), parse_math=False)
    return ax


def _drawing_order(coordinates: FloatArray) -> IntArray:
    """Order the cells at random, those left out that have no place or lie below others."""
    order = np.random.default_rng(0).permutation(len(coordinates))
    order = order[np.isfinite(coordinates[order]).all(axis=1)]
    return order[_style.keep_pixels(*coordinates[order].T)]


def _bare(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    _style.open_frame(ax)
