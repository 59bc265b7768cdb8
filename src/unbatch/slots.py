"""Where each part of a fit lives in an AnnData, in memory and on disk alike.

============================  =====================================================================================
``obsm["X_unbatch"]``         embedding, cells x dims, float32
``varm["batch_effects"]``     natural log delta, genes x batches, columns in the order of ``batches`` in uns
``varm["batch_effects_se"]``  its standard error, inf where the data say nothing
``obs["unbatch_batch"]``      batch of the cell as it was fitted
``obs["unbatch_sample"]``     pseudobulk sample, -1 for cells that took no part
``obs["unbatch_overlap"]``    share of the other batches that have cells like this one
``uns["unbatch"]``            batches, parameters, versions, trace, support, mu, basis, ...
============================  =====================================================================================

A fit of effects only sets neither ``X_unbatch`` nor ``unbatch_sample`` and ``unbatch_overlap``.

One array holds the effects of all batches. Keys named after batches would not do: HDF5 takes "a/b" for a path.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from unbatch._check import InputError
from unbatch._threads import unwarned
from unbatch._types import CodeArray, IntArray
from unbatch.core.denoising import Denoising
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.shift_rounds import ShiftRounds
from unbatch.core.shifts import Shifts
from unbatch.core.state_effects import StateEffects
from unbatch.fitted import BatchFit, MappedOnto
from unbatch.io.failures import reading
from unbatch.slot_checks import SlotChecks

FORMAT = 1
"""Version of this layout; a reader refuses a newer one."""

EMBEDDING = "X_unbatch"
EFFECTS = "batch_effects"
ERRORS = "batch_effects_se"
SAMPLE = "unbatch_sample"
OVERLAP = "unbatch_overlap"
BATCH = "unbatch_batch"
RECORD = "unbatch"

EARLIER = "by_an_earlier_fit"
"""Marks the record of a layer that an earlier fit adjusted."""

_X = "X"
_NO_REFERENCE = ""
_CENTRED = "centred_se"
_LEAST = "least_log_delta"
_PLACED = "placed"
_STATE_EFFECTS = "state_effects"
_EMBEDDER = "embedder"
_DIAGNOSTICS = "diagnostics"
_ADJUSTED = "adjusted"
_LANDMARKS, _MAPPED_ONTO, _SHIFTS = "landmarks", "mapped_onto", "shifts"
_LANDMARKS_BY_GENE = frozenset(
    {"log_delta", "gene_shift", "exposure", "dispersion", "expression", "mean_logs", "embedding_logs"}
)
_BY_GENE = ("measured", "mu", "basis")
_NEEDED = (
    *_BY_GENE,
    "batch_key",
    "batch_sizes",
    "genes",
    "layer",
    "method",
    "parameters",
    "stop_reason",
    "support",
    "timings",
    "too_small",
    "trace",
    "versions",
)


def write_slots(adata: AnnData, fit: BatchFit) -> None:
    """Put `fit` into the slots of `adata`, replacing what an earlier fit left there.

    Of that one the records of adjusted layers that are still there are kept: these counts must not be taken for raw.
    """
    adjusted = {name: {**how, EARLIER: True} for name, how in _adjusted(adata).items() if name in adata.layers}
    adata.varm[EFFECTS] = fit.log_delta
    adata.varm[ERRORS] = fit.se
    _replace(adata.obsm, EMBEDDING, fit.embedding)
    _replace(adata.obs, BATCH, None if fit.batch is None else pd.Categorical.from_codes(fit.batch, list(fit.batches)))
    _replace(adata.obs, SAMPLE, fit.sample)
    _replace(adata.obs, OVERLAP, fit.overlap)
    adata.uns[RECORD] = {
        "format": FORMAT,
        _PLACED: fit.embedding is not None,
        "method": fit.method,
        "parameters": dict(fit.parameters),
        "batch_key": _names(fit.batch_key),
        "layer": fit.layer or _X,
        "batches": _names(fit.batches),
        "batch_sizes": fit.batch_sizes,
        "too_small": _names(fit.too_small),
        "genes": _names(tuple(fit.var.index)),
        "measured": fit.measured,
        "convention": fit.convention,
        "reference": fit.reference or _NO_REFERENCE,
        "match_within": _names(fit.match_within),
        "control_genes": _names(fit.control_genes),
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
        **({} if fit.state_effects is None else {_STATE_EFFECTS: _state_record(fit.state_effects)}),
        **({} if fit.embedder is None else {_EMBEDDER: _embedder_record(fit.embedder)}),
        **({} if fit.landmarks is None else {_LANDMARKS: _as_record(fit.landmarks)}),
        **({} if fit.mapped_onto is None else {_MAPPED_ONTO: _as_record(fit.mapped_onto)}),
        **({} if fit.diagnostics is None else {_DIAGNOSTICS: fit.diagnostics.as_record()}),
        **({_ADJUSTED: adjusted} if adjusted else {}),
    }


def _as_record(values: Landmarks | MappedOnto) -> dict[str, Any]:
    plain = {field.name: getattr(values, field.name) for field in fields(values) if field.name != _SHIFTS}
    record = {name: _names(value) if isinstance(value, tuple) else value for name, value in plain.items()}
    return {**record, _SHIFTS: _rounds_record(values.shifts)} if isinstance(values, Landmarks) else record


def _rounds_record(rounds: ShiftRounds) -> dict[str, Any]:
    return {
        str(number): {field.name: getattr(shifts, field.name) for field in fields(shifts)}
        for number, shifts in enumerate(rounds)
    }


def _read_rounds(record: Mapping[str, Any]) -> ShiftRounds:
    return tuple(
        Shifts(
            centres=np.asarray(one["centres"], dtype=np.float64),
            level=np.asarray(one["level"], dtype=np.int32),
            width=float(one["width"]),
            spread=float(one["spread"]),
            target=np.asarray(one["target"], dtype=np.float64),
            share=np.asarray(one["share"], dtype=np.float64),
            shift=np.asarray(one["shift"], dtype=np.float64),
        )
        for one in (record[str(number)] for number in range(len(record)))
    )


def _embedder_record(embedder: Embedding) -> dict[str, Any]:
    return {
        "basis": embedder.basis,
        "centre": embedder.centre,
        "rounds": _rounds_record(embedder.rounds),
        "origin": embedder.origin,
        **({} if embedder.denoising is None else {"denoising": _denoising_record(embedder.denoising)}),
    }


def _denoising_record(denoising: Denoising) -> dict[str, Any]:
    return {field.name: getattr(denoising, field.name) for field in fields(denoising)}


def _read_denoising(record: Mapping[str, Any]) -> Denoising:
    arrays = {name: np.asarray(record[name], dtype=np.float64) for name in ("share", "centres", "signal", "noise")}
    return Denoising(np.asarray(record["level"], dtype=np.int32), **arrays)


def _read_embedder(record: Mapping[str, Any], rows: IntArray) -> Embedding:
    basis = np.asarray(record["basis"], dtype=np.float64)[rows]
    return Embedding(
        basis,
        np.asarray(record["centre"], dtype=np.float64)[rows],
        _read_rounds(record.get("rounds", {})),  # a record without rounds is not stored
        np.asarray(record.get("origin", np.zeros(basis.shape[1])), dtype=np.float64),  # older ones did not centre
        _read_denoising(record["denoising"]) if "denoising" in record else None,  # nor take out noise
    )


def _state_record(states: StateEffects) -> dict[str, Any]:
    """Effects of states as whole steps, one byte each, that compress well: most genes of most states have none."""
    return {"steps": states.steps, "unit": states.unit, "sd": states.sd}


def _read_states(record: Mapping[str, Any], rows: IntArray) -> StateEffects:
    steps = np.asarray(record["steps"], dtype=np.int8)
    return StateEffects(steps, float(record["unit"]), float(record["sd"])).of_genes(rows)


def _check_parts(record: Mapping[str, Any], name: str, kind: type[Landmarks | MappedOnto], where: str) -> None:
    due = [field.name for field in fields(kind) if field.default is MISSING]
    lost = [f"uns['unbatch']['{name}']['{part}']" for part in due if part not in record[name]]
    if lost:
        raise InputError(f"{where} holds only a part of a fit, missing {', '.join(lost)}: fit again")


def _read_landmarks(record: Mapping[str, Any], rows: IntArray) -> Landmarks:
    others = ("scale", "noise", "level_names", _SHIFTS)
    arrays = {name: np.asarray(record[name]) for name in record if name not in others}
    by_gene = {name: array[rows] if name in _LANDMARKS_BY_GENE else array for name, array in arrays.items()}
    return Landmarks(
        **by_gene,
        scale=float(record["scale"]),
        noise=float(record["noise"]),
        level_names=_strings(record["level_names"]),
        shifts=_read_rounds(record.get(_SHIFTS, {})),
    )


def _read_mapped_onto(record: Mapping[str, Any]) -> MappedOnto:
    return MappedOnto(
        batches=_strings(record["batches"]),
        known=_strings(record["known"]),
        n_cells=int(record["n_cells"]),
        expressed_in=str(record["expressed_in"]),
        missing_genes=int(record["missing_genes"]),
        unknown_genes=int(record["unknown_genes"]),
        reference=str(record.get("reference", "")),
    )


def _replace(table: Any, name: str, values: Any) -> None:  # noqa: ANN401 - obs or obsm, and what belongs there
    """Put values into a column, or take away what an earlier fit left there."""
    if values is not None:
        table[name] = values
    elif name in table:
        del table[name]


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
    record = read_record(adata, where=where)
    checks = SlotChecks(record, where=where)
    rows = gene_rows(adata, record, where=where)
    placed = _is_placed(record)
    for name, kind in ((_LANDMARKS, Landmarks), (_MAPPED_ONTO, MappedOnto)):
        if name in record:
            _check_parts(record, name, kind, where)
    checks.check_record()
    checks.check_slots(_slots(adata, placed=placed), adata)
    genes = {name: np.asarray(record[name])[rows] for name in _BY_GENE}
    return BatchFit(
        log_delta=np.asarray(adata.varm[EFFECTS], dtype=np.float64),
        se=np.asarray(adata.varm[ERRORS], dtype=np.float64),
        measured=genes["measured"].astype(bool),
        sample=np.asarray(adata.obs[SAMPLE], dtype=np.int64) if placed else None,
        overlap=np.asarray(adata.obs[OVERLAP], dtype=np.float64) if placed else None,
        embedding=np.asarray(adata.obsm[EMBEDDING], dtype=np.float32) if placed else None,
        batches=_strings(record["batches"]),
        batch=_read_batch(adata, record, where),
        too_small=_strings(record["too_small"]),
        batch_sizes=np.asarray(record["batch_sizes"], dtype=np.int64),
        support=np.asarray(record["support"], dtype=np.float64),
        mu=genes["mu"].astype(np.float64),
        basis=genes["basis"].astype(np.float64),
        trace={str(name): np.asarray(values, dtype=np.float64) for name, values in record["trace"].items()},
        stop_reason=str(record["stop_reason"]),
        evidence={str(k): np.asarray(v, dtype=np.float64) for k, v in record.get("evidence", {}).items()},
        method=str(record["method"]),
        parameters={str(name): _plain(value) for name, value in record["parameters"].items()},
        batch_key=_strings(record["batch_key"]),
        layer=None if record["layer"] == _X else str(record["layer"]),
        versions={str(name): str(value) for name, value in record["versions"].items()},
        timings={str(name): float(value) for name, value in record["timings"].items()},
        peak_bytes=float(record.get("peak_bytes", np.nan)),
        command=str(record.get("command", "")),
        lost_genes=len(record["genes"]) - len(rows),
        obs=adata.obs.drop(columns=[BATCH, *([SAMPLE, OVERLAP] if placed else [])], errors="ignore"),
        var=adata.var.copy(),
        reference=str(record["reference"]) if record.get("reference", _NO_REFERENCE) else None,
        centred_se=np.asarray(record[_CENTRED], dtype=np.float64)[rows] if _CENTRED in record else None,
        least_log_delta=np.asarray(record[_LEAST], dtype=np.float64)[rows] if _LEAST in record else None,
        match_within=_strings(record.get("match_within", ())),
        control_genes=_strings(record.get("control_genes", ())),
        state_effects=_read_states(record[_STATE_EFFECTS], rows) if _STATE_EFFECTS in record else None,
        embedder=_read_embedder(record[_EMBEDDER], rows) if _EMBEDDER in record else None,
        landmarks=_read_landmarks(record[_LANDMARKS], rows) if _LANDMARKS in record else None,
        mapped_onto=_read_mapped_onto(record[_MAPPED_ONTO]) if _MAPPED_ONTO in record else None,
        diagnostics=Diagnostics.from_record(record[_DIAGNOSTICS]) if _DIAGNOSTICS in record else None,
    )


def _read_batch(adata: AnnData, record: Mapping[str, Any], where: str) -> CodeArray | None:
    """Give the batch of each cell; None in fits of before it was kept."""
    if BATCH not in adata.obs:
        return None
    column = pd.Categorical(adata.obs[BATCH])
    place = pd.Index(_strings(record["batches"])).get_indexer([str(name) for name in column.categories])
    strange = int(((column.codes < 0) | (place[column.codes] < 0)).sum()) if len(place) else len(column)
    if strange:
        raise InputError(
            f"obs[{BATCH!r}] of {where} names no batch of the fit for {strange} of {len(column)} cells: it is what the "
            "fit left there, fit again"
        )
    return np.asarray(place[column.codes], dtype=np.int32)


def _slots(adata: AnnData, *, placed: bool) -> dict[str, Any]:
    """Give what a fit has outside its record, by its place."""
    slots = {f"varm['{name}']": adata.varm[name] for name in (EFFECTS, ERRORS)}
    if placed:
        slots |= {f"obs['{name}']": adata.obs[name] for name in (SAMPLE, OVERLAP)}
        slots |= {f"obsm['{EMBEDDING}']": adata.obsm[EMBEDDING]}
    return slots


def read_record(adata: AnnData, *, where: str = "this AnnData") -> dict[str, Any]:
    """Check that `adata` holds a whole fit and give its ``uns["unbatch"]``.

    Raises
    ------
    InputError
        If there is no fit, only a part of one, or one written by a newer unbatch.
    """
    record = adata.uns.get(RECORD)
    if not isinstance(record, Mapping) or "batches" not in record:
        raise InputError(
            f"{where} holds no batch effects (no uns['unbatch']): "
            "run unbatch.tl.batch_effects(adata, batch_key=...) or `unbatch fit` first"
        )
    if int(record.get("format", 0)) > FORMAT:
        raise InputError(
            f"{where} was written by unbatch {record.get('versions', {}).get('unbatch', '?')}, "
            "whose file layout this version does not know: update unbatch"
        )
    lost = [f"uns['unbatch']['{name}']" for name in _NEEDED if name not in record]
    lost += [f"varm['{name}']" for name in (EFFECTS, ERRORS) if name not in adata.varm]
    if _is_placed(record):
        lost += [f"obsm['{EMBEDDING}']"] if EMBEDDING not in adata.obsm else []
        lost += [f"obs['{name}']" for name in (SAMPLE, OVERLAP) if name not in adata.obs]
    if lost:
        raise InputError(f"{where} holds only a part of a fit, missing {', '.join(lost)}: fit again")
    shape = (adata.n_vars, len(record["batches"]))
    if adata.varm[EFFECTS].shape != shape or adata.varm[ERRORS].shape != shape:
        found = adata.varm[EFFECTS].shape
        raise InputError(f"{where} holds effects of shape {found} where {shape} (genes x batches) is due: fit again")
    return dict(record)


def write_diagnostics(adata: AnnData, diagnostics: Diagnostics) -> None:
    """Put diagnostics beside the fit that `adata` holds, replacing older ones."""
    adata.uns[RECORD] = {**adata.uns[RECORD], _DIAGNOSTICS: diagnostics.as_record()}


def write_adjusted(adata: AnnData, layer: str, how: Mapping[str, Any]) -> None:
    """Put down how the counts of a layer were adjusted, beside the fit that `adata` holds."""
    adata.uns[RECORD] = {**adata.uns[RECORD], _ADJUSTED: {**_adjusted(adata), layer: dict(how)}}


def _adjusted(adata: AnnData) -> Mapping[str, Any]:
    """Give the records of adjusted layers, by their names."""
    record = adata.uns.get(RECORD)
    found = record.get(_ADJUSTED, {}) if isinstance(record, Mapping) else {}
    return {name: how for name, how in found.items() if isinstance(how, Mapping)} if isinstance(found, Mapping) else {}


def read_diagnostics(adata: AnnData, *, where: str = "this AnnData") -> Diagnostics:
    """Read the diagnostics of a fit.

    Raises
    ------
    InputError
        If there is no fit, or one without diagnostics.
    """
    record = read_record(adata, where=where)
    if _DIAGNOSTICS not in record:
        cure = "they are made when cells are fitted" if _MAPPED_ONTO in record else "run unbatch.tl.diagnose(adata) or "
        cure += "" if _MAPPED_ONTO in record else "`unbatch diagnose IN.h5ad --model OUT.h5ad`"
        what = "mapped cells, for which there are none" if _MAPPED_ONTO in record else "a fit without diagnostics"
        raise InputError(f"{where} holds {what}: {cure}")
    return Diagnostics.from_record(record[_DIAGNOSTICS])


def _is_placed(record: Mapping[str, Any]) -> bool:
    """Tell whether the cells were placed: not after a fit of effects only."""
    return bool(record.get(_PLACED, True))


def gene_rows(adata: AnnData, record: dict[str, Any], *, where: str = "this AnnData") -> IntArray:
    """Row of each gene of `adata` in the gene-wise arrays of `record`, (n_genes,).

    Raises
    ------
    InputError
        If a gene was not part of the fit.
    """
    place = {str(gene): row for row, gene in enumerate(record["genes"])}
    strangers = [gene for gene in adata.var_names if gene not in place]
    if strangers:
        raise InputError(
            f"{where} has {len(strangers)} genes that were not part of the fit (first: {strangers[0]!r}): "
            "fit again, or give the genes the names they had then"
        )
    return np.array([place[gene] for gene in adata.var_names], dtype=np.int64)


def _names(values: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Array of Python strings, which anndata writes whatever characters they hold."""
    return np.array([str(value) for value in values], dtype=object)


def _strings(values: Any) -> tuple[str, ...]:  # noqa: ANN401 - whatever anndata read
    return tuple(str(value) for value in values)


def _plain(value: Any) -> float | str:  # noqa: ANN401 - whatever anndata read
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, int | float) else str(plain)
