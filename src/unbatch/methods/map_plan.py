"""What new cells and a finished fit have in common: genes, batches, conditions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from unbatch._check import InputError, warn
from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.composition import CompositionChoice
from unbatch.core.depth import at_depth
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.placement import View
from unbatch.core.rates import Rates
from unbatch.core.reference import Reference
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches, label_cells, measured_by_batch
from unbatch.io.source import CountSource
from unbatch.labels import known_names

_TINY = 1e-300


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A fit in the order of its own genes, of which some cells see a part.

    Attributes
    ----------
    basis
        Its axes, (n_genes, n_dims).
    rate
        (n_genes, n_states) its rates, on the footing of its output.
    genes
        Genes that make up the size factor, (n_genes,).
    landmarks, embedding
        Its states, and what puts its cells into the embedding.
    rows
        Gene of the fit for each gene of the new cells, -1 for one that it lacks.
    """

    basis: FloatArray
    rate: FloatArray
    genes: BoolArray
    landmarks: Landmarks
    embedding: Embedding
    rows: IntArray

    def view(self, measured: BoolArray, seen: Landmarks | None = None) -> View:
        """Look through the genes of the new cells that were measured, at states as `seen`; as they are by default."""
        there = np.zeros(len(self.genes), dtype=bool)
        there[self.rows[measured]] = True
        with one_thread():
            view = View.of(
                self.basis,
                self.rate,
                measured=there,
                genes=self.genes,
                landmarks=self.landmarks,
                embedding=self.embedding,
                seen=seen,
            )
        whole, of_whole = (self.basis, self.embedding.basis), self._bases
        frames = (
            replace(frame, basis=known if frame.basis is basis else of_genes(frame.basis, self.rows))
            for frame, basis, known in zip((view.states, view.embedding), whole, of_whole, strict=True)
        )
        return View(*frames)

    @cached_property
    def _bases(self) -> tuple[FloatArray, FloatArray]:
        """Axes with all genes of the fit, shared by the views that have these."""
        return of_genes(self.basis, self.rows), of_genes(self.embedding.basis, self.rows)

    def at_depth(self, sizes: FloatArray) -> Landmarks:
        """Look at the states as cells of these sizes see them; genes are those of the fit."""
        with one_thread():
            return at_depth(
                self.landmarks,
                self.rate * np.exp(-self.landmarks.gene_shift)[:, None],
                genes=self.genes,
                bases=(self.basis, self.embedding.basis),
                centre=self.embedding.centre,
                sizes=sizes,
            )

    def of_source(self, landmarks: Landmarks) -> Landmarks:
        """Put the genes of states in the order of the new cells, as far as `Reference` looks at them."""
        return replace(
            landmarks,
            log_delta=of_genes(landmarks.log_delta, self.rows),
            mean_logs=of_genes(landmarks.mean_logs.astype(np.float64), self.rows).astype(np.float32),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class MapPlan:
    """What is to be mapped onto what; genes are those of the source.

    Attributes
    ----------
    whole
        The fit in the order of its own genes.
    reference
        The fit.
    views
        What cells see of it: by the genes that they measured, and by their depth.
    view_of
        (n_batches,) which of these each batch has.
    measured
        (n_genes, n_batches) genes that each batch measured and the fit knows.
    known
        (n_batches,) column of each batch in the fit; -1 for a new batch.
    fitted
        (n_batches,) whether a new batch is to be fitted: it has cells enough.
    level
        (n_cells,) condition of each cell, -1 for one that the fit did not see.
    """

    whole: Fitted
    reference: Reference
    views: Sequence[View]
    view_of: IntArray
    measured: BoolArray
    known: IntArray
    fitted: BoolArray
    level: CodeArray

    @property
    def landmarks(self) -> Landmarks:
        """The states of the fit."""
        return self.reference.landmarks

    def as_seen_by(self, b: int, counts: Counts) -> tuple["MapPlan", Reference]:
        """Look at the fit from the depth of a new batch, some of whose counts are given, where it is shallower.

        The plan then has a view for it, and the reference states as it sees them.
        """
        reference, share = self.reference, self.views[self.view_of[b]].states.share
        usual = float(np.average(share, weights=self.landmarks.cells.sum(axis=1) + _TINY))
        sizes = np.asarray(counts @ reference.genes.astype(np.float64)) / usual
        sizes = sizes[sizes > 0]
        if not sizes.size or np.median(sizes) >= 2 * self.landmarks.scale:
            return self, reference
        seen = self.whole.at_depth(sizes)
        view_of = self.view_of.copy()
        view_of[b] = len(self.views)
        plan = replace(self, views=[*self.views, self.whole.view(self.measured[:, b], seen)], view_of=view_of)
        return plan, replace(reference, landmarks=self.whole.of_source(seen))


def plan_mapping(source: CountSource, fit: BatchFit, batches: Batches) -> MapPlan:
    """See what of a fit the batches of a source measured, and which of them it knows.

    Parameters
    ----------
    source
        Counts of new cells.
    fit
        The fit, which keeps its states.
    batches
        Batch of each cell.

    Raises
    ------
    InputError
        If the columns of conditions of the fit are missing, or have no label for a cell.

    Warns
    -----
    InputWarning
        Of conditions that the fit did not see.
    """
    landmarks, embedder = fit.landmarks, fit.embedder
    if landmarks is None or embedder is None:
        raise ValueError("a fit without states cannot be mapped onto")
    if fit.reference is not None:  # nothing is known relative to it of batches that cannot be compared with it
        landmarks = landmarks.of_group(int(landmarks.group[fit.batches.index(fit.reference)]))
    rows = fit.var.index.get_indexer(source.var.index)
    se = fit.se if fit.centred_se is None else np.where(fit.estimated, fit.centred_se, np.inf)
    rates = Rates(
        rate=fit.mu / landmarks.scale,
        exposure=landmarks.exposure * landmarks.scale,
        dispersion=landmarks.dispersion,
        log_delta=np.where(np.isfinite(se), fit.log_delta, 0.0),
        se=se,
        sizes=landmarks.sizes,
        relative_to=-1 if fit.reference is None else fit.batches.index(fit.reference),
    )
    usable = np.array([name not in fit.too_small for name in fit.batches])
    genes = np.asarray(fit.measured[:, usable].all(axis=1))
    measured = measured_by_batch(source, batches) & (rows >= 0)[:, None]
    known = pd.Index(fit.batches).get_indexer(pd.Index(batches.levels))
    patterns, view_of = np.unique(measured, axis=1, return_inverse=True)
    whole = Fitted(basis=fit.basis, rate=rates.rate, genes=genes, landmarks=landmarks, embedding=embedder, rows=rows)
    reference = Reference(
        landmarks=whole.of_source(landmarks),
        rates=rates.of_genes(rows),
        gene_shift=of_genes(landmarks.gene_shift, rows),
        expression=of_genes(landmarks.expression, rows),
        genes=of_genes(genes.astype(np.float64), rows) > 0,
        embedding=replace(embedder, basis=of_genes(embedder.basis, rows), centre=of_genes(embedder.centre, rows)),
        choice=CompositionChoice(
            n_factors=int(fit.evidence["composition_factors"][0]),
            strength=float(fit.evidence["composition_strength"][0]),
            gain=0.0,
        ),
    )
    return MapPlan(
        whole=whole,
        reference=reference,
        views=[whole.view(pattern) for pattern in patterns.T],
        view_of=view_of.ravel(),
        measured=measured,
        known=np.asarray(known, dtype=np.int64),
        fitted=(known < 0) & batches.usable,
        level=_levels(source, fit, landmarks),
    )


def _levels(source: CountSource, fit: BatchFit, landmarks: Landmarks) -> CodeArray:
    """Condition of each cell among those of the fit, -1 for others, (n_cells,).

    Raises
    ------
    InputError
        If a column is missing, or a cell has no label.
    """
    if not fit.match_within:
        return np.zeros(source.n_cells, dtype=np.int32)
    missing = [key for key in fit.match_within if key not in source.obs]
    if missing:
        raise InputError(
            f"{source.description} has no obs column {missing[0]!r}, inside whose levels the fit compared cells "
            f"(match_within): add it, with levels such as {landmarks.level_names[0]!r}"
        )
    within = label_cells(source, fit.match_within)
    names = known_names(within.levels, landmarks.level_names)
    place = pd.Index(landmarks.level_names).get_indexer(pd.Index(names))
    strange = [level for level, at in zip(within.levels, place, strict=True) if at < 0]
    if strange:
        warn(
            f"{len(strange)} conditions of {source.description} were not part of the fit (the first is "
            f"{strange[0]!r}): their cells are compared with none"
        )
    return np.asarray(place[within.codes], dtype=np.int32)


def of_genes(values: FloatArray, rows: IntArray) -> FloatArray:
    """Take the rows of genes; those of genes that the fit lacks are 0."""
    there = (rows >= 0).reshape(-1, *[1] * (values.ndim - 1))
    return np.where(there, values[rows], 0.0)
