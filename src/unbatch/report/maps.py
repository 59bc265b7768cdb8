"""Maps of some cells before and after the correction, as dots that a browser draws sharp at any size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unbatch._check import InputError
from unbatch._levels import MISSING, levels_of
from unbatch._types import FloatArray, IntArray
from unbatch.pl import tsne
from unbatch.report.reading import Fitted, evenly
from unbatch.report.text import shown
from unbatch.slots import BATCH, EMBEDDING

SIDE = 1000
"""Width and height of a map in its own units."""
N_COLOURS = 8
MOST_IN_LEGEND = 40
MOST_LEVELS = 300
"""Levels of a column that get dots of their own at most."""

_MARGIN = 20
_LAYERS = 6
_FEWEST = 10
_MOST_NUMBERS = 20
_OTHERS = "(all others)"


@dataclass(frozen=True)
class Dots:
    """Cells of one level in one layer: layers mix the levels, so that none hides the others."""

    level: int
    path: str


@dataclass(frozen=True)
class Map:
    """One map.

    Attributes
    ----------
    title
        What it shows.
    dots
        In the order in which they are drawn.
    """

    title: str
    dots: tuple[Dots, ...]


@dataclass(frozen=True)
class Maps:
    """The maps of one colouring, side by side.

    Attributes
    ----------
    column
        What the colours stand for.
    levels
        Names of the levels.
    maps
        Before and after, or after alone.
    legend
        Whether there is room for a legend.
    """

    column: str
    levels: tuple[str, ...]
    maps: tuple[Map, ...]

    @property
    def legend(self) -> bool:
        """Whether the levels are few enough to be listed."""
        return len(self.levels) <= MOST_IN_LEGEND


@dataclass(frozen=True)
class Drawn:
    """All maps of a page.

    Attributes
    ----------
    maps
        One for each colouring; none if there is nothing to draw.
    n_cells
        Cells on each map.
    said
        Where they come from, or why there are none.
    """

    maps: tuple[Maps, ...]
    n_cells: int
    said: str


def draw_maps(fitted: Fitted, *, most_cells: int, columns: Sequence[str] = ()) -> Drawn:
    """Lay out cells before and after the correction, and colour them by batch and by the columns that are asked for.

    Parameters
    ----------
    fitted
        The fit, read with as many cells.
    most_cells
        Cells on a map at most; 0 for no maps. The time for a layout grows somewhat faster than the number.
    columns
        Columns of obs to colour by, besides the batch.

    Raises
    ------
    InputError
        If a column holds more different numbers than can be told apart as levels.
    """
    if most_cells < _FEWEST:
        return Drawn((), 0, "No maps were asked for.")
    for column in columns:
        _check_levels(fitted.cells.obs[column], column)
    layouts, rows, batch = _layouts(fitted, most_cells)
    if not layouts:
        return Drawn((), 0, _why_none(fitted))
    colourings = [("batch", batch, [shown(name) for name in fitted.batches])] if batch is not None else []
    obs = fitted.cells.obs
    for column in columns:
        codes, levels = _levels(obs[column].reindex([str(row) for row in rows]))
        colourings.append((shown(column), codes, levels))
    turn = np.random.default_rng(0).permutation(len(rows))
    found = tuple(
        Maps(
            name,
            tuple(levels),
            tuple(Map(title, _dots(places, codes, turn, len(levels))) for title, places in layouts.items()),
        )
        for name, codes, levels in colourings
    )
    said = f"{len(rows):,} of {fitted.n_cells:,} cells, laid out by t-SNE so that cells that are near stay near."
    if len(layouts) == 1:
        said += " The file does not hold their places before the correction."
    return Drawn(found, len(rows), said)


def _layouts(fitted: Fitted, most_cells: int) -> tuple[dict[str, FloatArray], IntArray, IntArray | None]:
    """Lay out the cells of the diagnostics, or where there are none those of the embedding."""
    sampled, before, after = fitted.table("cells"), fitted.array("before"), fitted.array("after")
    if len(sampled) >= _FEWEST and before is not None and after is not None:
        kept = evenly(len(sampled), most_cells)
        rows, batch = (np.asarray(sampled[name], dtype=np.int64)[kept] for name in ("row", "batch"))
        pair = {"Before": before[kept], "After": after[kept]}
        return {title: _layout(values) for title, values in pair.items()}, rows, batch
    if EMBEDDING in fitted.cells.obsm and fitted.cells.n_obs >= _FEWEST:
        kept = evenly(fitted.cells.n_obs, most_cells)
        values = np.asarray(fitted.cells.obsm[EMBEDDING], dtype=np.float64)[kept]
        rows = fitted.cells.obs_names[kept].astype(np.int64).to_numpy()
        return {"After": _layout(values)}, rows, _batch_of(fitted, kept)
    return {}, np.zeros(0, dtype=np.int64), None


def _layout(values: FloatArray) -> FloatArray:
    """Lay out cells inside the square of a map, upside up."""
    places = tsne(values, seed=0)
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (SIDE - 2 * _MARGIN) / max(float((high - low).max()), 1e-12)
    centred = (places - (low + high) / 2) * scale
    return np.asarray(np.round(SIDE / 2 + centred * [1, -1]))


def _batch_of(fitted: Fitted, kept: IntArray) -> IntArray | None:
    """Batch of cells by the columns that named it, if they are still there."""
    keys = [BATCH] if BATCH in fitted.cells.obs else [str(key) for key in fitted.record["batch_key"]]
    obs = fitted.cells.obs
    if not keys or any(key not in obs for key in keys):
        return None
    labels = [obs[key].iloc[kept].astype(str) for key in keys]
    names = [" | ".join(parts) for parts in zip(*labels, strict=True)]
    return np.asarray(pd.Index(fitted.batches).get_indexer(names), dtype=np.int64)


def _check_levels(values: pd.Series, column: str) -> None:
    """Refuse a measure, whose every value would be a level of its own; whole numbers and text may name many groups."""
    if pd.api.types.is_float_dtype(values) and values.nunique() > _MOST_NUMBERS:
        raise InputError(
            f"obs[{column!r}] holds {values.nunique()} different numbers in the cells of the maps, which have colours "
            f"for groups alone: bin it into a new column (pd.cut(adata.obs[{column!r}], 5)) and colour by that; of "
            f"numbers that name groups make text (adata.obs[{column!r}].astype(str))"
        )


def _levels(values: pd.Series) -> tuple[IntArray, list[str]]:
    """Give each cell the number of its level; of too many levels, the rarest together are one."""
    found = levels_of(values)
    text = pd.Series(found.labels)
    counts = text.value_counts()
    levels = [level for level in found.levels if level in counts.index]
    if len(levels) > MOST_LEVELS:
        kept = set(counts.index[: MOST_LEVELS - 1])
        text = text.where(text.isin(kept), _OTHERS)
        levels = [*(level for level in levels if level in kept - {MISSING, _OTHERS}), _OTHERS]
        levels += [MISSING] if MISSING in kept else []
    return np.asarray(pd.Index(levels).get_indexer(text), dtype=np.int64), [shown(level) for level in levels]


def _dots(places: FloatArray, codes: IntArray, turn: IntArray, n_levels: int) -> tuple[Dots, ...]:
    """Write cells as lines of no length with round ends, which take a dozen bytes each."""
    found = []
    for layer in np.array_split(turn, _LAYERS):
        for level in range(n_levels):
            here = layer[codes[layer] == level]
            if here.size:
                path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places[here])
                found.append(Dots(level, path))
    return tuple(found)


def _why_none(fitted: Fitted) -> str:
    if not bool(fitted.record.get("placed", True)):
        return "The fit was of effects only: its cells have no places that could be drawn."
    return "There are too few cells to draw."
