"""From what a method found to a `BatchFit`: the part that is the same for every method."""

import platform
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import version

import numpy as np

from unbatch._check import warn
from unbatch._memory import peak_bytes
from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.contrasts import centred_errors, difference_errors
from unbatch.core.convention import centre_log_delta, relate_log_delta
from unbatch.core.diagnostics import Overlap, overlap
from unbatch.core.landmarks import Landmarks
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches, measured_by_batch
from unbatch.io.source import CountSource
from unbatch.methods import MethodOptions, MethodResult, find_method
from unbatch.methods.survey import active_codes

_MIN_BATCHES = 2
_LIBRARIES = ("unbatch", "numpy", "scipy", "numba", "anndata")


def assemble(
    found: MethodResult,
    source: CountSource,
    *,
    batches: Batches,
    options: MethodOptions,
    seed: int,
    layer: str | None,
    support: Overlap,
    timings: dict[str, float],
    reference: str | None = None,
    match_within: tuple[str, ...] = (),
    control_genes: tuple[str, ...] = (),
    level_names: tuple[str, ...] = (),
) -> BatchFit:
    """Fix the free factors, mark what is not known, and put the result together with its evidence.

    An effect counts as estimated if the method found information on it, the batch measured the gene and takes part, and
    at least one other batch that it can be compared with is in the same position: a gene seen in one batch alone has
    nothing to be compared with.
    Everything else gets log delta 0 and standard error inf; relative to a reference, so do genes that it does not know.

    Parameters
    ----------
    found
        What the method found.
    source
        Counts that were fitted.
    batches
        Batch of each cell.
    options, seed, layer
        What the user asked for.
    support
        Overlap of the batches.
    timings
        Seconds per stage.
    reference
        Batch to which effects are relative; None for the mean over batches.
    match_within, control_genes
        What the user said of the design.
    level_names
        Names of the conditions inside which cells were matched.

    Returns
    -------
    BatchFit

    Warns
    -----
    InputWarning
        If nothing is known of the reference, and so nothing relative to it.
    """
    measured = measured_by_batch(source, batches)
    informative = found.informative & measured & batches.usable
    group = np.zeros(len(batches.levels), dtype=np.int64) if found.landmarks is None else found.landmarks.group
    estimated = _with_company(informative, group)
    raw = np.where(estimated, found.log_delta, 0.0)
    method = find_method(options)
    se = np.where(estimated, found.se, np.inf) if method.centred_se else centred_errors(found.se**2, estimated)
    centred_se = None
    states = found.state_effects
    if reference is None:
        log_delta = _centred_by_group(raw, found.expression, estimated, group)
    else:
        column = batches.levels.index(reference)
        estimated &= estimated[:, [column]] & (group == group[column])
        if not estimated.any():
            _warn_of_reference(reference)
        states = None if states is None else states.relative_to(column)
        log_delta = relate_log_delta(raw, found.expression, estimated, reference=column)
        grouped = None if found.landmarks is None else group
        se, centred_se = difference_errors(se, versus=column, group=grouped), se
    gene_shift = gene_shifts(found.log_delta - log_delta, informative=informative, estimated=estimated)
    return BatchFit(
        log_delta=log_delta,
        se=se,
        measured=measured,
        sample=found.sample,
        overlap=None if found.embedding is None else support.cell,
        embedding=found.embedding,
        batches=batches.levels,
        batch=batches.codes,
        too_small=batches.too_small,
        batch_sizes=batches.sizes,
        support=support.support,
        mu=found.mu * np.exp(gene_shift)[:, None],
        basis=found.basis,
        trace=found.trace,
        evidence=found.evidence,
        state_effects=states if states is None else states.of_known(np.isfinite(se)),
        stop_reason=found.stop_reason,
        method=method.name,
        parameters={**asdict(options), "min_cells": batches.min_cells, "seed": seed},
        batch_key=batches.key,
        layer=layer,
        versions=library_versions(),
        timings=timings,
        peak_bytes=peak_bytes(),
        obs=source.obs,
        var=source.var,
        reference=reference,
        centred_se=centred_se,
        match_within=match_within,
        control_genes=control_genes,
        embedder=found.embedder,
        landmarks=_shifted(found.landmarks, gene_shift, level_names=level_names),
    )


