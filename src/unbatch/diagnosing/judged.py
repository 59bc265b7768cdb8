"""A fit, and the cells it is judged by."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray
from unbatch.core.diagnostics.remainder import Remainder, measure_remainder
from unbatch.core.diagnostics.sample import Sample
from unbatch.core.projection import LogAxes
from unbatch.core.shift_rounds import apply_rounds
from unbatch.fitted import BatchFit
from unbatch.methods.checked import CheckedCells
from unbatch.methods.placing import nearest_state

_N_DIMS = 25


@dataclass(frozen=True, eq=False)
class Judged:
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
    support: BoolArray
    """(n_states, n_batches) whether the batch is compared with others in the state."""

    @property
    def seed(self) -> int:
        """Start of random numbers, that of the fit."""
        return int(self.fit.parameters["seed"])

    @property
    def n_dims(self) -> int:
        """Dimensions of coordinates."""
        return _N_DIMS if self.after is None else self.after.shape[1]

    @property
    def names(self) -> NDArray[np.object_]:
        """Names of the batches."""
        return np.array(self.fit.batches, dtype=object)

    @property
    def genes(self) -> NDArray[np.object_]:
        """Names of the genes."""
        return np.array([str(gene) for gene in self.fit.var.index], dtype=object)

    @cached_property
    def remainder(self) -> Remainder:
        """What effects that are the same in all states leave."""
        return measure_remainder(self.sample)

    @classmethod
    def of(cls, fit: BatchFit, checked: CheckedCells, *, batch: CodeArray, level: CodeArray | None) -> "Judged":
        """Put a fit and its cells together: see `diagnose_fit`."""
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


def _measured_only(counts: Counts, measured: BoolArray, batch: CodeArray) -> Counts:
    """Drop counts of genes that the batch as a whole did not measure; indices are sorted."""
    counts = counts if counts.has_sorted_indices else counts.sorted_indices()
    cell = np.repeat(batch, np.diff(counts.indptr))
    kept = measured[counts.indices, cell]
    if kept.all():
        return counts
    counts = sparse.csr_array((np.where(kept, counts.data, 0), counts.indices, counts.indptr), shape=counts.shape)
    counts.eliminate_zeros()
    return counts


def _placed(fit: BatchFit, counts: Counts, batch: CodeArray, *, genes: BoolArray, level: CodeArray | None) -> CodeArray:
    """Find the states of cells that the fit has not placed."""
    if fit.landmarks is None:
        return np.full(len(batch), -1, dtype=np.int32)
    axes = LogAxes.of(fit.basis, log_delta=fit.landmarks.log_delta, genes=genes)
    where = axes.project(counts, batch, scale=fit.landmarks.scale)
    own = np.zeros(len(batch), dtype=np.int32) if level is None else level.astype(np.int32)
    where = apply_rounds(fit.landmarks.shifts, where, batch, own)
    return nearest_state(where, own, fit.landmarks.centres, fit.landmarks.level)


def _uncorrected(fit: BatchFit, counts: Counts, batch: CodeArray, *, genes: BoolArray) -> FloatArray:
    """Coordinates on the axes of the embedding with nothing divided out."""
    if fit.embedder is None or fit.landmarks is None:
        return np.asarray(counts @ fit.basis, dtype=np.float64)
    axes = LogAxes.of(fit.embedder.basis, log_delta=np.zeros_like(fit.log_delta), genes=genes)
    return axes.project(counts, batch, scale=fit.landmarks.scale)
