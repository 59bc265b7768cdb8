"""Figure: correlation of the projected counts with batch membership, written as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unbatch.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from unbatch._types import CodeArray, FloatArray

SHOWN_AS_ZERO = 0.005


def correlation_table(values: FloatArray, batch: CodeArray, *, batches: Sequence[str], ax: Axes | None = None) -> Axes:
    """Write cor(Q_d, X_k), of every dimension of Q with membership of every batch, into a coloured table.

    Parameters
    ----------
    values
        Q: (n_cells, n_dims), the projected counts, before or after the batch was regressed out.
    batch
        (n_cells,), batch of each cell as an index into ``batches``.
    batches
        Names of the batches, one row of the table each.
    ax
        Axes to draw on; a new figure by default.

    Returns
    -------
    The axes. Colours run from -1 to 1; a dimension or a batch without variation has correlation 0.
    """
    table = _correlation(values, batch, len(batches))
    ax = _style.given_or_new_axes(ax, figsize=(1.4 + 0.7 * table.shape[1], 1.2 + 0.4 * table.shape[0]))
    image = ax.imshow(table, vmin=-1, vmax=1, cmap=_style.DIVERGING, aspect="auto")
    _style.write_values(ax, image, [[_short(value) for value in row] for row in table])
    ax.set_xticks(range(table.shape[1]), [f"Q{d + 1}" for d in range(table.shape[1])])
    _style.name_rows(ax, batches)
    ax.set_xlabel("dimension of the projection")
    ax.set_ylabel("batch")
    ax.tick_params(length=0)
    return ax


def _correlation(values: FloatArray, batch: CodeArray, n_batches: int) -> FloatArray:
    """Pearson correlation of batch membership with each column of ``values``: (n_batches, n_dims)."""
    members = (np.asarray(batch)[:, None] == np.arange(n_batches)).astype(np.float64)
    left = members - members.mean(axis=0)
    right = values - values.mean(axis=0)
    scale = np.outer(np.linalg.norm(left, axis=0), np.linalg.norm(right, axis=0))
    table: FloatArray = np.divide(left.T @ right, scale, out=np.zeros_like(scale), where=scale > 0)
    return table


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= SHOWN_AS_ZERO else f"{value:.0e}".replace("e-0", "e-")
