"""Judge a fit by a bounded sample of its cells."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unbatch._types import CodeArray
from unbatch.core.diagnostics.axes import principal_coordinates
from unbatch.core.diagnostics.matches import find_matches
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.diagnosing.balance import balance_tables
from unbatch.diagnosing.effects import effect_tables, remainder_tables
from unbatch.diagnosing.judged import Judged
from unbatch.diagnosing.need import need_tables
from unbatch.diagnosing.overlap import mixing_table, pair_table, state_table
from unbatch.diagnosing.verdicts import judge
from unbatch.fitted import BatchFit
from unbatch.methods.checked import CheckedCells

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
    tables = {"cells": pd.DataFrame({"row": checked.rows, "batch": whole.sample.batch.astype(np.int64)})}
    arrays: dict[str, NDArray[Any]] = {}
    raw, clean = whole.sample.logs(corrected=False), whole.sample.logs(corrected=True)
    before = principal_coordinates(raw, genes=np.flatnonzero(whole.sample.genes), n_dims=whole.n_dims)
    tables |= need_tables(whole, raw, clean, before)
    tables |= state_table(whole, arrays)
    if whole.after is not None:
        matches = find_matches(whole.after, whole.sample.batch, n_batches=whole.sample.n_batches)
        tables |= pair_table(whole, matches, arrays)
        tables |= mixing_table(whole, before, matches)
        arrays |= {"before": before, "after": whole.after}
    tables |= balance_tables(whole, raw, clean)
    tables_of_states, remainder = remainder_tables(whole)
    tables |= tables_of_states | effect_tables(fit)
    return Diagnostics({"verdicts": judge(fit, tables, remainder=remainder)} | tables, arrays)
