"""Judge a fit by a bounded sample of its cells: the tables of `core.diagnostics`, with names."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from unbatch._types import CodeArray, Counts, Float32Array, FloatArray, IntArray
from unbatch.core.diagnostics.axes import principal_coordinates
from unbatch.core.diagnostics.balance import (
    Pairs,
    measured_by_pair,
    pair_batches,
    spread_of,
    standardised_differences,
)
from unbatch.core.diagnostics.explained import Explained, explained_by_batch, permuted_batches
from unbatch.core.diagnostics.families import FAMILIES, family_of, family_shift
from unbatch.core.diagnostics.matches import Matches, expected_same, find_matches
from unbatch.core.diagnostics.record import Diagnostics
from unbatch.core.diagnostics.remainder import measure_remainder
from unbatch.core.diagnostics.sample import Sample, as_rows
from unbatch.core.diagnostics.strongest import strongest_genes
from unbatch.core.projection import LogAxes
from unbatch.fitted import BatchFit
from unbatch.judging import judge
from unbatch.methods.checked import CheckedCells
from unbatch.methods.placing import nearest_state

_NEED_GENES = 2000
_GENE_PERMUTATIONS, _DIM_PERMUTATIONS = 20, 100
_N_DIMS = 25
_BALANCE_GENES = 40
_IMBALANCED = 0.1
_MOST_DEPARTURES = 200


def diagnose_fit(
    fit: BatchFit, checked: CheckedCells, *, batch: CodeArray, level: CodeArray | None = None
) -> Diagnostics:
    """Judge a fit by some of its cells.

    Parameters
    ----------
    fit
        The fit.
    checked
        Some of its cells, with their raw counts.
    batch
        (n_cells,) batch of each cell of the fit, also those that were not chosen.
    level
        (n_cells,) condition of each cell, if cells were compared inside conditions only.

    Returns
    -------
    Diagnostics
        The same for the same cells, whatever the number of threads.
    """
    whole = _Judged.of(fit, checked, batch=batch, level=level)
    tables = {"cells": pd.DataFrame({"row": checked.rows, "batch": whole.sample.batch.astype(np.int64)})}
    arrays: dict[str, np.ndarray] = {}
    raw, clean = whole.sample.logs(corrected=False), whole.sample.logs(corrected=True)
    before = principal_coordinates(raw, genes=np.flatnonzero(whole.sample.genes), n_dims=whole.n_dims)
    tables |= _need(whole, raw, clean, before)
    tables |= _overlap_of_states(whole, arrays)
    if whole.after is not None:
        matches = find_matches(whole.after, whole.sample.batch, n_batches=whole.sample.n_batches)
        tables |= _overlap_of_pairs(whole, matches, arrays)
        tables |= _mixing(whole, before, matches)
        arrays |= {"before": before, "after": whole.after}
    tables |= _balance(whole, raw, clean)
    remainder, sd = _remainder(whole)
    tables |= remainder | _effects(fit)
    return Diagnostics({"verdicts": judge(fit, tables, remainder_sd=sd)} | tables, arrays)


@dataclass(frozen=True, eq=False)
class _Judged:
    """A fit, and the cells it is judged by."""

    fit: BatchFit
    sample: Sample
    after: Float32Array | None
    """Coordinates of these cells in the embedding of the fit."""
    along: FloatArray | None
    """Coordinates on the same axes without any correction."""
    state: CodeArray
    """State of these cells, also where it is compared with nothing; -1 without one."""
    cells: FloatArray
    """(n_states, n_batches) number of cells of the whole fit."""
    support: np.ndarray
    """(n_states, n_batches) whether the batch is compared with others in the state."""

    @property
    def seed(self) -> int:
        return int(self.fit.parameters["seed"])

    @property
    def n_dims(self) -> int:
        return _N_DIMS if self.after is None else self.after.shape[1]

    @property
    def names(self) -> np.ndarray:
        return np.array(self.fit.batches, dtype=object)

    @property
    def genes(self) -> np.ndarray:
        return np.array([str(gene) for gene in self.fit.var.index], dtype=object)

    @classmethod
    def of(cls, fit: BatchFit, checked: CheckedCells, *, batch: CodeArray, level: CodeArray | None) -> "_Judged":
        own = np.asarray(batch[checked.rows], dtype=np.int32)
        counts = _measured_only(checked.counts, fit.measured, own)
        shared = np.asarray(fit.measured[:, np.unique(own)].all(axis=1))
        if fit.sample is not None:
            state = np.asarray(fit.sample[checked.rows], dtype=np.int32)
            every, of = fit.sample, batch
        else:
            state = _placed(fit, counts, own, genes=shared, level=None if level is None else level[checked.rows])
            every, of = state.astype(np.int64), own
        n_states, n_batches = max(fit.mu.shape[1], int(every.max(initial=-1)) + 1), len(fit.batches)
        inside = every >= 0
        counted = np.bincount(every[inside] * n_batches + of[inside], minlength=n_states * n_batches)
        cells = np.asarray(counted.reshape(n_states, n_batches), dtype=np.float64)
        here = cells > 0 if fit.landmarks is None else (cells > 0) & fit.landmarks.support
        support = here & (here.sum(axis=1, keepdims=True) > 1)
        compared = (state >= 0) & support[np.maximum(state, 0), own]
        sample = Sample(
            counts=counts,
            batch=own,
            state=np.where(compared, state, np.int32(-1)),
            log_delta=fit.log_delta,
            measured=fit.measured,
            n_states=n_states,
        )
        after = None if fit.embedding is None else fit.embedding[checked.rows]
        along = None if after is None else _uncorrected(fit, counts, own, genes=shared)
        return cls(fit, sample, after, along, state, cells, support)


def _measured_only(counts: Counts, measured: np.ndarray, batch: CodeArray) -> Counts:
    """Drop counts of genes that the batch as a whole did not measure; indices are sorted."""
    counts = counts if counts.has_sorted_indices else counts.sorted_indices()
    cell = np.repeat(batch, np.diff(counts.indptr))
    kept = measured[counts.indices, cell]
    if kept.all():
        return counts
    counts = sparse.csr_array((np.where(kept, counts.data, 0), counts.indices, counts.indptr), shape=counts.shape)
    counts.eliminate_zeros()
    return counts


def _placed(
    fit: BatchFit, counts: Counts, batch: CodeArray, *, genes: np.ndarray, level: CodeArray | None
) -> CodeArray:
    """Find the states of cells that the fit has not placed."""
    if fit.landmarks is None:
        return np.full(len(batch), -1, dtype=np.int32)
    axes = LogAxes.of(fit.basis, log_delta=fit.landmarks.log_delta, genes=genes)
    where = axes.project(counts, batch, scale=fit.landmarks.scale)
    own = np.zeros(len(batch), dtype=np.int32) if level is None else level.astype(np.int32)
    return nearest_state(where, own, fit.landmarks.centres, fit.landmarks.level)


def _uncorrected(fit: BatchFit, counts: Counts, batch: CodeArray, *, genes: np.ndarray) -> FloatArray:
    """Coordinates on the axes of the embedding with nothing divided out."""
    if fit.embedder is None or fit.landmarks is None:
        return np.asarray(counts @ fit.basis, dtype=np.float64)
    axes = LogAxes.of(fit.embedder.basis, log_delta=np.zeros_like(fit.log_delta), genes=genes)
    return axes.project(counts, batch, scale=fit.landmarks.scale)


def _need(whole: _Judged, raw: Counts, clean: Counts, before: Float32Array) -> dict[str, pd.DataFrame]:
    sample = whole.sample
    loud, shared = sample.loud(_NEED_GENES), np.flatnonzero(sample.genes)

    mixed = permuted_batches(sample.batch, sample.state, n_permutations=_DIM_PERMUTATIONS, seed=whole.seed)

    def measure(values: Counts, genes: IntArray, together: IntArray, n_permutations: int) -> Explained:
        return explained_by_batch(
            values,
            batch=sample.batch,
            state=sample.state,
            shape=(sample.n_states, sample.n_batches),
            genes=genes,
            permutations=mixed[:n_permutations],
            together=together,
        )

    genes_before, genes_after = (measure(values, shared, loud, _GENE_PERMUTATIONS) for values in (raw, clean))
    spaces = [("genes", genes_before, _GENE_PERMUTATIONS), ("genes after", genes_after, _GENE_PERMUTATIONS)]
    for space, points in (("embedding before", before), ("embedding after", whole.after)):
        if points is not None:
            dims = np.arange(points.shape[1])
            found = measure(as_rows(points.astype(np.float64)), dims, dims, _DIM_PERMUTATIONS)
            spaces.append((space, found, _DIM_PERMUTATIONS))
    need = pd.DataFrame(
        {
            "space": [space for space, _, _ in spaces],
            "explained": [found.total for _, found, _ in spaces],
            "null": [found.total_null for _, found, _ in spaces],
            "null_upper": [found.total_upper for _, found, _ in spaces],
            "n_permutations": [number for _, _, number in spaces],
            "compared": [found.compared for _, found, _ in spaces],
        }
    )
    by_gene = pd.DataFrame(
        {
            "gene": whole.genes[shared],
            "explained_before": genes_before.share,
            "explained_after": genes_after.share,
            "null_upper": genes_before.null_upper,
        }
    )
    return {"need": need, "need_genes": by_gene}


def _overlap_of_states(whole: _Judged, arrays: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    cells, taking = whole.cells, whole.support.sum(axis=1)
    size = cells.sum(axis=1)
    share = cells / np.maximum(size, 1.0)[:, None]
    arrays["state_batch"] = share
    alone = np.where((taking < 2) & (size > 0), whole.names[cells.argmax(axis=1)], "")  # noqa: PLR2004
    table = pd.DataFrame(
        {
            "state": np.arange(len(cells)),
            "n_cells": size.astype(np.int64),
            "n_batches": np.where(size > 0, np.maximum(taking, 1), 0),
            "alone": [str(name) for name in alone],
        }
    )
    return {"overlap_states": table}


def _overlap_of_pairs(whole: _Judged, matches: Matches, arrays: dict[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    sample, present = whole.sample, whole.sample.present
    ratio = matches.ratios(sample.batch)
    others = ratio.copy()
    others[np.arange(sample.n_cells), sample.batch] = np.inf
    others[:, np.setdiff1d(np.arange(sample.n_batches), present)] = np.inf
    own_share = np.where(whole.state >= 0, arrays["state_batch"][np.maximum(whole.state, 0), sample.batch], 1.0)
    arrays["overlap_cells"] = np.column_stack([own_share, others.min(axis=1)])
    rows = [
        (a, b, whole.fit.support[a, b], median)
        for a in present
        for b, median in zip(present, np.median(ratio[sample.batch == a][:, present], axis=0), strict=True)
        if a != b
    ]
    first, second, share, distance = zip(*rows, strict=True)
    table = pd.DataFrame(
        {
            "batch": whole.names[list(first)],
            "other": whole.names[list(second)],
            "share": np.array(share),
            "distance_ratio": np.array(distance),
        }
    )
    return {"overlap_pairs": table}


def _mixing(whole: _Judged, before: Float32Array, matches: Matches) -> dict[str, pd.DataFrame]:
    sample = whole.sample
    same = find_matches(before, sample.batch, n_batches=sample.n_batches).same
    expected = expected_same(sample.batch, sample.state)
    n_cells = np.bincount(sample.batch, minlength=sample.n_batches)[sample.present]

    def mean(of: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(sample.batch, of, sample.n_batches)[sample.present] / n_cells)

    table = pd.DataFrame(
        {
            "batch": whole.names[sample.present],
            "n_cells": n_cells,
            "before": mean(same),
            "after": mean(matches.same),
            "expected": mean(expected),
        }
    )
    return {"mixing": table}


def _balance(whole: _Judged, raw: Counts, clean: Counts) -> dict[str, pd.DataFrame]:
    sample = whole.sample
    pairs = pair_batches(sample.state, sample.batch, shape=(sample.n_states, sample.n_batches))
    shape = (sample.n_states, sample.n_batches)
    spread = spread_of(raw, batch=sample.batch, state=sample.state, shape=shape)
    variance, asked = spread.of(pairs), measured_by_pair(pairs, sample.measured)

    def differences(values: Counts, unit: FloatArray) -> FloatArray:
        return standardised_differences(values, pairs, batch=sample.batch, state=sample.state, variance=unit)

    before, after = (np.where(asked, differences(values, variance), 0.0) for values in (raw, clean))
    own, other = whole.names[pairs.batch], np.where(pairs.other >= 0, whole.names[pairs.other], "")
    asked = asked & (sample.totals > 0)
    summary = pd.DataFrame(
        {
            "batch": own,
            "other": [str(name) for name in other],
            "mean_before": _mean(np.abs(before), asked),
            "mean_after": _mean(np.abs(after), asked),
            "over_01_before": _mean((np.abs(before) > _IMBALANCED).astype(float), asked),
            "over_01_after": _mean((np.abs(after) > _IMBALANCED).astype(float), asked),
            "rms_before": _beyond_chance(before, asked, spread.within / np.maximum(variance, 1e-12), pairs),
            "rms_after": _beyond_chance(after, asked, spread.within / np.maximum(variance, 1e-12), pairs),
        }
    )
    parts = []
    for place in range(len(pairs.batch)):
        size = np.where(asked[place], np.maximum(np.abs(before[place]), np.abs(after[place])), -1.0)
        best = np.argsort(-size, kind="stable")[:_BALANCE_GENES]
        best = best[size[best] >= 0]
        parts.append((place, "gene", whole.genes[best], before[place, best], after[place, best]))
    if whole.after is not None and whole.along is not None:
        along, placed = as_rows(whole.along), as_rows(whole.after.astype(np.float64))
        of_dims = spread_of(along, batch=sample.batch, state=sample.state, shape=shape).of(pairs)
        names = np.array([f"dim {number + 1}" for number in range(along.shape[1])], dtype=object)
        dims = [differences(values, of_dims) for values in (along, placed)]
        parts += [(place, "dim", names, dims[0][place], dims[1][place]) for place in range(len(pairs.batch))]
    sizes = [len(names) for _, _, names, _, _ in parts]
    places = np.repeat([place for place, *_ in parts], sizes).astype(np.int64)
    table = pd.DataFrame(
        {
            "batch": own[places],
            "other": [str(name) for name in other[places]],
            "kind": np.repeat([kind for _, kind, *_ in parts], sizes).astype(object),
            "name": np.concatenate([names for _, _, names, _, _ in parts] or [np.array([], dtype=object)]),
            "before": np.concatenate([values for *_, values, _ in parts] or [np.zeros(0)]),
            "after": np.concatenate([values for *_, values in parts] or [np.zeros(0)]),
            "n_matched": pairs.n_matched[places],
        }
    )
    return {"balance": table, "balance_summary": summary}


def _mean(values: FloatArray, asked: np.ndarray) -> FloatArray:
    return np.asarray((values * asked).sum(axis=1) / np.maximum(asked.sum(axis=1), 1))


def _beyond_chance(smd: FloatArray, asked: np.ndarray, within: FloatArray, pairs: Pairs) -> FloatArray:
    """Root mean square of differences, less what chance alone would leave, (n_pairs,)."""
    chance = np.minimum(within, 1.0) * pairs.chance[:, None]
    return np.sqrt(np.maximum(_mean(smd**2 - chance, asked), 0.0))


def _remainder(whole: _Judged) -> tuple[dict[str, pd.DataFrame], float]:
    found = measure_remainder(whole.sample)
    order = np.argsort(-np.abs(found.z), axis=None, kind="stable")[:_MOST_DEPARTURES]
    order = order[found.z.ravel()[order] != 0]
    gene, state, batch = (np.asarray(at) for at in np.unravel_index(order, found.z.shape))
    states, batches = np.nonzero(found.cells)
    tables = {
        "remainder": pd.DataFrame(
            {
                "gene": whole.genes[found.genes[gene]],
                "state": state,
                "batch": whole.names[batch],
                "log_ratio": found.log_ratio[gene, state, batch],
                "se": found.se[gene, state, batch],
                "z": found.z[gene, state, batch],
            }
        ),
        "remainder_states": pd.DataFrame(
            {
                "state": states,
                "batch": whole.names[batches],
                "n_cells": found.cells[states, batches].astype(np.int64),
                "mean_square": found.mean_square[states, batches],
            }
        ),
    }
    return tables, found.sd


def _effects(fit: BatchFit) -> dict[str, pd.DataFrame]:
    names, genes = np.array(fit.batches, dtype=object), [str(gene) for gene in fit.var.index]
    best = strongest_genes(fit.log_delta, fit.se)
    family = np.array(family_of(genes), dtype=object)
    strongest = pd.DataFrame(
        {
            "batch": names[best.batch],
            "rank": best.rank,
            "gene": np.array(genes, dtype=object)[best.gene],
            "log_delta": best.log_delta,
            "se": best.se,
            "lower": best.lower,
            "upper": best.upper,
            "q": best.q,
            "family": family[best.gene],
        }
    )
    known = np.isfinite(fit.se) & (fit.se > 0)
    rows = [
        (name, one.name, shift.n_genes, shift.median_log_delta, shift.pvalue)
        for k, name in enumerate(names)
        for one in FAMILIES
        if (shift := family_shift(fit.log_delta[:, k], family == one.name, known=known[:, k])).n_genes
    ]
    families = pd.DataFrame(rows, columns=["batch", "family", "n_genes", "median_log_delta", "p"])
    return {"strongest": strongest, "families": families}
