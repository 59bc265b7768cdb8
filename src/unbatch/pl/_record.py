"""Reading of what a fit left in an AnnData, for the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unbatch import slots
from unbatch._check import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from unbatch._types import FloatArray

DIAGNOSTICS = "diagnostics"


def batches_of(adata: AnnData) -> list[str]:
    """Names of the batches of the fit."""
    return [str(batch) for batch in slots.read_record(adata)["batches"]]


def batches_named_by(adata: AnnData, column: str) -> list[str]:
    """Names of the batches of the fit, if there is one and this column of obs tells them; else none."""
    record = adata.uns.get(slots.RECORD)
    if not isinstance(record, Mapping) or "batches" not in record:
        return []
    keys = [str(key) for key in record.get("batch_key", ())]
    return [str(batch) for batch in record["batches"]] if column == slots.BATCH or keys == [column] else []


def columns_of(adata: AnnData, batch: str | Sequence[str] | None) -> list[int]:
    """Columns of the effects that belong to the batches asked for, of one or of several; all for None.

    A batch that is named by a number may be asked for by it, as everywhere.

    Raises
    ------
    InputError
        If a batch was not part of the fit.
    """
    batches = batches_of(adata)
    if batch is None:
        return list(range(len(batches)))
    several = batch if isinstance(batch, Iterable) and not isinstance(batch, str) else [batch]
    asked = list(dict.fromkeys(str(name) for name in several))
    check_batches(asked, batches)
    return [batches.index(name) for name in asked]


def check_batches(asked: Sequence[str], known: Sequence[str]) -> None:
    """Refuse batches that are not known.

    Raises
    ------
    InputError
        If a batch is not among the known ones.
    """
    strangers = [name for name in asked if name not in known]
    if strangers:
        raise InputError(f"the fit has no batch {strangers[0]!r}; it has {_some(known)}")


def read_table(adata: AnnData, name: str) -> pd.DataFrame:
    """Read a table of the record of diagnostics.

    Raises
    ------
    InputError
        If `adata` holds no fit, or its fit no diagnostics or no such table.
    """
    table = _part(adata, name)
    return table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)


def read_array(adata: AnnData, name: str) -> FloatArray:
    """Read an array of the record of diagnostics.

    Raises
    ------
    InputError
        If `adata` holds no fit, or its fit no diagnostics or no such array.
    """
    return np.asarray(_part(adata, name), dtype=np.float64)


def _part(adata: AnnData, name: str) -> Any:  # noqa: ANN401 - a table or an array
    record: Mapping[str, Any] = slots.read_record(adata)
    found = record.get(DIAGNOSTICS)
    if found is None and "mapped_onto" in record:
        raise InputError(
            "this AnnData holds mapped cells, for which there are no diagnostics: they are made when cells are fitted"
        )
    if found is None:
        raise InputError(
            "this AnnData holds a fit without diagnostics (no uns['unbatch']['diagnostics']): run "
            "unbatch.tl.diagnose(adata), or `unbatch diagnose` on the file"
        )
    if name not in found:
        raise InputError(
            f"the diagnostics of this fit have no {name!r} (they have {_some(sorted(found))}): a fit of effects only "
            "does not place cells; fit again without effects_only, then run unbatch.tl.diagnose(adata)"
        )
    return found[name]


def _some(names: Sequence[str], *, most: int = 10) -> str:
    """List names, not all of very many."""
    shown = ", ".join(repr(str(name)[:80]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
