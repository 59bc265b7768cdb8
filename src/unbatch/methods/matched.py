"""The default method over blocks of cells: a checked pass that keeps a sketch, the fit, and a pass over all cells."""

from dataclasses import replace

import numpy as np

from unbatch._memory import release
from unbatch._progress import Progress
from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray, IntArray
from unbatch.core.embedding import Embedding, find_embedding, mean_effect
from unbatch.core.exact_margins import ExactMargins
from unbatch.core.exact_sums import ExactCounts, ExactSums
from unbatch.core.landmarks import state_means
from unbatch.core.log_counts import LogCounts
from unbatch.core.matched import MatchedFit, fit_matched
from unbatch.core.rounds import Settings
from unbatch.core.state_effects import StateEffects, fit_state_effects
from unbatch.core.state_table import MOST_DENSE, StateTable
from unbatch.io.batches import Batches, measured_by_batch
from unbatch.io.reduce import Driver, reduce_blocks
from unbatch.io.scaled import smallest_counts, warn_of_scaled
from unbatch.io.source import CountSource
from unbatch.methods.absent import absent_genes, warn_of_absent
from unbatch.methods.matched_options import MatchedOptions
from unbatch.methods.matched_result import matched_result, warn_of_unidentifiable
from unbatch.methods.placing import Placed, Placing, overlap_of_fitted, spread_out
from unbatch.methods.result import MethodResult
from unbatch.methods.sketching import read_sketch
from unbatch.methods.survey import MeasuredOnly, shared_genes

_FEWEST_SAMPLED = 20
"""Batches whose counts are summed by state and batch, however many genes there are."""


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
        "correlation" (of effects, among these), "composition_factors", "composition_strength" and "mixture_states" (0
        if effects are those by the states of cells).

    Raises
    ------
    InputError
        If values are not counts, no gene is measured in all batches, or fewer than two batches have cells with counts.

    Warns
    -----
    InputWarning
        For cells that are there more than once: one of those with the same counts, batch and level is counted. For
        batches whose counts seem to be normalised. For batches that share no state with the others: their
        effects are not identifiable and stay 1. For batches that fall into groups without a common state: effects are
        relative to the mean of each group.
    """
    shared = shared_genes(source, batches)
    sketch, counts = read_sketch(
        source,
        batches,
        sketch_size=options.sketch_size,
        genes=shared,
        seed=seed,
        progress=progress,
        within=within,
        driver=driver,
    )
    counted, used, compact = sketch.counted, sketch.used, sketch.batch
    level = np.zeros(len(sketch.cells), dtype=np.int32) if within is None else within[sketch.cells]
    measured = measured_by_batch(source, batches)[:, used]
    names = [batches.levels[code] for code in used]
    warn_of_absent(absent_genes(counts, compact, measured=measured), genes=source.var.index, batches=names)
    warn_of_scaled(smallest_counts(counts), compact, batches=names)
    with progress.stage("fitting effects"):
        fitted = fit_matched(
            counts,
            compact,
            measured=measured,
            shared=shared,
            level=level,
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
                level=level,
                sizes=np.bincount(counted[counted >= 0], minlength=len(batches.levels))[used],
                measured=measured,
                genes=shared,
                control_genes=control_genes,
                n_dims=options.n_embedding_dims,
                seed=seed,
            )
    del counts  # the largest thing here
    release()
    warn_of_unidentifiable(fitted, names, within=within is not None)
    placed: Placed | None = None
    if embedding is not None:
        wanted = sketch.is_part or state_specific
        placing = Placing(
            fitted,
            embedding,
            codes=sketch.codes,
            counted=counted,
            used=used,
            genes=shared,
            level=within,
            sums=_sums(fitted, counted, used=used, by_state=state_specific) if wanted else None,
        )
        with progress.stage("placing cells", total=source.n_cells) as advance:
            reduce_blocks(source, MeasuredOnly(placing, source, batches), progress=advance, driver=driver)
        placed = placing.finish()
        if placed.table is not None and sketch.is_part:
            with progress.stage("fitting effects"):
                fitted = replace(
                    fitted,
                    effects=fitted.refit.effects(placed.table),
                    cells=placed.table.cells,
                    sizes=placed.table.exposure,
                )
    states: StateEffects | None = None
    if state_specific and placed is not None and isinstance(placed.table, StateTable):
        with progress.stage("fitting effects of states"):
            states = effects_of_states(fitted, placed.table)
    overlap = placed.overlap if placed else overlap_of_fitted(fitted, compact)
    found = matched_result(
        fitted,
        placed,
        overlap=spread_out(overlap, used=used, n_batches=len(batches.levels)),
        used=used,
        totals=sketch.totals,
        divided_out=divided_out,
        embedding_logs=embedding_logs,
        embedding=None if embedding is None else embedding.among_batches(used, len(batches.levels)),
    )
    return replace(
        found,
        checked=sketch.checked,
        state_effects=None if states is None else states.among_batches(used, len(batches.levels)),
    )


def _sums(fitted: MatchedFit, codes: CodeArray, *, used: IntArray, by_state: bool) -> ExactCounts | ExactMargins:
    """Give what adds up counts by state and batch, or where these are too many, by both of some batches only.

    These are the batches with most cells, of each group that can be compared in turn, two at least. A correction for
    graded states, and effects of states, need all.
    """
    n_genes, (n_states, n_batches), how = len(fitted.effects.log_delta), fitted.support.shape, fitted.refit.how
    n_groups = int(how.group.max()) + 1
    n_sampled = max(_FEWEST_SAMPLED, 2 * n_groups, MOST_DENSE // max(n_genes * n_states, 1))
    if by_state:
        return ExactSums(n_genes, (n_states, n_batches))
    if how.choice.strength > 0 or n_sampled >= n_batches:
        return ExactCounts(n_genes, (n_states, n_batches))
    group = np.where(how.group >= 0, how.group, n_groups)
    cells = np.bincount(codes[codes >= 0], minlength=int(used.max()) + 1)[used]
    order = np.lexsort((np.arange(n_batches), -cells, group))
    rank = np.empty(n_batches, dtype=np.int64)
    rank[order] = np.arange(n_batches) - np.searchsorted(group[order], group[order])
    rank[how.group < 0] += n_batches  # nothing is fitted to these
    sampled = np.sort(np.lexsort((group, rank))[:n_sampled])
    return ExactMargins(n_genes, n_states, group=group, sampled=sampled)


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
    genes: BoolArray,
    control_genes: BoolArray | None,
    n_dims: int,
    seed: int,
) -> tuple[Embedding, Float32Array]:
    """Find an embedding by the cells that were fitted, and the mean logs of states that it takes.

    The `sizes` are those of the batches among all cells.
    """
    identifiable = fitted.tied.identifiable
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
        linked=fitted.linked,
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
