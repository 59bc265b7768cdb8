"""Cells whose batch has no effect that is known: it was too small, or can be compared with no other."""

import numpy as np

from unbatch._check import warn
from unbatch._types import BoolArray, CodeArray
from unbatch.core.diagnostics.verdicts import named
from unbatch.fitted import BatchFit


def of_unknown(fit: BatchFit, batch: CodeArray) -> BoolArray:
    """Tell which cells are of a batch of which no effect is known, (n_cells,).

    Parameters
    ----------
    fit
        The fit.
    batch
        (n_cells,) column of the batch of each cell in the effects of `fit`.
    """
    unknown: BoolArray = np.asarray(~fit.estimated.any(axis=0))
    return unknown[batch]


def warn_of_unknown(fit: BatchFit, batch: CodeArray, *, so: str) -> None:
    """Warn of cells whose batch has no effect that is known, if there are any.

    Parameters
    ----------
    fit
        The fit.
    batch
        (n_cells,) column of the batch of each cell in the effects of `fit`.
    so
        What becomes of these cells, for the message.
    """
    cells = of_unknown(fit, batch)
    if cells.any():
        names = [fit.batches[k] for k in np.unique(batch[cells])]
        warn(f"of the batches of {int(cells.sum())} cells no effect is known ({named(names)}): {so}")
