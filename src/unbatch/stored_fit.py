"""A fit in the slots of an AnnData: written there, and read back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from unbatch import slots
from unbatch._check import InputError
from unbatch._threads import unwarned
from unbatch._types import CodeArray
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.core.landmarks import Landmarks
from unbatch.fitted import BatchFit, MappedOnto
from unbatch.io.failures import reading
from unbatch.slot_checks import SlotChecks
from unbatch.stored_parts import (
    as_record,
    check_parts,
    embedder_record,
    name_array,
    read_embedder,
    read_landmarks,
    read_mapped_onto,
    read_states,
    state_record,
    strings,
)

_X = "X"
_NO_REFERENCE = ""
_CENTRED = "centred_se"
_LEAST = "least_log_delta"
_STATE_EFFECTS, _EMBEDDER, _LANDMARKS = "state_effects", "embedder", "landmarks"


def write_slots(adata: AnnData, fit: BatchFit) -> None:
    """Put `fit` into the slots of `adata`, replacing what an earlier fit left there.

    Of that one the records of adjusted layers that are still there are kept: these counts must not be taken for raw.
    """
    adjusted = {
        name: {**how, slots.EARLIER: True} for name, how in slots.adjusted_layers(adata).items() if name in adata.layers
    }
    adata.varm[slots.EFFECTS] = fit.log_delta
    adata.varm[slots.ERRORS] = fit.se
    _replace(adata.obsm, slots.EMBEDDING, fit.embedding)
    _replace(
        adata.obs, slots.BATCH, None if fit.batch is None else pd.Categorical.from_codes(fit.batch, list(fit.batches))
    )
    _replace(adata.obs, slots.SAMPLE, fit.sample)
    _replace(adata.obs, slots.OVERLAP, fit.overlap)
    adata.uns[slots.RECORD] = {
        "format": slots.FORMAT,
        slots.PLACED: fit.embedding is not None,
        "method": fit.method,
        "parameters": dict(fit.parameters),
        "batch_key": name_array(fit.batch_key),
        "layer": fit.layer or _X,
        "batches": name_array(fit.batches),
        "batch_sizes": fit.batch_sizes,
        "too_small": name_array(fit.too_small),
        "genes": name_array(tuple(fit.var.index)),
        "measured": fit.measured,
        "convention": fit.convention,
        "reference": fit.reference or _NO_REFERENCE,
        "match_within": name_array(fit.match_within),
        "control_genes": name_array(fit.control_genes),
        "stop_reason": fit.stop_reason,
        "trace": dict(fit.trace),
        "evidence": dict(fit.evidence),
        "support": fit.support,
        "mu": fit.mu,
        "basis": fit.basis,
        "versions": dict(fit.versions),
        "timings": dict(fit.timings),
        "peak_bytes": fit.peak_bytes,
        "command": fit.command,
        **({} if fit.centred_se is None else {_CENTRED: fit.centred_se}),
        **({} if fit.least_log_delta is None else {_LEAST: fit.least_log_delta}),
        **({} if fit.state_effects is None else {_STATE_EFFECTS: state_record(fit.state_effects)}),
        **({} if fit.embedder is None else {_EMBEDDER: embedder_record(fit.embedder)}),
        **({} if fit.landmarks is None else {_LANDMARKS: as_record(fit.landmarks)}),
        **({} if fit.mapped_onto is None else {slots.MAPPED_ONTO: as_record(fit.mapped_onto)}),
        **({} if fit.diagnostics is None else {slots.DIAGNOSTICS: fit.diagnostics.as_record()}),
        **({slots.ADJUSTED: adjusted} if adjusted else {}),
    }


def as_anndata(fit: BatchFit) -> AnnData:
    """AnnData without X that holds the annotation of cells and genes and the slots of `fit`."""
    with repeated_names_allowed():
        adata = AnnData(obs=writable(fit.obs), var=writable(fit.var))
    write_slots(adata, fit)
    return adata


@contextmanager
def repeated_names_allowed() -> Iterator[None]:
    """Keep AnnData from warning of cell names that occur twice, of which the input's reader has warned."""
    with unwarned(UserWarning, "Observation names are not unique"):
        yield


def writable(table: pd.DataFrame) -> pd.DataFrame:
    """Copy of an annotation that can be stored: an index loses its name where a column bears the same."""
    return table.rename_axis(index=None) if table.index.name in table.columns else table.copy()


def read_slots(adata: AnnData, *, where: str = "this AnnData") -> BatchFit:
    """Read back what `write_slots` wrote, also after cells or genes were taken away.

    Raises
    ------
    InputError
        If `adata` holds no fit, only a part of one, one written by a newer unbatch, genes that the fit did not see, or
        what cannot be a fit: other shapes, types or ranges.
    """
    with reading(where):
        return _read_slots(adata, where)


