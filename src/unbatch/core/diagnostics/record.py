"""What the diagnostics of a fit leave behind: tables and arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

VERDICTS = ("fine", "look here", "do not trust")
"""What a check can come to, from good to bad."""


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """The tables and arrays by which a fit is judged.

    Attributes
    ----------
    tables
        By name; `unbatch.get.diagnostics` says what they hold.
    arrays
        By name: "before" and "after", (n_checked, n_dims) coordinates of the cells in the table "cells"; "state_batch",
        (n_states, n_batches) share of the cells of a state that are of a batch; "overlap_cells", (n_checked, 2) that
        share for a cell's own batch, and the distance to its nearest match over that within its batch.
    """

    tables: Mapping[str, pd.DataFrame]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per check."""
        return self.tables["verdicts"]

    @property
    def worst(self) -> str:
        """The worst of all verdicts."""
        found = set(self.verdicts["verdict"])
        return [verdict for verdict in VERDICTS if verdict in found or verdict == VERDICTS[0]][-1]

    def as_record(self) -> dict[str, Any]:
        """Plain parts, by name, that anndata can store."""
        return {**self.tables, **self.arrays}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Diagnostics":
        """Take apart what `as_record` put together."""
        tables = {str(name): value for name, value in record.items() if isinstance(value, pd.DataFrame)}
        return cls(tables, {str(name): np.asarray(value) for name, value in record.items() if name not in tables})
