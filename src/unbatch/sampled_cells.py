"""Where the cells that the diagnostics sampled are now: since then cells may have been reordered or taken away."""

import numpy as np
import pandas as pd

from unbatch._types import IntArray

ROW, NAME = "row", "name"
"""Columns of the table of sampled cells: their place when they were fitted, and what they were called."""


def find_sampled(table: pd.DataFrame, names: pd.Index, *, n_fitted: int) -> IntArray:
    """Find the sampled cells among those that are there.

    Parameters
    ----------
    table
        The sampled cells.
    names
        Names of the cells that are there, (n_cells,).
    n_fitted
        Number of cells of the fit.

    Returns
    -------
    (n_sampled,) place of each; -1 for one that is gone, or cannot be told from others of its name. Tables of before
    names were kept are taken at their word, unless cells are gone.
    """
    rows = np.asarray(table[ROW], dtype=np.int64)
    inside = (rows >= 0) & (rows < len(names))
    if NAME not in table:
        return rows if inside.all() and len(names) == n_fitted else np.full(len(rows), -1, dtype=np.int64)
    wanted = table[NAME].astype(str).to_numpy()
    here = names.astype(str)
    if inside.all() and (here.to_numpy()[rows] == wanted).all():
        return rows
    if not here.is_unique:
        return np.full(len(rows), -1, dtype=np.int64)
    return np.asarray(here.get_indexer(pd.Index(wanted)), dtype=np.int64)
