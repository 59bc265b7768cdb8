"""The overlap of batches with each other: a table with coloured cells, or of many batches a picture."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unbatch._types import FloatArray
from unbatch.report.text import shown

MOST_NAMED = 20
"""Batches of a table at most; more of them become a picture."""
_LEVELS = 10
_MOST_PIXELS = 400


@dataclass(frozen=True)
class HeatCell:
    """One cell: its number, and how dark it is, 0 to 10."""

    text: str
    level: int


@dataclass(frozen=True)
class Heat:
    """Shares of row by column.

    Attributes
    ----------
    names
        Of the rows and columns.
    rows
        The cells of each row; none where a picture stands for them.
    picture
        The same as a data URI of a PNG; empty where there are cells.
    said
        The picture in words.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[HeatCell, ...], ...]
    picture: str
    said: str


def heat(shares: FloatArray, names: Sequence[str]) -> Heat:
    """Give shares from 0 to 1 as coloured cells; those of a batch with itself are left empty.

    Parameters
    ----------
    shares
        (n_batches, n_batches).
    names
        Of the batches.
    """
    n_batches = len(names)
    others = shares[~np.eye(n_batches, dtype=bool)]
    said = (
        f"{n_batches} by {n_batches} batches; the shares run from {others.min(initial=1):.0%} to "
        f"{others.max(initial=0):.0%}, their median is {np.median(others) if others.size else 0:.0%}."
    )
    if n_batches > MOST_NAMED:
        return Heat((), (), _picture(shares), said)
    rows = tuple(
        tuple(HeatCell("", -1) if row == column else _cell(shares[row, column]) for column in range(n_batches))
        for row in range(n_batches)
    )
    return Heat(tuple(shown(name) for name in names), rows, "", said)


def _cell(value: float) -> HeatCell:
    return HeatCell(f"{value:.2f}", int(np.clip(round(value * _LEVELS), 0, _LEVELS)))


def _picture(shares: FloatArray) -> str:
    """Draw one pixel per pair of batches; of very many batches, of every so manieth."""
    from matplotlib import colormaps, image

    step = -(-len(shares) // _MOST_PIXELS)
    kept = np.where(np.eye(len(shares), dtype=bool), np.nan, shares)[::step, ::step]
    colours = colormaps["viridis"].with_extremes(bad="#808080")(np.ma.masked_invalid(kept), bytes=True)
    buffer = io.BytesIO()
    image.imsave(buffer, colours, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
