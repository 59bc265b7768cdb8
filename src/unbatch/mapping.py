"""From a finished fit and new counts to a fit of the new cells: effects, coordinates and evidence in the same slots."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unbatch._check import InputError
from unbatch._memory import peak_bytes
from unbatch._progress import Progress, Stopwatch
from unbatch._types import FloatArray, IntArray
from unbatch.assembly import library_versions
from unbatch.core.common_level import errors_with_level
from unbatch.core.contrasts import centred_errors, quasi_variances
from unbatch.core.convention import weighted_median
from unbatch.core.mapping import MapSettings
from unbatch.fitted import BatchFit, MappedOnto
from unbatch.io.batches import Batches, label_cells, measured_by_batch
from unbatch.io.common_factors import without_common_factors
from unbatch.io.reduce import Driver
from unbatch.io.source import CountSource
from unbatch.labels import find_batches, known_names
from unbatch.mapping_checks import (
    DAMAGED,
    check_answer,
    check_genes,
    check_states,
    sound,
    warn_of_small,
    warn_of_strangers,
)
from unbatch.methods import MatchedOptions, options_for, own_options
from unbatch.methods.map_placing import MappedCells
from unbatch.methods.map_plan import MapPlan, of_genes, plan_mapping
from unbatch.methods.mapping import map_cells

_LEAST_SPLIT = 0.01
_MOST_ROUNDS = 1000
"""Mapping a batch settles in some ten; a model from elsewhere may ask for any number."""


def map_source(
    source: CountSource,
    fit: BatchFit,
    *,
    batch_key: str | Sequence[str] | None = None,
    layer: str | None = None,
    progress: Progress,
    driver: Driver | None = None,
) -> BatchFit:
    """Map new cells onto a fit: see `unbatch.BatchModel.map`.

    Raises
    ------
    InputError
        If the fit keeps no states, source and fit share no gene, labels are missing, or values are not counts.

    Warns
    -----
    InputWarning
        Of genes that the fit does not know or the source lacks, batches without shared states or too small ones,
        conditions that the fit did not see, counts that were multiplied or normalised, and cells that are there more
        than once.
    """
    check_states(fit)
    batches = replace(_label(source, fit, batch_key), min_cells=int(fit.parameters["min_cells"]))
    rows = fit.var.index.get_indexer(source.var.index)
    missing = len(fit.var) - int((rows >= 0).sum())
    check_genes(source, fit, rows, missing)
    options = _options(fit)
    watch = Stopwatch(progress)
    with sound():
        plan = plan_mapping(source, fit, batches)
    warn_of_small(batches, plan)
    source = without_common_factors(source, batches, progress=watch, driver=driver)
    with sound():
        mapped = map_cells(
            source,
            batches,
            plan,
            settings=MapSettings(
                caliper=options.caliper,
                min_support=options.min_support,
                max_rounds=min(options.max_rounds, _MOST_ROUNDS),
                tol=options.tol,
            ),
            sketch_size=options.sketch_size,
            seed=int(fit.parameters["seed"]),
            progress=watch,
            driver=driver,
        )
    warn_of_strangers(batches, mapped)
    log_delta, se = _effects(fit, plan, mapped, rows)
    group = _groups(plan, mapped)
    cell, by_batch, by_reference = _overlap(plan, mapped, batches)
    check_answer(log_delta, np.where(np.isposinf(se), 0.0, se), mapped.embedding, cell, by_batch)
    return BatchFit(
        log_delta=log_delta,
        se=se,
        centred_se=_centred(fit, plan, se, rows, group),
        least_log_delta=of_genes(_least(fit), rows),
        measured=measured_by_batch(source, batches),
        sample=mapped.sample,
        overlap=cell,
        embedding=mapped.embedding,
        batches=batches.levels,
        batch=batches.codes,
        too_small=tuple(
            level
            for level, fitted, k in zip(batches.levels, plan.fitted, plan.known, strict=True)
            if (not fitted if k < 0 else level in fit.too_small)
        ),
        batch_sizes=batches.sizes,
        support=by_batch,
        mu=of_genes(fit.mu, rows),
        basis=of_genes(fit.basis, rows),
        trace={"change": _changes(mapped)},
        stop_reason=_stop_reason(mapped),
        method=fit.method,
        parameters=fit.parameters,
        batch_key=batches.key,
        layer=layer,
        versions=library_versions(),
        timings=watch.seconds,
        peak_bytes=peak_bytes(),
        obs=source.obs,
        var=source.var,
        match_within=fit.match_within,
        control_genes=fit.control_genes,
        evidence=_evidence(plan, mapped) | {"reference_support": by_reference, "group": group.astype(np.float64)},
        mapped_onto=MappedOnto(
            batches=fit.batches,
            known=tuple(level for level in batches.levels if level in fit.batches),
            n_cells=len(fit.obs),
            expressed_in=fit.expressed_in,
            missing_genes=missing,
            unknown_genes=int((rows < 0).sum()),
            reference=fit.reference or "",
        ),
    )


def _options(fit: BatchFit) -> MatchedOptions:
    options = options_for(fit.method, own_options(fit.parameters))
    if not isinstance(options, MatchedOptions):
        raise InputError(f"this model holds states, but says it is of method {fit.method!r}: {DAMAGED}")
    return options


def _label(source: CountSource, fit: BatchFit, batch_key: str | Sequence[str] | None) -> Batches:
    if batch_key:
        found = label_cells(source, batch_key)
        return replace(found, levels=known_names(found.levels, fit.batches))
    codes, names = find_batches(source, fit)
    there, compact = np.unique(codes, return_inverse=True)
    key = fit.batch_key if set(fit.batch_key) <= set(source.obs) else ()  # else files were taken for batches
    return Batches(compact.astype(np.int32), tuple(names[code] for code in there), 1, key)


def _effects(fit: BatchFit, plan: MapPlan, mapped: MappedCells, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """Effects and their errors in the convention of the fit, (n_genes, n_batches) each."""
    shape = plan.measured.shape
    log_delta, se = np.zeros(shape), np.full(shape, np.inf)
    theirs = np.isfinite(plan.reference.rates.se)
    for b, k in enumerate(plan.known.tolist()):
        if k >= 0:
            there = rows >= 0
            log_delta[there, b], se[there, b] = fit.log_delta[rows[there], k], fit.se[rows[there], k]
        elif b in mapped.found and mapped.found[b].identifiable:
            found = mapped.found[b].effects
            known = np.isfinite(found.se)
            weights = plan.reference.expression * known
            usual = [
                weighted_median(plan.reference.rates.log_delta[:, m], weights * theirs[:, m])
                for m in np.flatnonzero(theirs.any(axis=0) & (plan.landmarks.group == mapped.found[b].group))
            ]
            moved = found.log_delta - weighted_median(found.log_delta, weights) + np.mean(usual or [0.0])
            log_delta[:, b] = np.where(known, moved, 0.0)
            se[:, [b]] = errors_with_level(log_delta[:, [b]], found.se[:, None], weights)
    return log_delta, se


def _least(fit: BatchFit) -> FloatArray:
    """Smallest effect of a batch of the fit on each gene, (n_genes,); 0 where none is known."""
    known = fit.estimated
    return np.where(known.any(axis=1), np.where(known, fit.log_delta, np.inf).min(axis=1), 0.0)


def _groups(plan: MapPlan, mapped: MappedCells) -> IntArray:
    """Group of batches of the fit that each batch can be compared with, (n_batches,); -1 for none."""
    theirs = plan.landmarks.group
    found = {b: batch.group for b, batch in mapped.found.items() if batch.identifiable}
    return np.array([theirs[k] if k >= 0 else found.get(b, -1) for b, k in enumerate(plan.known.tolist())])


def _centred(fit: BatchFit, plan: MapPlan, se: FloatArray, rows: IntArray, group: IntArray) -> FloatArray:
    """Give the errors from which those of differences between mapped batches follow, (n_genes, n_batches).

    Batches of the fit differ by what they differ by there: their errors are of centred effects and go together. Those
    of a new batch are its own.
    """
    centred = fit.se if fit.centred_se is None else np.where(fit.estimated, fit.centred_se, np.inf)
    theirs = np.maximum(quasi_variances(centred, group=plan.landmarks.group), _LEAST_SPLIT * centred**2)
    variance, there = np.where(np.isfinite(se), se, 0.0) ** 2, rows >= 0
    for b, k in enumerate(plan.known.tolist()):
        if k >= 0:
            variance[there, b] = theirs[rows[there], k]
    known = np.isfinite(variance) & np.isfinite(se)
    return centred_errors(np.where(known, variance, 0.0), known, group=group)


def _overlap(plan: MapPlan, mapped: MappedCells, batches: Batches) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Share of the fit's batches that have cells like a cell, and shares by batch among the new ones and of the fit."""
    theirs = plan.landmarks.support
    used = np.asarray(plan.landmarks.cells.any(axis=0))
    n_states, n_batches = mapped.compared.shape
    share = np.zeros((n_states, n_batches))
    for b, k in enumerate(plan.known.tolist()):
        others = used & (np.arange(len(used)) != k)
        share[:, b] = theirs[:, others].sum(axis=1) / max(int(others.sum()), 1)
    share *= mapped.compared
    here = mapped.sample >= 0
    cell = np.where(here, share[mapped.sample, batches.codes], 0.0)
    counterparts = (mapped.members * mapped.compared).T.astype(np.float64)
    sizes = np.maximum(batches.sizes, 1)[:, None]
    by_batch = counterparts @ mapped.compared.astype(np.float64) / sizes
    np.fill_diagonal(by_batch, 0.0)
    return cell, by_batch, counterparts @ theirs.astype(np.float64) / sizes


