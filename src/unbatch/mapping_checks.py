"""What a model and new cells must be for these to be mapped onto it, and what is said of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from unbatch._check import InputError, warn
from unbatch._types import Float32Array, FloatArray, IntArray
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches
from unbatch.io.source import CountSource
from unbatch.methods.map_placing import MappedCells
from unbatch.methods.map_plan import MapPlan

DAMAGED = "it is damaged or was changed, fit again or copy the file anew"
_SHOWN = 5
_LEAST_SHARE = 0.5
"""Share of the genes of a model below which those of new cells are likely to go by other names."""


def check_states(fit: BatchFit) -> None:
    """Refuse a fit that keeps no states, and say why it keeps none."""
    if fit.landmarks is not None and fit.embedder is not None:
        if fit.lost_genes:  # its states are places by all of them
            n_genes = len(fit.var) + fit.lost_genes
            raise InputError(
                f"{fit.lost_genes} of the {n_genes} genes of this model have been taken away since it was fitted, and "
                "new cells would not be compared with its states by the same genes: give the fit with all its genes"
            )
        return
    if fit.landmarks is not None and fit.embedding is None:
        raise InputError(
            "this model is a fit of effects only, without places for cells: fit again without effects_only"
        )
    if fit.mapped_onto is not None:
        raise InputError(
            "this model holds cells that were themselves mapped, and no states: map onto the model that they were "
            "mapped onto"
        )
    if fit.method != "matched":
        raise InputError(
            f"method {fit.method!r} keeps no states to map new cells onto: fit again with method 'matched'"
        )
    raise InputError(
        f"this model was written by unbatch {fit.versions.get('unbatch', '?')}, which kept no states to map new cells "
        "onto: fit again with this version"
    )


@contextmanager
def sound() -> Iterator[None]:
    """Refuse a model whose numbers are in their ranges one by one, but contradict each other."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise InputError(f"the numbers of this model contradict each other ({error}): {DAMAGED}") from error


def check_answer(*arrays: FloatArray | Float32Array) -> None:
    """Refuse a model if a result is not finite."""
    wrong = sum(int((~np.isfinite(array)).sum()) for array in arrays)
    if wrong:
        raise InputError(f"the numbers of this model contradict each other ({wrong} results are not finite): {DAMAGED}")


def check_genes(source: CountSource, fit: BatchFit, rows: IntArray, missing: int) -> None:
    """Refuse new cells without a gene of the model, and warn of genes that one side lacks.

    Parameters
    ----------
    source
        The new cells.
    fit
        The model.
    rows
        Gene of the model for each gene of the new cells, -1 for one that it lacks.
    missing
        How many genes of the model the new cells lack.
    """
    unknown = int((rows < 0).sum())
    if unknown == len(rows):
        raise InputError(
            f"no gene of {source.description} is known to the model: it has {source.var.index[0]!r}, ..., the model "
            f"{fit.var.index[0]!r}, ...: name genes as in the fit (symbols or identifiers)"
        )
    if unknown:
        first = source.var.index[int(np.flatnonzero(rows < 0)[0])]
        warn(
            f"{unknown} of {len(rows)} genes of {source.description} are unknown to the model and left out (the first "
            f"is {first!r}): they get no effect"
        )
    if missing:
        share = 1 - missing / len(fit.var)
        advice = ": check that genes are named as in the fit" if share < _LEAST_SHARE else ""
        warn(
            f"{missing} of the {len(fit.var)} genes of the model are not in {source.description} and count as not "
            f"measured{advice}"
        )


def warn_of_small(batches: Batches, plan: MapPlan) -> None:
    """Warn of new batches with too few cells."""
    small = [
        level for level, k, fitted in zip(batches.levels, plan.known, plan.fitted, strict=True) if k < 0 and not fitted
    ]
    if small:
        warn(f"{len(small)} new batches have fewer than {batches.min_cells} cells and get no effect: {_listed(small)}")


def warn_of_strangers(batches: Batches, mapped: MappedCells) -> None:
    """Warn of new batches that cannot be compared with the model."""
    strangers = [batches.levels[b] for b, found in mapped.found.items() if not found.identifiable]
    if strangers:
        warn(
            f"{len(strangers)} of {len(mapped.found)} new batches share no cell state with the model, or too little of "
            f"one, so that their effects are not identifiable and stay 1 (none): {_listed(strangers)}. Their "
            "coordinates still hold the batch effect: fit them together with the cells of the model, or leave them out"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