def _read_slots(adata: AnnData, where: str) -> BatchFit:
    record = slots.read_record(adata, where=where)
    checks = SlotChecks(record, where=where)
    rows = slots.gene_rows(adata, record, where=where)
    placed = slots.is_placed(record)
    for name, kind in ((_LANDMARKS, Landmarks), (slots.MAPPED_ONTO, MappedOnto)):
        if name in record:
            check_parts(record, name, kind=kind, where=where)
    checks.check_record()
    checks.check_slots(_outside(adata, placed=placed), adata)
    genes = {name: np.asarray(record[name])[rows] for name in slots.BY_GENE}
    return BatchFit(
        log_delta=np.asarray(adata.varm[slots.EFFECTS], dtype=np.float64),
        se=np.asarray(adata.varm[slots.ERRORS], dtype=np.float64),
        measured=genes["measured"].astype(bool),
        sample=np.asarray(adata.obs[slots.SAMPLE], dtype=np.int64) if placed else None,
        overlap=np.asarray(adata.obs[slots.OVERLAP], dtype=np.float64) if placed else None,
        embedding=np.asarray(adata.obsm[slots.EMBEDDING], dtype=np.float32) if placed else None,
        batches=strings(record["batches"]),
        batch=_read_batch(adata, record, where),
        too_small=strings(record["too_small"]),
        batch_sizes=np.asarray(record["batch_sizes"], dtype=np.int64),
        support=np.asarray(record["support"], dtype=np.float64),
        mu=genes["mu"].astype(np.float64),
        basis=genes["basis"].astype(np.float64),
        trace={str(name): np.asarray(values, dtype=np.float64) for name, values in record["trace"].items()},
        stop_reason=str(record["stop_reason"]),
        evidence={str(k): np.asarray(v, dtype=np.float64) for k, v in record.get("evidence", {}).items()},
        method=str(record["method"]),
        parameters={str(name): _plain(value) for name, value in record["parameters"].items()},
        batch_key=strings(record["batch_key"]),
        layer=None if record["layer"] == _X else str(record["layer"]),
        versions={str(name): str(value) for name, value in record["versions"].items()},
        timings={str(name): float(value) for name, value in record["timings"].items()},
        peak_bytes=float(record.get("peak_bytes", np.nan)),
        command=str(record.get("command", "")),
        lost_genes=len(record["genes"]) - len(rows),
        obs=adata.obs.drop(columns=[slots.BATCH, *([slots.SAMPLE, slots.OVERLAP] if placed else [])], errors="ignore"),
        var=adata.var.copy(),
        reference=str(record["reference"]) if record.get("reference", _NO_REFERENCE) else None,
        centred_se=np.asarray(record[_CENTRED], dtype=np.float64)[rows] if _CENTRED in record else None,
        least_log_delta=np.asarray(record[_LEAST], dtype=np.float64)[rows] if _LEAST in record else None,
        match_within=strings(record.get("match_within", ())),
        control_genes=strings(record.get("control_genes", ())),
        state_effects=read_states(record[_STATE_EFFECTS], rows) if _STATE_EFFECTS in record else None,
        embedder=read_embedder(record[_EMBEDDER], rows) if _EMBEDDER in record else None,
        landmarks=read_landmarks(record[_LANDMARKS], rows) if _LANDMARKS in record else None,
        mapped_onto=read_mapped_onto(record[slots.MAPPED_ONTO]) if slots.MAPPED_ONTO in record else None,
        diagnostics=Diagnostics.from_record(record[slots.DIAGNOSTICS]) if slots.DIAGNOSTICS in record else None,
    )


def _read_batch(adata: AnnData, record: Mapping[str, Any], where: str) -> CodeArray | None:
    """Give the batch of each cell; None in fits of before it was kept."""
    if slots.BATCH not in adata.obs:
        return None
    column = pd.Categorical(adata.obs[slots.BATCH])
    place = pd.Index(strings(record["batches"])).get_indexer([str(name) for name in column.categories])
    strange = int(((column.codes < 0) | (place[column.codes] < 0)).sum()) if len(place) else len(column)
    if strange:
        raise InputError(
            f"obs[{slots.BATCH!r}] of {where} names no batch of the fit for {strange} of {len(column)} cells: it is "
            "what the fit left there, fit again"
        )
    return np.asarray(place[column.codes], dtype=np.int32)


def _outside(adata: AnnData, *, placed: bool) -> dict[str, Any]:
    """Give what a fit has outside its record, by its place."""
    found = {f"varm['{name}']": adata.varm[name] for name in (slots.EFFECTS, slots.ERRORS)}
    if placed:
        found |= {f"obs['{name}']": adata.obs[name] for name in (slots.SAMPLE, slots.OVERLAP)}
        found |= {f"obsm['{slots.EMBEDDING}']": adata.obsm[slots.EMBEDDING]}
    return found


def _replace(table: Any, name: str, values: Any) -> None:  # noqa: ANN401 - obs or obsm, and what belongs there
    """Put values into a column, or take away what an earlier fit left there."""
    if values is not None:
        table[name] = values
    elif name in table:
        del table[name]


def _plain(value: Any) -> float | str:  # noqa: ANN401 - whatever anndata read
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, int | float) else str(plain)
