"""Judge a fit whose counts are at hand: one without diagnostics, or one to be probed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from unbatch._check import InputError
from unbatch._progress import Progress, Silent
from unbatch._types import CodeArray
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.core.fingerprints import find_copies, marks_of
from unbatch.diagnosing.fit import diagnose_fit
from unbatch.diagnosing.probes import Refits, probe_table, probe_verdict
from unbatch.diagnosing.verdicts import as_table
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches, label_cells
from unbatch.io.common_factors import without_common_factors
from unbatch.io.door import are_counts
from unbatch.io.source import CountSource
from unbatch.labels import cell_batches, known_names
from unbatch.methods.checked import CheckedCells, checked_rows


def diagnose_source(
    source: CountSource, fit: BatchFit, *, probes: bool = False, progress: Progress | None = None
) -> Diagnostics:
    """Judge a fit by some of its cells, which are read from where they were fitted.

    Parameters
    ----------
    source
        The counts that were fitted: the same cells and genes in the same order. At most 5,000 cells are read.
    fit
        The fit.
    probes
        Whether to fit these cells again, with a batch split in two and with a group of states taken out of a batch.
        That takes about eight times as long as a fit of 5,000 cells.
    progress
        Told of each stage.

    Returns
    -------
    Diagnostics
        Those that a fit makes of itself; with the table "probes" if asked for.

    Raises
    ------
    InputError
        If cells were mapped and not fitted, cells or genes are not those of the fit, or values are not counts.
    """
    told = progress or Silent()
    known = _identify(source, fit)
    source = without_common_factors(source, Batches(known.batch, fit.batches), progress=told)
    with told.stage("reading cells"):
        checked = _read(source, fit, known)
    with told.stage("judging the fit"):
        found = diagnose_fit(fit, checked, batch=known.batch, level=known.level)
    if not probes:
        return found
    table = probe_table(Refits.of(fit, checked, batch=known.batch, level=known.level), told)
    verdicts = pd.concat([found.verdicts, as_table([probe_verdict(table)])], ignore_index=True)
    return Diagnostics({**found.tables, "verdicts": verdicts, "probes": table}, found.arrays)


@dataclass(frozen=True, eq=False)
class _Known:
    """Batch and level of each cell, (n_cells,); levels are None without a condition."""

    batch: CodeArray
    level: CodeArray | None


def _identify(source: CountSource, fit: BatchFit) -> _Known:
    if fit.mapped_onto is not None:
        raise InputError("these cells were mapped onto a fit, and not fitted: diagnose that fit instead")
    n_fitted = int(fit.batch_sizes.sum())
    if source.n_cells != n_fitted or not source.obs.index.astype(str).equals(fit.obs.index.astype(str)):
        raise InputError(
            f"{source.description} has {source.n_cells:,} cells, not the {n_fitted:,} of the fit in their order: "
            "give the input that was fitted"
        )
    if not source.var.index.astype(str).equals(fit.var.index.astype(str)):
        raise InputError(
            f"{source.description} has {source.n_genes:,} genes, not the {len(fit.var):,} of the fit in their order: "
            "give the input that was fitted"
        )
    batch = cell_batches(source, fit)
    if not fit.match_within:
        return _Known(batch, None)
    levels = label_cells(source, fit.match_within)
    names = levels.levels if fit.landmarks is None else fit.landmarks.level_names
    place = {name: code for code, name in enumerate(names)}
    given = known_names(levels.levels, names)
    strangers = sorted(set(given) - set(place))
    if strangers:
        raise InputError(f"condition {strangers[0]!r} of {source.description} was not part of the fit: fit again")
    order = np.array([place[name] for name in given], dtype=np.int32)
    return _Known(batch, order[levels.codes])


def _read(source: CountSource, fit: BatchFit, known: _Known) -> CheckedCells:
    too_small = np.isin(np.array(fit.batches, dtype=object), list(fit.too_small))
    rows = checked_rows(np.where(too_small[known.batch], np.int32(-1), known.batch), seed=int(fit.parameters["seed"]))
    counts = source.rows(rows)
    if not are_counts(counts):
        raise InputError(f"values of {source.description} are not counts: give the layer that was fitted (layer=...)")
    took_part = np.asarray(counts.sum(axis=1)).ravel() > 0
    if fit.sample is not None:
        took_part &= fit.sample[rows] >= 0
    codes = known.batch[rows]
    compared = counts[:, np.flatnonzero(fit.measured[:, np.unique(codes)].all(axis=1))]
    copies = find_copies(marks_of(compared), codes, *(() if known.level is None else (known.level[rows],)))
    took_part[copies.cells] = took_part[copies.without_a_batch(codes)] = False
    kept = np.flatnonzero(took_part)
    return CheckedCells(rows[kept], counts[kept])
