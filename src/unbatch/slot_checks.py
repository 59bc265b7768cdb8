"""Whether what is stored as a fit can be one: the shapes, types and ranges of all that is computed with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from unbatch._check import InputError

_CURE = "It is damaged or was changed: fit again, or copy the file anew"
_LOGS = 100.0
"""No effect and no count comes near e^100."""
_AMOUNTS = 1e18
"""Counts of a fit add up to less than 2^53."""
_PLACES = 1e9
_ROUNDED = 1 + 1e-6
_MOST_ROUNDS = 1000
_NO_COVARIANCE = 1e-6


@dataclass(frozen=True)
class _Due:
    """What an array has to be: an axis that is not known yet is as long as it is first found."""

    axes: tuple[str, ...] = ()
    least: float = -_PLACES
    most: float = _PLACES
    infinite: bool = False
    whole: bool = False


_TINY = np.finfo(np.float64).tiny
_EFFECTS = _Due(("genes", "batches"), -_LOGS, _LOGS)
_ERRORS = _Due(("genes", "batches"), 0, _AMOUNTS, infinite=True)
_BY_STATE = _Due(("states", "batches"), 0, _AMOUNTS)
_RECORD = {
    "measured": _Due(("genes", "batches"), 0, 1, whole=True),
    "batch_sizes": _Due(("batches",), 0, _AMOUNTS, whole=True),
    "support": _Due(("batches", "batches"), 0, _ROUNDED),
    "mu": _Due(("genes", "states"), 0, _AMOUNTS),
    "basis": _Due(("genes", "dims")),
    "centred_se": _ERRORS,
    "least_log_delta": _Due(("genes",), -_LOGS, _LOGS),
    "state_effects/unit": _Due((), 0, 1),
    "state_effects/sd": _Due((), 0, _LOGS),
    "state_effects/steps": _Due(("states", "batches", "genes"), -127, 127, whole=True),
    "embedder/basis": _Due(("genes", "embedding")),
    "embedder/centre": _Due(("genes",), -_LOGS, _LOGS),
    "embedder/origin": _Due(("embedding",)),
    "landmarks/scale": _Due((), _TINY, _AMOUNTS),
    "landmarks/noise": _Due((), 0, _PLACES),
    "landmarks/log_delta": _EFFECTS,
    "landmarks/gene_shift": _Due(("genes",), -_LOGS, _LOGS),
    "landmarks/exposure": _Due(("genes", "states"), 0, _AMOUNTS),
    "landmarks/dispersion": _Due(("genes",), 1, _AMOUNTS),
    "landmarks/expression": _Due(("genes",), 0, _AMOUNTS),
    "landmarks/mean_logs": _Due(("genes", "states"), -_LOGS, _LOGS),
    "landmarks/embedding_logs": _Due(("genes", "states"), -_LOGS, _LOGS),
    "landmarks/centres": _Due(("states", "dims")),
    "landmarks/spread": _Due(("states", "dims", "dims")),
    "landmarks/level": _Due(("states",), 0, _AMOUNTS, whole=True),
    "landmarks/cells": _BY_STATE,
    "landmarks/sizes": _BY_STATE,
    "landmarks/support": _Due(("states", "batches"), 0, 1, whole=True),
    "landmarks/group": _Due(("batches",), -1, _AMOUNTS, whole=True),
    "mapped_onto/n_cells": _Due((), 0, _AMOUNTS, whole=True),
    "mapped_onto/missing_genes": _Due((), 0, _AMOUNTS, whole=True),
    "mapped_onto/unknown_genes": _Due((), 0, _AMOUNTS, whole=True),
}


def _round(dims: str) -> dict[str, _Due]:
    """One round of shifts along axes of that name."""
    return {
        "centres": _Due(("here", dims)),
        "level": _Due(("here",), 0, _AMOUNTS, whole=True),
        "width": _Due((), _TINY, _AMOUNTS),
        "spread": _Due((), _TINY, _AMOUNTS),
        "target": _Due(("here", dims)),
        "share": _Due(("here",), 0, _ROUNDED),
        "shift": _Due(("here", "batches", dims)),
    }


_DENOISING = {
    "level": _Due(("here",), 0, _AMOUNTS, whole=True),
    "share": _Due(("here",), 0, _ROUNDED),
    "centres": _Due(("here", "embedding")),
    "signal": _Due(("here", "embedding"), _TINY, _AMOUNTS),
    "noise": _Due(("here", "embedding"), 0, _AMOUNTS),
}

_CHOICE = {
    "composition_factors": _Due(("one",), 0, _AMOUNTS, whole=True),
    "composition_strength": _Due(("one",), 0, 1),
}
_MAPPED_GROUP = "evidence/group", _Due(("batches",), -1, _AMOUNTS, whole=True)
_SAMPLE = "obs['unbatch_sample']"
_SLOTS = {
    "varm['batch_effects']": _EFFECTS,
    "varm['batch_effects_se']": _ERRORS,
    _SAMPLE: _Due(("cells",), -1, whole=True),
    "obs['unbatch_overlap']": _Due(("cells",), 0, _ROUNDED),
    "obsm['X_unbatch']": _Due(("cells", "coordinates")),
}
_TEXTS = ("batches", "genes", "too_small", "batch_key", "match_within", "control_genes", "landmarks/level_names")
_UNIQUE = ("batches", "genes", "landmarks/level_names")
_SERIES = ("trace", "evidence", "timings")
_GROUPS = (*_SERIES, "parameters", "versions", "landmarks", "embedder", "mapped_onto", "state_effects")


class SlotChecks:
    """Checks of the parts of a stored fit, which know from each other how long axes have to be.

    Parameters
    ----------
    record
        ``uns["unbatch"]``, of which no name that is always there is missing.
    where
        What it was read from, to start a sentence with.

    Raises
    ------
    InputError
        Here and from all methods: what is wrong, where, and how much of it.
    """

    def __init__(self, record: Mapping[str, Any], *, where: str) -> None:
        self._record, self._where = record, where
        for name in _GROUPS:
            if not isinstance(record.get(name, {}), Mapping):
                raise self._wrong(f"{_named(name)} is no group")
        for path in _TEXTS:
            self._check_texts(path)
        self._axes = {"one": 1, "batches": len(record["batches"]), "genes": len(record["genes"])}

    def check_record(self) -> None:
        """Check all of the record, as far as it is there."""
        for path, due in _RECORD.items():
            if _is_there(self._record, path):
                self._check(_named(path), _found(self._record, path), due, self._axes)
        for name in _SERIES:
            for part, values in self._record.get(name, {}).items():
                _numbers(values, _named(f"{name}/{part}"), self._wrong)
        self._check_names()
        if "embedder" in self._record:
            self._check_embedder()
        if "landmarks" in self._record:
            self._check_landmarks()
        path, due = _MAPPED_GROUP
        if "mapped_onto" in self._record and _is_there(self._record, path):
            self._check(_named(path), _found(self._record, path), due, self._axes)

    def check_slots(self, slots: Mapping[str, Any], adata: AnnData) -> None:
        """Check the slots of an AnnData outside the record, by their place, after the record."""
        axes = {**self._axes, "genes": adata.n_vars, "cells": adata.n_obs}
        if not adata.var_names.is_unique:
            raise self._wrong("gene names occur more than once")
        for name, value in slots.items():
            due = _SLOTS[name]
            if name == _SAMPLE:
                due = replace(due, most=self._axes["states"] - 1)
            self._check(name, value, due, axes)

    def _check_texts(self, path: str) -> None:
        if not _is_there(self._record, path):
            return
        texts = np.asarray(_found(self._record, path))
        if texts.ndim != 1 or not all(isinstance(text, str) for text in texts.tolist()):
            raise self._wrong(f"{_named(path)} is no list of names")
        repeated = len(texts) - len(set(texts.tolist()))
        if path in _UNIQUE and repeated:
            raise self._wrong(f"{repeated} of {len(texts)} names in {_named(path)} are there more than once")

    def _check_names(self) -> None:
        """Check that what is said of batches is said of those that there are."""
        batches = set(self._record["batches"])
        strange = [name for name in (*self._record["too_small"], self._record.get("reference") or "") if name]
        strange = [name for name in strange if name not in batches]
        onto = self._record.get("mapped_onto", {})
        if onto.get("reference"):
            strange += [name for name in [onto["reference"]] if name not in set(onto["batches"])]
        if strange:
            raise self._wrong(f"{str(strange[0])!r} is taken for one of its batches, and is none")
        numbers = self._record["parameters"]
        for name in ("min_cells", "seed"):
            value = numbers.get(name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool | np.bool_) or value < 0:
                raise self._wrong(f"{_named(f'parameters/{name}')} is {value!r}")

    def _check_embedder(self) -> None:
        self._must_have("embedder", ("basis", "centre"))
        self._check_rounds("embedder/rounds", dims="embedding")
        if "denoising" in self._record["embedder"]:
            self._check_states("embedder/denoising", _DENOISING)

    def _check_rounds(self, path: str, *, dims: str) -> None:
        rounds = _found(self._record, path) if _is_there(self._record, path) else {}
        names = [str(number) for number in range(_MOST_ROUNDS) if isinstance(rounds, Mapping) and str(number) in rounds]
        if not isinstance(rounds, Mapping) or names != [str(number) for number in range(len(rounds))]:
            raise self._wrong(f"{_named(path)} are not numbered from 0 on")
        for name in names:
            self._check_states(f"{path}/{name}", _round(dims))

    def _check_states(self, path: str, dues: Mapping[str, _Due]) -> None:
        """Check what is said of states that are not those of the fit."""
        self._must_have(path, dues)
        group, axes = _found(self._record, path), dict(self._axes)
        for part, due in dues.items():
            self._check(_named(f"{path}/{part}"), group[part], due, axes)
        self._check_levels(f"{path}/level")

    def _check_landmarks(self) -> None:
        landmarks = self._record["landmarks"]
        self._check_levels("landmarks/level")
        self._check_rounds("landmarks/shifts", dims="dims")
        self._must_have("evidence", _CHOICE)
        for name, due in _CHOICE.items():
            self._check(_named(f"evidence/{name}"), self._record["evidence"][name], due, self._axes)
        factors, strength = (np.asarray(self._record["evidence"][name])[0] for name in _CHOICE)
        if factors > self._axes["states"] or (strength > 0 and factors == 0):
            raise self._wrong(f"its correction for graded states is said to have {factors:g} factors")
        if np.max(landmarks["group"], initial=-1) >= self._axes["batches"]:
            raise self._wrong(f"{_named('landmarks/group')} has more groups than batches")
        spread = np.asarray(landmarks["spread"], dtype=np.float64)
        off = _NO_COVARIANCE * np.abs(spread).max(initial=0.0)
        skewed = np.abs(spread - np.swapaxes(spread, 1, 2)).max(initial=0.0)
        if skewed > off or np.linalg.eigvalsh(spread).min(initial=0.0) < -off:
            raise self._wrong(f"{_named('landmarks/spread')} holds what is no covariance")

    def _check_levels(self, path: str) -> None:
        """Check that each state is of one of the conditions that there are."""
        names = _found(self._record, "landmarks/level_names") if "landmarks" in self._record else ()
        if "landmarks" in self._record and np.max(_found(self._record, path), initial=0) >= max(len(names), 1):
            raise self._wrong(f"{_named(path)} has a condition beyond the {max(len(names), 1)} that there are")

    def _must_have(self, path: str, names: Iterable[str]) -> None:
        group = _found(self._record, path)
        lost = [name for name in names if not isinstance(group, Mapping) or name not in group]
        if lost:
            raise self._wrong(f"{_named(f'{path}/{lost[0]}')} is missing")

    def _check(self, name: str, value: Any, due: _Due, axes: dict[str, int]) -> None:  # noqa: ANN401 - as it was read
        array = _numbers(value, name, self._wrong)
        if array.ndim == len(due.axes):
            wanted = tuple(axes.setdefault(axis, length) for axis, length in zip(due.axes, array.shape, strict=True))
        if array.ndim != len(due.axes) or wanted != array.shape:
            known = ", ".join(f"{axis}: {axes[axis]}" for axis in dict.fromkeys(due.axes) if axis in axes)
            raise self._wrong(f"{name} is of shape {array.shape} where ({', '.join(due.axes)}) is due ({known})")
        bad = (array < due.least) | (array > due.most)
        if due.infinite:
            bad &= array != np.inf
        if due.whole:
            bad |= ~np.isfinite(array) | (array != np.floor(array))
        if bad.any():
            kind = "whole numbers" if due.whole else "numbers"
            raise self._wrong(
                f"{int(bad.sum())} of {array.size} values of {name} are no {kind} from {due.least:g} to {due.most:g} "
                f"(first: {array[bad][0]:g})"
            )

    def _wrong(self, what: str) -> InputError:
        return InputError(f"{self._where} holds no sound fit: {what}. {_CURE}")


def _numbers(value: Any, name: str, wrong: Callable[[str], InputError]) -> NDArray[Any]:  # noqa: ANN401 - as it was read
    """Give an array if it is one of numbers, none of them NaN."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise wrong(f"{name} is no array of numbers")
    array = array.astype(np.float64) if array.dtype == np.float16 else array  # which the ends of ranges overflow
    missing = np.isnan(array)
    if missing.any():
        raise wrong(f"{int(missing.sum())} of {array.size} values of {name} are NaN")
    return array


def _named(path: str) -> str:
    return "uns['unbatch']" + "".join(f"['{part}']" for part in path.split("/"))


def _is_there(record: Mapping[str, Any], path: str) -> bool:
    *groups, name = path.split("/")
    return all(group in record for group in groups) and name in _found(record, "/".join(groups))


def _found(record: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - as it was read
    """Give a part of a record by its path."""
    for part in path.split("/") if path else ():
        record = record[part]
    return record
