"""Sheets: several axes under one heading."""

from matplotlib.figure import Figure

from unbatch import pl
from unbatch._types import FloatArray


def new_figure(width: float, height: float, *, title: str) -> Figure:
    """Give a figure of so many inches with a heading."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize="large")
    return figure


def map_grid(maps: list[FloatArray], colourings: dict[str, list[str]], *, title: str) -> Figure:
    """Draw two maps, before and after, side by side, in one row per colouring."""
    figure = new_figure(8.6, 3.7 * len(colourings), title=title)
    axes = figure.subplots(len(colourings), 2, squeeze=False)
    for row, (name, labels) in zip(axes, colourings.items(), strict=True):
        for ax, places, when in zip(row, maps, ("before", "after"), strict=True):
            pl.cells(places, labels, title=name, ax=ax)
            ax.set(title=f"{when} adjustment", xlabel="t-SNE 1", ylabel="t-SNE 2")
        row[0].get_legend().remove()
    return figure
