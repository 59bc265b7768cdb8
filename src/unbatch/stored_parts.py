"""Parts of a fit that are dataclasses, as plain records of arrays that anndata can store, and back."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from unbatch._check import InputError
from unbatch._types import IntArray
from unbatch.core.denoising import Denoising
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.shift_rounds import ShiftRounds
from unbatch.core.shifts import Shifts
from unbatch.core.state_effects import StateEffects
from unbatch.fitted import MappedOnto

_SHIFTS = "shifts"
_LANDMARKS_BY_GENE = frozenset(
    {"log_delta", "gene_shift", "exposure", "dispersion", "expression", "mean_logs", "embedding_logs"}
)


def as_record(values: Landmarks | MappedOnto) -> dict[str, Any]:
    """Take apart landmarks, or what cells were mapped onto."""
    plain = {field.name: getattr(values, field.name) for field in fields(values) if field.name != _SHIFTS}
    record = {name: name_array(value) if isinstance(value, tuple) else value for name, value in plain.items()}
    return {**record, _SHIFTS: _rounds_record(values.shifts)} if isinstance(values, Landmarks) else record


def check_parts(record: Mapping[str, Any], name: str, *, kind: type[Landmarks | MappedOnto], where: str) -> None:
    """Refuse a record of the kind of that name that lacks a part that it always has.

    Raises
    ------
    InputError
        If one is missing.
    """
    due = [field.name for field in fields(kind) if field.default is MISSING]
    lost = [f"uns['unbatch']['{name}']['{part}']" for part in due if part not in record[name]]
    if lost:
        raise InputError(f"{where} holds only a part of a fit, missing {', '.join(lost)}: fit again")


def read_landmarks(record: Mapping[str, Any], rows: IntArray) -> Landmarks:
    """Put landmarks together again, for the genes at `rows` of the fit."""
    others = ("scale", "noise", "level_names", _SHIFTS)
    arrays = {name: np.asarray(record[name]) for name in record if name not in others}
    by_gene = {name: array[rows] if name in _LANDMARKS_BY_GENE else array for name, array in arrays.items()}
    return Landmarks(
        **by_gene,
        scale=float(record["scale"]),
        noise=float(record["noise"]),
        level_names=strings(record["level_names"]),
        shifts=_read_rounds(record.get(_SHIFTS, {})),
    )


def read_mapped_onto(record: Mapping[str, Any]) -> MappedOnto:
    """Put together again what cells were mapped onto."""
    return MappedOnto(
        batches=strings(record["batches"]),
        known=strings(record["known"]),
        n_cells=int(record["n_cells"]),
        expressed_in=str(record["expressed_in"]),
        missing_genes=int(record["missing_genes"]),
        unknown_genes=int(record["unknown_genes"]),
        reference=str(record.get("reference", "")),
    )


def embedder_record(embedder: Embedding) -> dict[str, Any]:
    """Take apart what puts cells into the embedding."""
    return {
        "basis": embedder.basis,
        "centre": embedder.centre,
        "rounds": _rounds_record(embedder.rounds),
        "origin": embedder.origin,
        **({} if embedder.denoising is None else {"denoising": _denoising_record(embedder.denoising)}),
    }


def read_embedder(record: Mapping[str, Any], rows: IntArray) -> Embedding:
    """Put together again what puts cells into the embedding, for the genes at `rows` of the fit."""
    basis = np.asarray(record["basis"], dtype=np.float64)[rows]
    return Embedding(
        basis,
        np.asarray(record["centre"], dtype=np.float64)[rows],
        _read_rounds(record.get("rounds", {})),  # a record without rounds is not stored
        np.asarray(record.get("origin", np.zeros(basis.shape[1])), dtype=np.float64),  # older ones did not centre
        _read_denoising(record["denoising"]) if "denoising" in record else None,  # nor take out noise
    )


def state_record(states: StateEffects) -> dict[str, Any]:
    """Effects of states as whole steps, one byte each, that compress well: most genes of most states have none."""
    return {"steps": states.steps, "unit": states.unit, "sd": states.sd}


def read_states(record: Mapping[str, Any], rows: IntArray) -> StateEffects:
    """Put together again the effects of states, for the genes at `rows` of the fit."""
    steps = np.asarray(record["steps"], dtype=np.int8)
    return StateEffects(steps, float(record["unit"]), float(record["sd"])).of_genes(rows)


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


def _denoising_record(denoising: Denoising) -> dict[str, Any]:
    return {field.name: getattr(denoising, field.name) for field in fields(denoising)}


def _read_denoising(record: Mapping[str, Any]) -> Denoising:
    arrays = {name: np.asarray(record[name], dtype=np.float64) for name in ("share", "centres", "signal", "noise")}
    return Denoising(np.asarray(record["level"], dtype=np.int32), **arrays)


def name_array(values: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Array of Python strings, which anndata writes whatever characters they hold."""
    return np.array([str(value) for value in values], dtype=object)


def strings(values: Any) -> tuple[str, ...]:  # noqa: ANN401 - whatever anndata read
    """Give back what `name_array` made an array of."""
    return tuple(str(value) for value in values)
