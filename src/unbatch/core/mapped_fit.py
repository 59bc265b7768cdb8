"""The fit of a new batch to its sums, with the correction for graded states that the reference chose."""

import numpy as np

from unbatch._types import BoolArray, FloatArray
from unbatch.core.composition import composition_ratio
from unbatch.core.mapped_effects import MappedEffects, fit_against
from unbatch.core.reference import Reference
from unbatch.core.state_table import StateCounts, StateTable

_COMPOSITION_GENES = 2000
_STARTS = 4
_TINY = 1e-300


def fit_new(
    table: StateTable,
    reference: Reference,
    *,
    measured: BoolArray,
    start: MappedEffects | None,
    composed: bool,
    seed: int,
) -> MappedEffects:
    """Fit a batch to its sums, with the correction for graded states that the reference chose.

    The correction is that of a fit (`unbatch.core.composition`), with the reference as one batch.

    Parameters
    ----------
    table
        Sums of the new cells, (n_genes, n_states, 1).
    reference
        The fit.
    measured
        Genes that the batch measured, (n_genes,).
    start
        An earlier fit to begin from.
    composed
        Whether to correct.
    seed
        Start of the random numbers of the factor model.
    """
    ratio: FloatArray | None = None
    if composed and start is not None and reference.choice.strength > 0:
        rates, theirs = reference.rates, reference.landmarks.sizes.sum(axis=1)
        here = measured & rates.known
        counts = np.where(here[:, None, None], np.dstack([rates.rate * theirs, table.counts[:][:, :, 0]]), 0.0)
        both = StateCounts(
            counts=counts,
            exposure=np.column_stack([theirs, table.exposure[:, 0]]),
            cells=np.column_stack([reference.landmarks.cells.sum(axis=1), table.cells[:, 0]]),
        )
        totals = counts.sum(axis=(1, 2)) * reference.genes
        ranked = np.argsort(-totals, kind="stable")[:_COMPOSITION_GENES]
        loud = np.sort(ranked[totals[ranked] > 0])
        log_delta = np.column_stack([np.zeros(len(measured)), start.log_delta])
        prior_sd = np.full(2, start.prior_sd)
        ratio = composition_ratio(both, log_delta, reference.choice, prior_sd=prior_sd, genes=loud, seed=seed)
        ratio = ratio[:, :, 1] / np.maximum(ratio[:, :, 0], _TINY)
    return fit_against(table, reference.rates, measured=measured, composition=ratio, start=start)


def average(
    table: StateTable, reference: Reference, *, measured: BoolArray, effects: MappedEffects, seed: int
) -> MappedEffects:
    """Where states are graded, average over several factor models, and widen the errors by how far they differ.

    The factor model behind the correction has several solutions, in which it ends by the luck of its start.
    """
    if reference.choice.strength == 0:
        return effects
    seeds = np.random.SeedSequence(seed, spawn_key=(19,)).generate_state(_STARTS - 1)
    others = [
        fit_new(table, reference, measured=measured, start=effects, composed=True, seed=int(own)) for own in seeds
    ]
    return effects.averaged([other.log_delta for other in others])