def _centred_by_group(raw: FloatArray, expression: FloatArray, estimated: BoolArray, group: IntArray) -> FloatArray:
    """Bring effects into the convention within each group: nothing ties the batches of one to those of another."""
    log_delta = np.zeros_like(raw)
    for number in np.unique(group):
        mine = group == number
        log_delta[:, mine] = centre_log_delta(raw[:, mine], expression, estimated[:, mine])
    return log_delta


def _with_company(informative: BoolArray, group: IntArray) -> BoolArray:
    """Entries of genes on which two batches or more of the same group inform, (n_genes, n_batches)."""
    kept = np.zeros_like(informative)
    for number in np.unique(group):
        mine = informative & (group == number)
        kept |= mine & (mine.sum(axis=1, keepdims=True) >= _MIN_BATCHES)
    return kept


_version = cache(version)  # it reads a file


def library_versions() -> dict[str, str]:
    """Versions of the software that computes."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}


def _shifted(landmarks: Landmarks | None, gene_shift: FloatArray, *, level_names: tuple[str, ...]) -> Landmarks | None:
    """Bring what the rates rest on to the footing of the output, as the rates are."""
    if landmarks is None:
        return None
    exposure = landmarks.exposure * np.exp(-gene_shift)[:, None]
    return replace(landmarks, gene_shift=gene_shift, exposure=exposure, level_names=level_names)


def _warn_of_reference(reference: str) -> None:
    warn(
        f"nothing is known of the effects in the reference, batch {reference!r}, and so nothing relative to it: all "
        "effects are 1 with standard error inf. Choose a reference that shares cell states with the others"
    )


def measure_overlap(found: MethodResult, batches: Batches) -> Overlap:
    """Ask, in the batch-free coordinates of a method, which cells have counterparts in which batches.

    Returns
    -------
    Overlap
        With one row and column of ``support`` for every batch, zero for those that are too small to take part.
    """
    if found.overlap is not None:
        return found.overlap
    if found.embedding is None:
        raise ValueError("a method that places no cells must give their overlap")
    shared = overlap(found.embedding.astype(np.float64), active_codes(batches))
    missing = len(batches.levels) - len(shared.support)
    return Overlap(shared.cell, np.pad(shared.support, (0, missing)))


def gene_shifts(shift: FloatArray, *, informative: BoolArray, estimated: BoolArray) -> FloatArray:
    r"""Split ``shift = a_g + b_k`` into its parts and give that of the genes.

    The convention takes a factor from each gene, which belongs to its rate mu, and one from each batch, which belongs
    to the size factors of its cells. The b_k, which sum to 0, are found by least squares over the estimated entries,
    where the split is exact.

    Parameters
    ----------
    shift
        Log delta before the convention less log delta after it, (n_genes, n_batches).
    informative
        Entries of `shift` that say something about the gene, (n_genes, n_batches).
    estimated
        Entries where the convention was applied, (n_genes, n_batches).

    Returns
    -------
    (n_genes,) the a_g, of genes without estimated entries by the informative ones; 0 for genes without either.
    """
    here = estimated.astype(np.float64)
    per_gene = np.maximum(here.sum(axis=1), 1.0)
    centred = here * (shift - ((here * shift).sum(axis=1) / per_gene)[:, None])
    laplacian = np.diag(here.sum(axis=0)) - here.T @ (here / per_gene[:, None])
    batch_shift = np.linalg.lstsq(laplacian, centred.sum(axis=0), rcond=None)[0]
    told = np.where(estimated.any(axis=1, keepdims=True), estimated, informative)
    remainder = np.where(told, shift - batch_shift, 0.0)
    return np.asarray(remainder.sum(axis=1) / np.maximum(told.sum(axis=1), 1))
