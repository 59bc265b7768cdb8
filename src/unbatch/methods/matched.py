"""The default method over blocks of cells: a checked pass that keeps a sketch, the fit, and a pass over all cells."""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from unbatch._check import InputError, InputWarning
from unbatch._memory import release
from unbatch._progress import Progress
from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray, IntArray
from unbatch.core.diagnostics import Overlap
from unbatch.core.embedding import Embedding, find_embedding, mean_effect
from unbatch.core.landmarks import Landmarks, state_means
from unbatch.core.log_counts import LogCounts
from unbatch.core.matched import MatchedFit, Settings, fit_matched
from unbatch.core.novelty import learn_landscape
from unbatch.core.state_effects import StateEffects, fit_state_effects
from unbatch.core.state_table import StateTable
from unbatch.io.batches import Batches, measured_by_batch
from unbatch.io.door import DoorCheck, are_counts
from unbatch.io.reduce import Driver, Together, reduce_blocks
from unbatch.io.sketch import KeptRows, Novelty, SketchPlan, least_novelty, pilot_rows, plan_sketch
from unbatch.io.source import CountSource
from unbatch.methods.placing import Placed, Placing, overlap_of_fitted, spread_out
from unbatch.methods.result import MethodResult
from unbatch.methods.survey import MeasuredOnly, active_codes, shared_genes

_MIN_BATCHES = 2
_MOST_NAMES = 5
_CELLS_OF_BATCH = 50
_FEWEST_PILOT_CELLS = 50


