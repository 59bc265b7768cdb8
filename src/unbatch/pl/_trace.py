"""Figure: what the iterations of a fit did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style
from unbatch.pl._names import legible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unbatch._types import FloatArray

_MEANING = {
    "change": "root mean square change of log δ\n(natural log)",
    "matched": "share of cells that take part",
    "states": "number of states",
    "max_change": "largest change of log δ\n(natural log)",
    "drift": "largest change of the mean log δ of a gene\n(natural log)",
    "log_likelihood": "log-likelihood",
    "objective": "objective (log-likelihood with its penalty)",
}
_LOG_FROM = 20.0
"""Values that span more than this factor are drawn on a log axis."""


def iterations(values: FloatArray, *, quantity: str, stop_reason: str = "", ax: Axes | None = None) -> Axes:
    """Draw one value per iteration.

    Parameters
    ----------
    values
        (n_iterations,).
    quantity
        What they are; names the axis.
    stop_reason
        Why the iterations ended; stands in the title.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes, the upright one in logs if the values are positive and span more than a factor of 20.
    """
    if not len(values):
        return _style.say(ax, "the fit made no iteration")
    from matplotlib.ticker import MaxNLocator

    ax = _style.given_or_new_axes(ax, figsize=(4.4, 3.0))
    steps = np.arange(1, len(values) + 1)
    ax.plot(
        steps,
        values,
        color=_style.AFTER,
        linewidth=1.4,
        marker="o" if len(values) <= 60 else "",  # noqa: PLR2004 - more dots than that run into a band
        markersize=4,
    )
    known = values[np.isfinite(values)]
    if known.size and known.min() > 0 and known.max() > _LOG_FROM * known.min():
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel("iteration")
    ax.set_ylabel(_MEANING.get(quantity, legible(quantity)), parse_math=False)
    if stop_reason:
        ax.set_title(f"stopped: {legible(stop_reason, longest=48)}", fontsize="medium", parse_math=False)
    _style.open_frame(ax)
    return ax
