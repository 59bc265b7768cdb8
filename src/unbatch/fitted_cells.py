"""Which cell of a fit each cell of a source is."""

import numpy as np
import pandas as pd

from unbatch._types import CodeArray, IntArray
from unbatch.fitted import BatchFit
from unbatch.io.source import CountSource


def fitted_rows(source: CountSource, fit: BatchFit, batch: CodeArray) -> IntArray:
    """Row in the fit of each cell of `source`, found by its name and batch, (n_cells,); -1 for none.

    Parameters
    ----------
    source
        The cells.
    fit
        The fit. One of an older version that did not keep the batch of each cell is searched by name alone.
    batch
        Column of the batch of each cell in the effects of `fit`, (n_cells,).
    """
    there = np.zeros(len(fit.obs), dtype=np.int32) if fit.batch is None else fit.batch
    here = np.zeros(source.n_cells, dtype=np.int32) if fit.batch is None else batch
    known = pd.MultiIndex.from_arrays([there, fit.obs.index])
    first = np.flatnonzero(~known.duplicated())
    found = known[first].get_indexer(pd.MultiIndex.from_arrays([here, source.obs.index]))
    return np.where(found < 0, -1, first[found])
