"""What the default method gives back, and warns of."""

import numpy as np

from unbatch._check import warn
from unbatch._types import BoolArray, Float32Array, FloatArray, IntArray
from unbatch.core.common_level import errors_with_level
from unbatch.core.convention import centre_log_delta
from unbatch.core.diagnostics import Overlap
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.matched import MatchedFit
from unbatch.core.shift_rounds import among_batches
from unbatch.methods.placing import Placed
from unbatch.methods.result import MethodResult

_MOST_NAMES = 5
_CURE = "If they should share some, raise caliper or max_states"
_CURE_WITHIN = "Those that share no level of the condition (match_within) never do; for others raise caliper"


def warn_of_unidentifiable(fitted: MatchedFit, names: list[str], *, within: bool) -> None:
    """Warn of batches that share no state with any other, and of groups of batches that share none with each other.

    Cells may have been compared `within` a condition only.
    """
    alone = [name for name, known in zip(names, fitted.tied.identifiable, strict=True) if not known]
    if alone:
        listed = ", ".join(repr(name) for name in alone[:_MOST_NAMES]) + (", ..." if len(alone) > _MOST_NAMES else "")
        warn(
            f"{len(alone)} of {len(names)} batches share no cell state with the others, or too little of one, so that "
            f"their effects are not identifiable and stay 1 (none): {listed}. {_CURE_WITHIN if within else _CURE}"
        )
    if fitted.tied.group.max(initial=-1) > 0:
        groups = [
            ", ".join(repr(str(name)) for name in np.array(names)[fitted.tied.group == number][:_MOST_NAMES])
            for number in range(int(fitted.tied.group.max()) + 1)
        ]
        warn(
            f"the batches fall into {len(groups)} groups that share no cell state, or too few cells of one: "
            f"{'; '.join(groups)}. Effects are "
            "relative to the mean of each group, and batches of different groups cannot be compared"
        )


def matched_result(
    fitted: MatchedFit,
    placed: Placed | None,
    *,
    overlap: Overlap,
    used: IntArray,
    totals: IntArray,
    divided_out: FloatArray,
    embedding_logs: Float32Array,
    embedding: Embedding | None,
) -> MethodResult:
    """Put together what was found of the `used` batches, among all batches.

    Parameters
    ----------
    fitted
        The fit.
    placed
        Every cell's place; None after a fit of effects only.
    overlap
        Which cells have counterparts in which batches, for all batches.
    used
        Batches that were fitted, (n_used,).
    totals
        Counts of each gene, (n_genes,).
    divided_out
        Log effects by which cells were placed, (n_genes, n_used).
    embedding_logs
        Mean logs of states that the embedding takes.
    embedding
        What puts cells into the embedding, for all batches.

    Returns
    -------
    MethodResult
    """
    effects, n_batches = fitted.effects, len(overlap.support)
    n_genes = len(effects.log_delta)
    log_delta, se = np.zeros((n_genes, n_batches)), np.full((n_genes, n_batches), np.inf)
    informative = np.zeros((n_genes, n_batches), dtype=bool)
    counted = _counted(fitted) & fitted.tied.identifiable
    log_delta[:, used], se[:, used] = effects.log_delta, _errors(fitted, totals, counted)
    informative[:, used] = counted
    return MethodResult(
        log_delta=log_delta,
        se=se,
        informative=informative,
        expression=totals.astype(np.float64),
        mu=effects.rate * fitted.scale,
        sample=placed.sample if placed else None,
        basis=fitted.basis,
        embedding=placed.embedding if placed else None,
        trace=fitted.trace,
        stop_reason=fitted.stop_reason,
        overlap=overlap,
        evidence={
            "state_support": fitted.support.astype(np.float64),
            "state_cells": fitted.cells,
            "state_residual": effects.state_residual,
            "gene_residual": effects.gene_residual,
            "dispersion": effects.dispersion,
            "prior_sd": effects.prior_sd,
            "correlation": effects.correlation.matrix,
            "information": fitted.tied.information,
            "spread": fitted.tied.spread,
            "ratio": fitted.tied.ratio,
            "group": fitted.tied.group.astype(np.float64),
            "composition_factors": np.array([float(fitted.composition.n_factors)]),
            "composition_strength": np.array([fitted.composition.strength]),
            "mixture_states": np.array([float(fitted.n_mixture_states)]),
        },
        embedder=embedding,
        landmarks=_landmarks(
            fitted,
            used=used,
            n_batches=n_batches,
            totals=totals,
            divided_out=divided_out,
            embedding_logs=embedding_logs,
        ),
    )


