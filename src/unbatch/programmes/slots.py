"""Where programmes live in an AnnData, in memory and on disk alike.

With the key "factors":

===========================  ==========================================================================================
``obsm["X_factors"]``        share of the adjusted counts of each cell that each factor makes, cells x factors, float32
``varm["factors"]``          share of each gene in the counts of each factor, genes x factors, float64; columns sum to 1
``uns["unbatch_factors"]``   counts of the factors, parameters, versions, deviance, held-out deviance, stop reason
===========================  ==========================================================================================
"""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from unbatch._check import InputError, check_slot
from unbatch.programmes.result import HELD_OUT, FactorFit
from unbatch.slots import EFFECTS, EMBEDDING, ERRORS

_ADJUSTED = "adjusted"
"""``unbatch adjust`` leaves ``uns["unbatch_adjusted"]``."""
FORMAT = 1
"""Version of this layout; a reader refuses a newer one."""


def check_key(key: str) -> None:
    """Refuse a key whose slots hold something else of this package.

    Raises
    ------
    InputError
        If it is no name of a slot, or programmes of this key would take the place of the fit, or of the record of
        ``unbatch adjust``.
    """
    check_slot("key_added", key)
    taken = {EMBEDDING: f"obsm['X_{key}']", EFFECTS: f"varm['{key}']", ERRORS: f"varm['{key}']"}
    here = taken.get(f"X_{key}") or taken.get(key) or (f"uns['unbatch_{key}']" if key == _ADJUSTED else "")
    if here:
        raise InputError(f"key_added is {key!r}, but {here} is a part of the batch effects: give another name")


def write_factors(adata: AnnData, found: FactorFit, *, key: str) -> None:
    """Put programmes into the slots of `adata`, replacing what was there."""
    adata.obsm[f"X_{key}"] = found.proportions
    adata.varm[key] = found.beta
    adata.uns[f"unbatch_{key}"] = {
        "format": FORMAT,
        "counts": found.counts,
        "deviance": found.deviance,
        "stop_reason": found.stop_reason,
        "unconverged": found.unconverged,
        "n_pseudobulks": found.n_pseudobulks,
        "held_out": {name: found.held_out[name].to_numpy() for name in found.held_out},
        "parameters": dict(found.parameters),
        "versions": dict(found.versions),
    }


def read_factors(adata: AnnData, *, key: str) -> dict[str, Any]:
    """Check that `adata` holds programmes and give their record.

    Raises
    ------
    InputError
        If there are none under this key, only a part of them, or some written by a newer unbatch.
    """
    record = adata.uns.get(f"unbatch_{key}")
    if record is None or "counts" not in record:
        raise InputError(
            f"this AnnData holds no programmes (no uns['unbatch_{key}']): run unbatch.tl.factors(adata) or "
            "`unbatch factors` first, or give the key under which they are"
        )
    if int(record.get("format", 0)) > FORMAT:
        raise InputError("the programmes were written by a newer unbatch, whose layout this one does not know: update")
    lost = [f"obsm['X_{key}']"] if f"X_{key}" not in adata.obsm else []
    lost += [f"varm['{key}']"] if key not in adata.varm else []
    if lost:
        raise InputError(f"this AnnData holds only a part of the programmes, missing {', '.join(lost)}: run it again")
    n_factors = len(record["counts"])
    found = adata.obsm[f"X_{key}"].shape[1], adata.varm[key].shape[1]
    if found != (n_factors, n_factors):
        raise InputError(
            f"obsm['X_{key}'] has {found[0]} factors, varm['{key}'] {found[1]}, and {n_factors} are due: run it again"
        )
    return dict(record)


def held_out_table(record: dict[str, Any]) -> pd.DataFrame:
    """Give the table of held-out deviances of a record."""
    return pd.DataFrame({name: np.asarray(record["held_out"][name]) for name in HELD_OUT})