def _evidence(plan: MapPlan, mapped: MappedCells) -> dict[str, FloatArray]:
    n_states, n_batches = mapped.compared.shape
    prior_sd, information = np.zeros(n_batches), np.zeros(n_batches)
    residual, dispersion = np.zeros((n_states, n_batches)), np.zeros(plan.measured.shape)
    for b, found in mapped.found.items():
        prior_sd[b], information[b] = found.effects.prior_sd, found.information
        residual[:, b], dispersion[:, b] = found.effects.state_residual, found.effects.dispersion
    return {
        "state_support": mapped.compared.astype(np.float64),
        "state_cells": mapped.members.astype(np.float64),
        "state_residual": residual,
        "dispersion": dispersion,
        "prior_sd": prior_sd,
        "information": information,
    }


def _changes(mapped: MappedCells) -> FloatArray:
    """Largest change of any new batch in each round."""
    longest = max((len(found.rounds) for found in mapped.found.values()), default=0)
    changes = np.zeros(longest)
    for found in mapped.found.values():
        changes[: len(found.rounds)] = np.maximum(changes[: len(found.rounds)], found.rounds)
    return changes


def _stop_reason(mapped: MappedCells) -> str:
    reasons = {found.stop_reason for found in mapped.found.values()}
    for reason in ("max_rounds", "converged", "nothing shared"):
        if reason in reasons:
            return reason
    return "no new batch"
