"""What a simulation may be asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unbatch._check import InputError
from unbatch._memory import physical_bytes
from unbatch._types import FloatArray

_MOST_DISPERSION = 100.0
"""Real counts have at most about 10. Far above, the clusters of molecules outgrow the integers that count them."""
_NUMBERS, _OF_CELL, _TABLES, _GIGA = 8, 4, 3, 1e9


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """Everything that decides what is simulated, apart from the seed.

    The defaults are the scheme of the note. See `simulate` for the model and the meaning of each option.

    Raises
    ------
    InputError
        If a value is outside its range, or options contradict each other.
    """

    n_genes: int = 500
    n_cells: int = 1000
    n_batches: int = 2
    n_factors: int = 5
    log_delta_sd: float = 1.0
    confounding: float = 0.0
    n_types: int = 0
    marker_share: float = 0.3
    marker_log_fold_sd: float = 1.5
    abundance_sd: float = 1.5
    variation: float = 0.3
    composition: float | Sequence[Sequence[float]] | FloatArray | None = None
    private_types: Mapping[int, int] | None = None
    batch_proportions: Sequence[float] | None = None
    size_factor_sd: float = 0.0
    batch_depth: Sequence[float] | None = None
    dispersion: float = 0.0
    median_depth: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_genes", 2), ("n_cells", 1), ("n_batches", 1), ("n_factors", 0), ("n_types", 0)):
            _at_least(name, getattr(self, name), least)
        for name in ("log_delta_sd", "marker_log_fold_sd", "abundance_sd", "size_factor_sd"):
            _in_range(name, getattr(self, name), 0.0, np.inf)
        _in_range("dispersion", self.dispersion, 0.0, _MOST_DISPERSION)
        for name in ("confounding", "marker_share", "variation"):
            _in_range(name, getattr(self, name), 0.0, 1.0)
        if self.median_depth is not None:
            _positive("median_depth", self.median_depth)
        self._check_per_batch()
        self._check_states()
        self._check_memory()

    def _check_memory(self) -> None:
        """Refuse what this machine could not hold, before it is tried: a mistyped number, most of the time."""
        programmes = self.n_types + self.n_factors
        per_cell = _NUMBERS * (programmes + _OF_CELL) * self.n_cells
        n_bytes = per_cell + _NUMBERS * self.n_genes * self.n_batches * (_TABLES * programmes + 2)
        available = physical_bytes()
        if n_bytes > available:
            raise InputError(
                f"n_cells={self.n_cells}, n_genes={self.n_genes}, n_batches={self.n_batches} and {programmes} "
                f"programmes take about {n_bytes / _GIGA:.3g} GB of memory, and this machine has "
                f"{available / _GIGA:.3g} GB: ask for less"
            )

    def _check_per_batch(self) -> None:
        for name in ("batch_proportions", "batch_depth"):
            values = getattr(self, name)
            if values is None:
                continue
            if len(values) != self.n_batches:
                raise InputError(
                    f"{name} has {len(values)} values for {self.n_batches} batches: give one positive number per batch"
                )
            for value in values:
                _positive(name, value)

    def _check_states(self) -> None:
        if self.n_types == 0:
            if self.n_factors == 0:
                raise InputError("n_factors=0 and n_types=0 leave nothing to express: give at least one of them")
            for name in ("composition", "private_types"):
                if getattr(self, name) is not None:
                    raise InputError(f"{name} describes cell types, but n_types=0: give n_types or drop {name}")
        elif self.n_factors == 0 and self.variation > 0:
            raise InputError(
                f"variation={self.variation} needs programmes to vary along, but n_factors=0: "
                "give n_factors or set variation=0"
            )
        if self.confounding > 0 and self.n_factors <= 1:
            raise InputError(
                f"confounding={self.confounding} ties batches to factors and needs at least 2 of them, "
                f"but n_factors={self.n_factors}"
            )
        for cell_type, batch in (self.private_types or {}).items():
            if not (0 <= cell_type < self.n_types and 0 <= batch < self.n_batches):
                raise InputError(
                    f"private_types says that type {cell_type} occurs only in batch {batch}: "
                    f"types run from 0 to {self.n_types - 1}, batches from 0 to {self.n_batches - 1}"
                )
        if self.composition is not None:
            self._check_composition(np.asarray(self.composition, dtype=np.float64))

    def _check_composition(self, composition: FloatArray) -> None:
        if composition.ndim == 0:
            _positive("composition", float(composition))
            return
        expected = (self.n_batches, self.n_types)
        if composition.shape != expected:
            raise InputError(
                f"composition has shape {composition.shape}, needed {expected} (batches, types): "
                "or give one number, the concentration of a Dirichlet distribution"
            )
        bad = ~np.isfinite(composition) | (composition < 0)
        if bad.any():
            raise InputError(f"composition has {int(bad.sum())} negative or non-finite shares: all must be 0 or more")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _at_least(name: str, value: object, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"{name}={value!r}: a whole number of at least {least} is needed")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not _is_number(value) or not np.isfinite(value) or not low <= value <= high:
        valid = f"a finite number of at least {low:g}" if np.isinf(high) else f"a number from {low:g} to {high:g}"
        raise InputError(f"{name}={value!r}: {valid} is needed")


def _positive(name: str, value: float) -> None:
    if not _is_number(value) or not np.isfinite(value) or value <= 0:
        raise InputError(f"{name}={value!r}: a positive finite number is needed")
