"""The few cells by which a fit is judged afterwards: chosen before they are read, kept with their counts."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import CodeArray, Counts, IntArray
from unbatch.io.sketch import choose_rows

_MOST_CELLS = 5_000


@dataclass(frozen=True, eq=False)
class CheckedCells:
    """Cells by which a fit is judged.

    Attributes
    ----------
    rows
        (n_checked,) their positions among all cells, in ascending order.
    counts
        (n_checked, n_genes) their counts; those of genes that the batch has not measured mean nothing.
    """

    rows: IntArray
    counts: Counts


def checked_rows(batch: CodeArray, *, seed: int) -> IntArray:
    """Choose the cells by which a fit is judged: at most 5,000, the same number of each batch, small ones whole.

    They are among those that a sketch of at least as many cells keeps, whatever they are, with the same seed.

    Parameters
    ----------
    batch
        Batch of each cell, (n_cells,); cells with code -1 are left out.
    seed
        Start of the random choice.

    Returns
    -------
    Positions in ascending order.
    """
    return np.flatnonzero(choose_rows(batch, _MOST_CELLS, seed=seed)).astype(np.int64)
