"""What a method gives back: everything that is its own; what all methods share is worked out from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from unbatch._types import BoolArray, Float32Array, FloatArray, IntArray
from unbatch.core.diagnostics import Overlap
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.state_effects import StateEffects
from unbatch.methods.checked import CheckedCells


@dataclass(frozen=True, eq=False, kw_only=True)
class MethodResult:
    """Effects as a method finds them, before the convention of the output fixes their free factors."""

    log_delta: FloatArray
    """Natural log of the effect, (n_genes, n_batches); any value where `informative` is False."""
    se: FloatArray
    """Standard error of `log_delta`, (n_genes, n_batches); any value where `informative` is False."""
    informative: BoolArray
    """Where the data say anything about the effect, (n_genes, n_batches)."""
    expression: FloatArray
    """How much of each gene there is, (n_genes,): its weight in the median over genes that fixes a batch's factor."""
    mu: FloatArray
    """Batch-free expression rate, (n_genes, n_samples), on the scale that belongs to `log_delta`."""
    sample: IntArray | None
    """Pseudobulk sample of each cell, (n_cells,), a column of `mu`; -1 for cells that took no part. This and
    `embedding` are None if the method was to find effects only."""
    basis: FloatArray
    """Gene basis of the coordinates in which cells are compared, (n_genes, n_dims)."""
    embedding: Float32Array | None
    """Batch-free coordinates, (n_cells, n_dims)."""
    trace: Mapping[str, FloatArray]
    """One array per quantity followed, one value per iteration."""
    stop_reason: str
    """Why the iterations ended."""
    overlap: Overlap | None = None
    """Which cells have counterparts in which batches, for all batches, if the method finds out itself; without
    `embedding` it is the overlap of the cells that were kept for the fit."""
    evidence: Mapping[str, FloatArray] = field(default_factory=dict)
    """What the estimate rests on, one array per quantity; the method says which."""
    embedder: Embedding | None = None
    """What puts cells into the embedding, for all batches; None without one, or if the method only projects."""
    landmarks: Landmarks | None = None
    """What new cells are placed by, before the convention of the output; None if the method cannot map."""
    state_effects: StateEffects | None = None
    """By how much effects differ from state to state, for all batches, if it was asked for."""
    checked: CheckedCells | None = None
    """Cells by which the fit is judged, with their counts; None if the method keeps none."""
