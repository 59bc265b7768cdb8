"""Time and memory against cells."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from scale.tables import Row

_STYLES = {"gzip": "-", "uncompressed": ":"}
_GIGA = 1e9


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw wall time and peak memory of every command against the number of cells, both axes logarithmic."""
    mpl.use("Agg")
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    names = list(dict.fromkeys(row.what for row in rows))
    colours = dict(zip(names, plt.get_cmap("tab10").colors, strict=False))
    for storage, style in _STYLES.items():
        for name in names:
            own = [row for row in rows if (row.what, row.storage) == (name, storage) and row.usage is not None]
            cells = [row.n_cells for row in own]
            label = f"{name}, {storage}" if own else None
            for axis, values in zip(
                axes,
                ([row.usage.seconds for row in own], [row.usage.peak_bytes / _GIGA for row in own]),
                strict=True,
            ):
                axis.plot(cells, values, style, marker="o", markersize=4, color=colours[name], label=label)
    for axis, what in zip(axes, ("wall time (s)", "peak memory (GB)"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="cells", ylabel=what)
        axis.grid(visible=True, which="major", alpha=0.3)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center", fontsize=7, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
