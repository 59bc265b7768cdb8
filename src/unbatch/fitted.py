"""What a fit leaves behind: the effects, and the evidence by which to judge them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:  # each of them loads the compiler, which the command line does without until it computes
    from unbatch.core.diagnostics.record import Diagnostics
    from unbatch.core.embedding import Embedding
    from unbatch.core.landmarks import Landmarks
    from unbatch.core.state_effects import StateEffects

CONVENTION = (
    "natural log; for each gene the mean over the batches with an estimate is 0; "
    "the expression-weighted median over genes is the same for every batch, with two batches 0"
)
"""How the free factors of delta (one per gene, one per batch) are fixed in every output.

With the gene means at 0, a factor per batch has n_batches - 1 degrees of freedom left: enough to make n_batches medians
equal, not to make each of them 0. With two batches the medians are opposites, so equal is 0.
"""

_MAPPED = (
    "natural log, relative to the {} of the model that the cells were mapped onto; for each new batch the "
    "expression-weighted median over genes is that of the batches of the model"
)

_WITH_REFERENCE = "natural log, relative to batch {!r}; for each batch the expression-weighted median over genes is 0"


_GROUP = "group"

_MEAN, _MEAN_OF_GROUPS = "mean over batches", "mean over the batches of each group"

_OF_GROUPS = "within each group of batches that can be compared: "


def mean_of(group: IntArray | None) -> str:
    """Say which mean effects are relative to, by the group of each batch, (n_batches,); -1 for one of no group."""
    several = group is not None and np.unique(group[group >= 0]).size > 1
    return _MEAN_OF_GROUPS if several else _MEAN


@dataclass(frozen=True, kw_only=True)
class MappedOnto:
    """The model that cells were mapped onto."""

    batches: tuple[str, ...]
    """Batches of the model."""
    known: tuple[str, ...]
    """Those of the mapped batches that the model knew: their effects are those of the model."""
    n_cells: int
    """Number of cells that the model was fitted to."""
    expressed_in: str
    """What the effects are relative to."""
    missing_genes: int
    """Number of genes of the model that the mapped cells lack."""
    unknown_genes: int
    """Number of genes of the mapped cells that the model lacks."""
    reference: str = ""
    """Batch of the model that effects are relative to; empty for the mean over its batches."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BatchFit:
    """Gene-by-batch effects with their uncertainty, the cells' embedding, and how the fit went.

    Genes, cells and batches are in the order of `var`, `obs` and `batches`.
    """

    log_delta: FloatArray
    """Natural log of the multiplicative effect, (n_genes, n_batches); 0 = no effect. See `convention`."""
    se: FloatArray
    """Standard error of `log_delta`, (n_genes, n_batches); inf where the data say nothing (there `log_delta` is 0), and
    0 in the reference, if there is one."""
    measured: BoolArray
    """Whether the batch measured the gene at all, (n_genes, n_batches)."""
    sample: IntArray | None
    """Pseudobulk sample of each cell, (n_cells,); -1 for cells that took no part in the fit. This and the next two are
    None after a fit of effects only."""
    overlap: FloatArray | None
    """Share of the other batches that have cells like this one, (n_cells,), between 0 and 1."""
    embedding: Float32Array | None
    """Batch-free coordinates of the cells, (n_cells, n_dims)."""
    batches: tuple[str, ...]
    """Names of the batches."""
    too_small: tuple[str, ...]
    """Batches with too few cells to take part: their effect is 1, their standard error inf."""
    batch_sizes: IntArray
    """Cells per batch, (n_batches,)."""
    support: FloatArray
    """Mean overlap of the cells of batch a (row) with batch b (column), (n_batches, n_batches); after a fit of effects
    only, of the cells that were kept for the fit."""
    mu: FloatArray
    """Batch-free expression rate, (n_genes, n_samples); nan-free, 0 where nothing was counted."""
    basis: FloatArray
    """Gene basis of the coordinates in which cells are compared, (n_genes, n_dims)."""
    trace: Mapping[str, FloatArray]
    """What the iterations did: one array per quantity, one value per iteration."""
    stop_reason: str
    """Why the iterations ended."""
    method: str
    """Name of the estimator."""
    parameters: Mapping[str, float | str]
    """Every option that the result depends on, the seed included."""
    batch_key: tuple[str, ...]
    """Columns of `obs` that name the batches; empty if each input file was a batch or labels were passed in."""
    layer: str | None
    """Where the counts were: None for X, ``"raw"`` for raw.X, or the name of a layer."""
    versions: Mapping[str, str]
    """Versions of the software that computed this."""
    timings: Mapping[str, float]
    """Seconds per stage."""
    obs: pd.DataFrame
    """Annotation of the cells, (n_cells, ...)."""
    var: pd.DataFrame
    """Annotation of the genes, (n_genes, ...)."""
    batch: CodeArray | None = None
    """Batch of each cell, (n_cells,), as a place in `batches`; None if it was fitted before this was kept."""
    reference: str | None = None
    """Batch to which `log_delta` is relative; None for the mean over batches."""
    centred_se: FloatArray | None = None
    """Standard error of log delta less its mean over batches, (n_genes, n_batches), from which that of any difference
    follows; None without a reference, where it is `se`."""
    least_log_delta: FloatArray | None = None
    """Smallest log delta of any batch of the model on each gene, (n_genes,), to which mapped counts are thinned, as its
    own are; None in what was fitted."""
    match_within: tuple[str, ...] = ()
    """Columns of `obs` inside whose levels cells were matched; empty if anywhere."""
    control_genes: tuple[str, ...] = ()
    """Genes that were taken to carry only technical variation."""

    embedder: "Embedding | None" = None
    """What puts cells into the embedding; None after a fit of effects only, or if the method only projects."""

    landmarks: "Landmarks | None" = None
    """What new cells are mapped by; None if the method keeps no states, or in what was itself mapped."""

    mapped_onto: MappedOnto | None = None
    """The model that the cells were mapped onto; None if they were fitted."""

    state_effects: "StateEffects | None" = None
    """By how much effects differ from state to state; None if the fit was not asked for it."""
    peak_bytes: float = float("nan")
    """Most memory that the process held up to the end of the fit; nan where the system does not tell."""

    evidence: Mapping[str, FloatArray] = field(default_factory=dict)
    """What the estimate rests on, one array per quantity, as the method tells; empty if it keeps none."""

    diagnostics: "Diagnostics | None" = None
    """Whether the fit can be trusted, judged by some of its cells; None in what was mapped or fitted before there were
    diagnostics."""

    lost_genes: int = 0
    """Number of genes of the fit that have been taken away since."""

    command: str = ""
    """Command line that made this, quoted for a shell; empty if it was made from Python."""

    @property
    def group(self) -> IntArray | None:
        """Group of each batch, (n_batches,): those of different groups cannot be compared; None if not known."""
        if self.landmarks is not None:
            return self.landmarks.group
        known = self.mapped_onto is not None and _GROUP in self.evidence
        return self.evidence[_GROUP].astype(np.int64) if known else None

    @property
    def relative_to(self) -> str:
        """Batch that effects are relative to, of the model for mapped cells; empty for the mean over batches."""
        return (self.reference or "") if self.mapped_onto is None else self.mapped_onto.reference

    @property
    def delta(self) -> FloatArray:
        """Multiplicative effect exp(log_delta), (n_genes, n_batches); 1 = no effect."""
        return np.exp(self.log_delta)

    @property
    def convention(self) -> str:
        """How the free factors of delta are fixed: see `CONVENTION`, of several groups by group, or the reference."""
        if self.mapped_onto is not None:
            return _MAPPED.format(self.mapped_onto.expressed_in)
        if self.reference is not None:
            return _WITH_REFERENCE.format(self.reference)
        return CONVENTION if mean_of(self.group) == _MEAN else _OF_GROUPS + CONVENTION

    @property
    def expressed_in(self) -> str:
        """The batch in which adjusted counts are expressed: the one where log delta is 0 for every gene."""
        if self.mapped_onto is not None:
            return f"{self.mapped_onto.expressed_in} of the model"
        return mean_of(self.group) if self.reference is None else f"batch {self.reference!r}"

    @property
    def estimated(self) -> BoolArray:
        """Whether the data say anything about the effect, (n_genes, n_batches)."""
        return np.isfinite(self.se)
