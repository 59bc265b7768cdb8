"""Judge a fit by a bounded sample of its cells."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unbatch._threads import one_thread
from unbatch._types import CodeArray
from unbatch.core.diagnostics.axes import principal_coordinates
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.core.parallel import at_once
from unbatch.diagnosing.balance import balance_tables
from unbatch.diagnosing.effects import effect_tables, remainder_tables
from unbatch.diagnosing.judged import Judged
from unbatch.diagnosing.need import need_tables
from unbatch.diagnosing.overlap import overlap_tables
from unbatch.diagnosing.verdicts import judge
from unbatch.fitted import BatchFit
from unbatch.methods.checked import CheckedCells
from unbatch.sampled_cells import NAME, ROW

if TYPE_CHECKING:
    from numpy.typing import NDArray


def diagnose_fit(
    fit: BatchFit, checked: CheckedCells, *, batch: CodeArray, level: CodeArray | None = None
) -> Diagnostics:
    """Judge a fit by some of its cells.

    Parameters
    ----------
    fit
        The fit.
    checked
        Some of its cells, with their raw counts.
    batch
        (n_cells,) batch of each cell of the fit, also those that were not chosen.
    level
        (n_cells,) condition of each cell, if cells were compared inside conditions only.

    Returns
    -------
    Diagnostics
        The same for the same cells, whatever the number of threads.
    """
    whole = Judged.of(fit, checked, batch=batch, level=level)
    names = fit.obs.index[checked.rows].astype(str).to_numpy(dtype=object)
    sampled = {ROW: checked.rows, "batch": whole.sample.batch.astype(np.int64), NAME: names}
    tables = {"cells": pd.DataFrame(sampled)}
    arrays: dict[str, NDArray[Any]] = {}
    raw, clean = whole.sample.logs(corrected=False), whole.sample.logs(corrected=True)
    before = principal_coordinates(raw, genes=np.flatnonzero(whole.sample.genes), n_dims=whole.n_dims)
    if whole.after is not None:
        arrays |= {"before": before, "after": whole.after}
    with one_thread():
        found = at_once(
            lambda: balance_tables(whole, raw, clean),
            lambda: need_tables(whole, raw, clean, before),
            lambda: overlap_tables(whole, before, arrays),
            lambda: remainder_tables(whole),
            lambda: effect_tables(fit),
        )
    for of_one in found:
        tables |= of_one
    return Diagnostics({"verdicts": judge(fit, tables, remainder=whole.remainder)} | tables, arrays)
