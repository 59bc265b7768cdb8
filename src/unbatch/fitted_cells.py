"""Which cell of a fit each cell of a source is."""

import numpy as np
import pandas as pd

from unbatch._types import CodeArray, IntArray
from unbatch.fitted import BatchFit
from unbatch.io.part_names import possible_names
from unbatch.io.source import CountSource


def fitted_rows(source: CountSource, fit: BatchFit, batch: CodeArray) -> IntArray:
    """Row in the fit of each cell of `source`, found by its name and batch, (n_cells,); -1 for none.

    Where names of cells clash between files, all have the name of their file at the end: in the fit, in `source`, or in
    both, and a file may be called otherwise there than here. So what is not found is looked up with other ends too.

    Parameters
    ----------
    source
        The cells.
    fit
        The fit. One of an older version that did not keep the batch of each cell is searched by name alone.
    batch
        Column of the batch of each cell in the effects of `fit`, (n_cells,).
    """
    find = _Finder(fit, batch)
    everyone = np.arange(source.n_cells)
    rows = find(everyone, source.obs.index)
    if (rows >= 0).all():
        return rows
    several = len(source.parts) > 1
    ends = {name[place + 1 :] for name in fit.obs.index for place, letter in enumerate(name) if letter == "-"}
    for part, (called, trail) in enumerate(zip(source.parts, source.trails, strict=True)):
        cells = everyone[(source.part == part) & (rows < 0)]
        bare = [name.removesuffix(f"-{called}") if several else name for name in source.obs.index[cells]]
        for end in ("", *(f"-{name}" for name in sorted({called, *possible_names(trail)} & ends))):
            names = pd.Index([name + end for name in bare], dtype=object)
            rows[cells] = np.maximum(rows[cells], find(cells, names))
    return rows


class _Finder:
    """Rows of a fit by batch and name; of cells that share both, the first."""

    def __init__(self, fit: BatchFit, batch: CodeArray) -> None:
        self._batch = np.zeros_like(batch) if fit.batch is None else batch
        there = np.zeros(len(fit.obs), dtype=np.int32) if fit.batch is None else fit.batch
        known = pd.MultiIndex.from_arrays([there, fit.obs.index])
        self._rows = np.flatnonzero(~known.duplicated())
        self._known = known[self._rows]

    def __call__(self, cells: IntArray, names: pd.Index) -> IntArray:
        found = self._known.get_indexer(pd.MultiIndex.from_arrays([self._batch[cells], names]))
        return np.where(found < 0, -1, self._rows[found])