def _errors(fitted: MatchedFit, totals: IntArray, counted: BoolArray) -> FloatArray:
    """Give the errors of effects in the convention of all outputs, (n_genes, n_used): it takes off a median of them."""
    effects, weights = fitted.effects, totals.astype(np.float64)
    se = np.where(counted, effects.se, np.inf)
    for number in range(int(fitted.tied.group.max(initial=-1)) + 1):
        mine = fitted.tied.group == number
        centred = centre_log_delta(effects.log_delta[:, mine], weights, counted[:, mine])
        se[:, mine] = errors_with_level(centred, se[:, mine], weights)
    return np.where(counted, se, effects.se)


def _counted(fitted: MatchedFit) -> BoolArray:
    """Tell where a gene was counted in a state in which the batch is compared with others, (n_genes, n_used).

    The others are those that measured the gene. What several groups of batches counted in one state is not kept apart:
    there it is enough that it was counted.
    """
    expected = fitted.effects.rate * fitted.effects.exposure > 0
    told = np.zeros((len(expected), len(fitted.tied.group)), dtype=bool)
    patterns, pattern_of = np.unique(fitted.refit.how.measured, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        genes = np.flatnonzero(pattern_of.ravel() == number)
        told[genes] = _counted_by(expected[genes], fitted.support & pattern, fitted.tied.group)
    return told


def _counted_by(expected: BoolArray, support: BoolArray, group: IntArray) -> BoolArray:
    """Tell the same of genes, (n_genes, n_states), for which these batches take part in a state, (n_states, n_used)."""
    compared, n_groups = np.zeros(support.shape, dtype=bool), np.zeros(len(support), dtype=np.int64)
    for number in range(int(group.max(initial=-1)) + 1):
        mine = support & (group == number)
        compared |= mine & (mine.sum(axis=1, keepdims=True) > 1)
        n_groups += mine.any(axis=1)
    several = (compared & (n_groups[:, None] > 1)).any(axis=0)
    here = np.asarray(expected.astype(np.float64) @ compared) > 0
    return np.asarray(here | (np.asarray(expected.any(axis=1))[:, None] & several))


def _landmarks(
    fitted: MatchedFit,
    *,
    used: IntArray,
    n_batches: int,
    totals: IntArray,
    divided_out: FloatArray,
    embedding_logs: Float32Array,
) -> Landmarks:
    n_genes, n_states = len(divided_out), fitted.states.n_states
    log_delta, group = np.zeros((n_genes, n_batches)), np.full(n_batches, -1, dtype=np.int64)
    cells, sizes, support = (np.zeros((n_states, n_batches), dtype=kind) for kind in (float, float, bool))
    log_delta[:, used], group[used] = divided_out, fitted.tied.group
    cells[:, used], sizes[:, used], support[:, used] = fitted.cells, fitted.sizes, fitted.support
    return Landmarks(
        scale=fitted.scale,
        noise=fitted.shape.noise,
        log_delta=log_delta,
        gene_shift=np.zeros(n_genes),
        exposure=fitted.effects.exposure / fitted.scale,
        dispersion=fitted.effects.dispersion,
        expression=totals.astype(np.float64),
        mean_logs=fitted.shape.mean_logs,
        embedding_logs=embedding_logs,
        centres=fitted.states.centres,
        spread=fitted.shape.spread,
        level=fitted.states.level.astype(np.int32),
        level_names=(),
        cells=cells,
        sizes=sizes,
        support=support,
        group=group,
        shifts=among_batches(fitted.shifts, used, n_batches),
    )