@dataclass(frozen=True, kw_only=True)
class MatchedOptions:
    """Options of ``method="matched"``, the default.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    n_dims: int = 20
    """Axes in which cells are compared. More of them tell finer states apart, but add noise to each comparison."""
    n_embedding_dims: int = 25
    """Axes of the embedding. More of them keep finer states apart, and more noise between cells."""
    max_states: int = 40
    """Most states that the cells are grouped in (about one per 40 cells). More of them leave less difference in
    composition inside a state, but compare fewer cells each; time and memory grow in proportion."""
    caliper: float = 6.0
    """How far the cells of a batch may lie from those of other batches in the same state to be compared with them, in
    within-batch standard deviations. A larger caliper compares more cells, at more risk of taking a difference between
    cell types for a batch effect."""
    min_support: float = 10.0
    """Effective number of cells in shared states by which two batches must be tied to be compared (a tenth of the
    smaller batch is always enough). A larger number leaves more batches without an estimate rather than with an
    uncertain one."""
    sketch_size: int = 50_000
    """Most cells that are held in memory to find states and first effects; of a larger input, four fifths are sampled
    evenly over batches and the rest are cells unlike all that is common. Effects are then fitted to all cells, or for
    effects only to these. A larger sketch finds smaller states, gives effects alone smaller errors, in proportion to
    its root, and takes memory and time in proportion."""
    max_rounds: int = 15
    """Most rounds of grouping cells and fitting effects. More let slow data settle."""
    tol: float = 0.01
    """Rounds end once log effects of well-measured genes move by less (root mean square). A larger value stops
    earlier."""

    def __post_init__(self) -> None:
        least = {"n_dims": 1, "n_embedding_dims": 1, "max_states": 1, "sketch_size": 100, "max_rounds": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise InputError(f"{name} is {getattr(self, name)}: it must be {bound} or more")
        for name in ("caliper", "min_support", "tol"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}: it must be above 0")


def fit(
    source: CountSource,
    batches: Batches,
    options: MatchedOptions,
    *,
    seed: int,
    progress: Progress,
    within: CodeArray | None = None,
    control_genes: BoolArray | None = None,
    effects_only: bool = False,
    state_specific: bool = False,
    driver: Driver | None = None,
) -> MethodResult:
    r"""Estimate batch effects from cells of the same state in different batches.

    .. math:: Y_{gj} \sim \mathrm{quasiPoisson}(l_j \mu_{g s(j)} c_{g s(j) k(j)} \delta_{g k(j)}, \phi_g), \qquad
              \log \delta_{gk} \sim \mathcal N(0, \tau_k^2)

    States s are found in rounds, in coordinates from which the present effects are divided out; tau, phi and whether
    graded states call for a correction c are learned from the data. See the method page of the documentation.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes). Read twice, or once for effects only.
    batches
        Batch of each cell. Cells of batches that are too small take no part.
    options
        See `MatchedOptions`.
    seed
        Start of all random numbers.
    progress
        Told of each stage.
    within
        Level of each cell, (n_cells,): only cells of one level are compared.
    control_genes
        Genes known to carry technical variation only, (n_genes,): it is taken out before cells are compared.
    effects_only
        Whether to read the counts once only: cells get no coordinates and no state, overlap is that of the sketch,
        and if not all cells fit in the sketch, effects are fitted to those in it and less sharp.
    state_specific
        Whether to find, from the sums over all cells, by how much effects differ from state to state.
    driver
        Who reads the counts; None is this process.

    Returns
    -------
    MethodResult
        With evidence "state_support", "state_cells" and "state_residual" (states x batches that take part: whether
        compared, cells, and mean squared Pearson residual of the genes), "gene_residual" (the same by gene),
        "dispersion" (genes), "prior_sd", "information", "spread", "ratio" and "group" (batches that take part),
        "composition_factors" and "composition_strength".

    Raises
    ------
    InputError
        If values are not counts, no gene is measured in all batches, or fewer than two batches have cells with counts.

    Warns
    -----
    InputWarning
        For batches that share no state with the others: their effects are not identifiable and stay 1. For batches
        that fall into groups without a common state: effects are relative to the mean of each group.
    """
    shared = shared_genes(source, batches)
    codes = active_codes(batches)
    plan = plan_sketch(codes, options.sketch_size, seed=seed)
    _check_sketch(codes, plan.even, options)
    door = DoorCheck(source)
    with progress.stage("reading counts", total=source.n_cells) as advance:
        novelty, floor = _novelty(source, batches, plan, codes=codes, genes=shared, seed=seed)
        kept = KeptRows(plan, codes, novelty=novelty, floor=floor)
        first = Together(door, MeasuredOnly(kept, source, batches))
        reduce_blocks(source, first, progress=advance, driver=driver)
    report = door.finish()
    codes = np.where(report.counts_per_cell > 0, codes, np.int32(-1)).astype(np.int32)
    level = np.zeros_like(codes) if within is None else within
    release()
    cells, counts = kept.finish()
    if (codes[cells] < 0).any():
        counts, cells = counts[np.flatnonzero(codes[cells] >= 0)], cells[codes[cells] >= 0]
    used, inverse = np.unique(codes[cells].astype(np.int64), return_inverse=True)
    compact: CodeArray = np.asarray(inverse, dtype=np.int32)
    if len(used) < _MIN_BATCHES:
        raise InputError(f"only {len(used)} batch of {source.description} has cells with counts: two are needed")
    measured = measured_by_batch(source, batches)[:, used]
    with progress.stage("fitting effects"):
        fitted = fit_matched(
            counts,
            compact,
            measured=measured,
            level=level[cells],
            control_genes=control_genes,
            settings=Settings(
                n_dims=options.n_dims,
                max_states=options.max_states,
                caliper=options.caliper,
                min_support=options.min_support,
                max_rounds=options.max_rounds,
                tol=options.tol,
            ),
            seed=seed,
        )
    embedding: Embedding | None = None
    divided_out, embedding_logs = _divided_out(fitted), np.zeros_like(fitted.shape.mean_logs)
    if not effects_only:
        with progress.stage("finding an embedding"):
            embedding, embedding_logs = _embedding(
                fitted,
                counts,
                compact,
                level=level[cells],
                sizes=np.bincount(codes[codes >= 0], minlength=len(batches.levels))[used],
                measured=measured,
                control_genes=control_genes,
                n_dims=options.n_embedding_dims,
                seed=seed,
            )
    del counts  # the largest thing here
    release()
    _warn_of_unidentifiable(fitted, [batches.levels[code] for code in used])
    placed: Placed | None = None
    if embedding is not None:
        sketched = bool(plan.novel.any())
        placing = Placing(
            fitted,
            embedding,
            codes=codes,
            used=used,
            genes=shared,
            level=within,
            with_sums=sketched or state_specific,
        )
        with progress.stage("placing cells", total=source.n_cells) as advance:
            reduce_blocks(source, MeasuredOnly(placing, source, batches), progress=advance, driver=driver)
        placed = placing.finish()
        if placed.table is not None and sketched:
            with progress.stage("fitting effects"):
                fitted = replace(
                    fitted,
                    effects=fitted.refit.effects(placed.table),
                    cells=placed.table.cells,
                    sizes=placed.table.exposure,
                )
    states: StateEffects | None = None
    if state_specific and placed is not None and placed.table is not None:
        with progress.stage("fitting effects of states"):
            states = effects_of_states(fitted, placed.table)
    overlap = placed.overlap if placed else overlap_of_fitted(fitted, compact)
    found = _result(
        fitted,
        placed,
        overlap=spread_out(overlap, used=used, n_batches=len(batches.levels)),
        used=used,
        totals=report.counts_per_gene,
        divided_out=divided_out,
        embedding_logs=embedding_logs,
        embedding=None if embedding is None else embedding.among_batches(used, len(batches.levels)),
    )
    if states is None:
        return found
    return replace(found, state_effects=states.among_batches(used, len(batches.levels)))


def _divided_out(fitted: MatchedFit) -> FloatArray:
    """Log effects by which cells are placed, (n_genes, n_batches): none of batches that cannot be compared."""
    return np.asarray(fitted.effects.log_delta * fitted.tied.identifiable)


def _embedding(
    fitted: MatchedFit,
    counts: Counts,
    batch: CodeArray,
    *,
    level: CodeArray,
    sizes: IntArray,
    measured: BoolArray,
    control_genes: BoolArray | None,
    n_dims: int,
    seed: int,
) -> tuple[Embedding, Float32Array]:
    """Find an embedding by the cells that were fitted, and the mean logs of states that it takes.

    The `sizes` are those of the batches among all cells.
    """
    genes, identifiable = np.asarray(measured.all(axis=1)), fitted.tied.identifiable
    log_delta = _divided_out(fitted)
    centre = mean_effect(log_delta, sizes=sizes, known=measured & identifiable)
    logs = LogCounts.of(counts, log_delta - centre[:, None], batch=batch, genes=genes)
    logs = replace(logs, scale=fitted.scale)
    embedding = find_embedding(
        logs,
        centre=centre,
        level=level,
        group=np.where(identifiable, fitted.tied.group, -1),
        genes=genes,
        n_dims=n_dims,
        seed=seed,
        control_genes=control_genes,
    )
    return embedding, state_means(logs, fitted.states, basis=embedding.basis)


def effects_of_states(fitted: MatchedFit, table: StateTable) -> StateEffects:
    """Find by how much effects differ from state to state, given what was expected of the composition of states."""
    how, effects = fitted.refit.how, fitted.effects
    composition = how.composition(table, effects)
    return fit_state_effects(
        table,
        log_delta=effects.log_delta,
        dispersion=effects.dispersion,
        support=fitted.support,
        composition=composition,
    )


def _novelty(
    source: CountSource, batches: Batches, plan: SketchPlan, *, codes: CodeArray, genes: BoolArray, seed: int
) -> tuple[Novelty | None, FloatArray | None]:
    """Look at a few thousand cells, to tell what is common; None if no novel cells are wanted, or nothing is seen."""
    if not plan.novel.any():
        return None, None
    rows = pilot_rows(codes, seed=seed)
    counts = source.rows(rows)
    if not are_counts(counts):
        return None, None  # the pass that follows says what is wrong
    seen = np.flatnonzero(counts[:, np.flatnonzero(genes)].sum(axis=1) > 0)
    if len(seen) < _FEWEST_PILOT_CELLS:
        return None, None
    counts, batch = counts[seen], codes[rows[seen]]
    novelty = learn_landscape(counts, batch, genes=genes, n_batches=len(batches.levels), seed=seed).novelty
    return novelty, least_novelty(novelty(counts, batch), batch, plan, batches=codes)


def _check_sketch(codes: CodeArray, chosen: BoolArray, options: MatchedOptions) -> None:
    n_batches, n_kept = len(np.unique(codes[codes >= 0])), len(np.unique(codes[chosen]))
    if n_kept < n_batches:
        raise InputError(
            f"sketch_size is {options.sketch_size}: some of the {n_batches} batches would have no cell in it, give "
            f"{n_batches * _CELLS_OF_BATCH:,} or more"
        )


def _warn_of_unidentifiable(fitted: MatchedFit, names: list[str]) -> None:
    alone = [name for name, known in zip(names, fitted.tied.identifiable, strict=True) if not known]
    if alone:
        listed = ", ".join(repr(name) for name in alone[:_MOST_NAMES]) + (", ..." if len(alone) > _MOST_NAMES else "")
        warnings.warn(
            f"{len(alone)} of {len(names)} batches share no cell state with the others, so that their effects are not "
            f"identifiable and stay 1 (none): {listed}. If they should share some, raise caliper or max_states",
            InputWarning,
            stacklevel=2,
        )
    if fitted.tied.group.max(initial=-1) > 0:
        groups = [
            ", ".join(repr(str(name)) for name in np.array(names)[fitted.tied.group == number][:_MOST_NAMES])
            for number in range(int(fitted.tied.group.max()) + 1)
        ]
        warnings.warn(
            f"the batches fall into {len(groups)} groups that share no cell state: {'; '.join(groups)}. Effects are "
            "relative to the mean of each group, and batches of different groups cannot be compared",
            InputWarning,
            stacklevel=2,
        )


def _result(
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
    effects, n_batches = fitted.effects, len(overlap.support)
    n_genes = len(effects.log_delta)
    log_delta, se = np.zeros((n_genes, n_batches)), np.full((n_genes, n_batches), np.inf)
    informative = np.zeros((n_genes, n_batches), dtype=bool)
    log_delta[:, used], se[:, used] = effects.log_delta, effects.se
    informative[:, used] = (totals > 0)[:, None] & fitted.tied.identifiable
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
            "information": fitted.tied.information,
            "spread": fitted.tied.spread,
            "ratio": fitted.tied.ratio,
            "group": fitted.tied.group.astype(np.float64),
            "composition_factors": np.array([float(fitted.composition.n_factors)]),
            "composition_strength": np.array([fitted.composition.strength]),
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
    )
