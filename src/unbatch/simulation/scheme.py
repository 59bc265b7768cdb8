"""The truth of a simulation: programmes, effects and compositions, and the latent state of each cell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unbatch._check import InputError, check_whole
from unbatch._types import CodeArray, FloatArray
from unbatch.simulation.options import SimulationOptions

CHUNK = 1024
"""Cells that share one random generator. Part of the definition of the data: changing it changes every bit."""

_SCHEME, _CELLS, _PILOT = range(3)
_PILOT_CELLS = 4096


@dataclass(frozen=True)
class Scheme:
    """What is the same for all cells.

    beta: (n_genes, n_programmes), the types' profiles first, then the continuous factors.
    log_delta: (n_genes, n_batches), natural logarithm.
    proportions: (n_batches,); composition: (n_batches, n_types); dominance: (n_batches, n_factors); rows sum to 1.
    """

    options: SimulationOptions
    seed: int
    beta: FloatArray
    log_delta: FloatArray
    proportions: FloatArray
    composition: FloatArray
    dominance: FloatArray

    @property
    def n_chunks(self) -> int:
        """Number of chunks that hold all cells."""
        return -(-self.options.n_cells // CHUNK)


@dataclass(frozen=True)
class States:
    """Latent states of some cells: batch and group codes (n,), size_factor (n,), theta (n, n_programmes).

    The group is the type, or the dominant factor where there are no types.
    """

    batch: CodeArray
    group: CodeArray
    size_factor: FloatArray
    theta: FloatArray


def _generator(seed: int, stream: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def _per_batch(values: Sequence[float] | None, n_batches: int) -> FloatArray:
    return np.ones(n_batches) if values is None else np.array(values, dtype=np.float64)


def draw_scheme(options: SimulationOptions, seed: int) -> Scheme:
    """Draw programmes, effects and compositions.

    `log_delta` is normal, standardised over the genes of each batch (mean 0, sample sd `log_delta_sd`), as in the
    note. Without types, `beta_gt` is exponential with mean 1. With types, a gene has a log-normal abundance, and each
    profile multiplies that of its marker genes by log-normal folds.

    Raises
    ------
    InputError
        If the private types leave a batch without any type, the seed is not a whole number, or spreads are so wide that
        the numbers overflow.
    """
    check_whole("seed", seed, least=0)
    with np.errstate(over="ignore", invalid="ignore"):
        scheme = _scaled_to_depth(_draw_scheme(options, int(seed)))
        rates = [np.exp(scheme.log_delta) * scheme.beta.max(axis=1, keepdims=True, initial=0), scheme.proportions]
    if not all(np.isfinite(values).all() and values.any(axis=0).all() for values in rates):
        raise InputError(
            "the expected counts are beyond what numbers can hold: lower log_delta_sd, marker_log_fold_sd, "
            "abundance_sd or median_depth (spreads are of natural logs, 1 to 3 is usual), or batch_proportions"
        )
    return scheme


def _draw_scheme(options: SimulationOptions, seed: int) -> Scheme:
    rng = _generator(seed, (_SCHEME,))
    n_genes, n_batches = options.n_genes, options.n_batches
    log_delta = rng.standard_normal((n_genes, n_batches))
    log_delta = (log_delta - log_delta.mean(axis=0)) * (options.log_delta_sd / log_delta.std(axis=0, ddof=1))
    proportions = _per_batch(options.batch_proportions, n_batches)
    return Scheme(
        options=options,
        seed=seed,
        beta=_draw_beta(options, rng),
        log_delta=log_delta,
        proportions=proportions / proportions.sum(),
        composition=_draw_composition(options, rng),
        dominance=_dominance(options),
    )


def _draw_beta(options: SimulationOptions, rng: np.random.Generator) -> FloatArray:
    n_genes, n_programmes = options.n_genes, options.n_types + options.n_factors
    if options.n_types == 0:
        return rng.standard_exponential((n_genes, n_programmes))
    abundance = np.exp(options.abundance_sd * rng.standard_normal(n_genes))
    is_marker = rng.random((n_genes, n_programmes)) < options.marker_share
    log_fold = options.marker_log_fold_sd * rng.standard_normal((n_genes, n_programmes))
    beta = abundance[:, None] * np.exp(np.where(is_marker, log_fold, 0.0))
    profiles: FloatArray = beta * (n_genes / beta.sum(axis=0))
    return profiles


def _draw_composition(options: SimulationOptions, rng: np.random.Generator) -> FloatArray:
    shape = (options.n_batches, options.n_types)
    if options.n_types == 0:
        return np.zeros(shape)
    if options.composition is None:
        shares = np.ones(shape)
    elif np.ndim(options.composition) == 0:
        shares = rng.dirichlet(np.full(options.n_types, float(np.asarray(options.composition))), size=options.n_batches)
    else:
        shares = np.array(options.composition, dtype=np.float64)
    for cell_type, batch in (options.private_types or {}).items():
        shares[np.arange(options.n_batches) != batch, cell_type] = 0.0
    totals = shares.sum(axis=1)
    if (totals <= 0).any():
        raise InputError(
            f"batch {int(np.argmin(totals))} is left without any cell type: "
            "give it a share of a type that is not private to another batch"
        )
    composition: FloatArray = shares / totals[:, None]
    return composition


def _dominance(options: SimulationOptions) -> FloatArray:
    """Share of each factor among the dominant ones, per batch: even, then drawn to the batch's own factors."""
    n_batches, n_factors = options.n_batches, options.n_factors
    if n_factors == 0:
        return np.zeros((n_batches, 0))
    factors, batches = np.arange(n_factors), np.arange(n_batches)
    n_own = min(n_batches, n_factors)
    own = factors % n_own == batches[:, None] % n_own
    c = options.confounding
    dominance: FloatArray = (1 - c) / n_factors + c * own / own.sum(axis=1, keepdims=True)
    return dominance


def _scaled_to_depth(scheme: Scheme) -> Scheme:
    """Scale beta so that the median over cells of the expected total count is `median_depth`."""
    depth = scheme.options.median_depth
    if depth is None:
        return scheme
    states = _draw(scheme, _generator(scheme.seed, (_PILOT,)), _PILOT_CELLS)
    totals = scheme.beta.T @ np.exp(scheme.log_delta)
    expected = states.size_factor * np.einsum("jt,tj->j", states.theta, totals[:, states.batch])
    return replace(scheme, beta=scheme.beta * (depth / float(np.median(expected))))


def draw_states(scheme: Scheme, chunk: int) -> tuple[States, np.random.Generator]:
    """States of the cells of one chunk, and its generator, ready to draw their counts.

    Only the seed and the chunk's index decide the result, so cells can be made in any order and portion.
    """
    rng = _generator(scheme.seed, (_CELLS, chunk))
    n_cells = min(CHUNK, scheme.options.n_cells - chunk * CHUNK)
    return _draw(scheme, rng, n_cells), rng


def _draw(scheme: Scheme, rng: np.random.Generator, n_cells: int) -> States:
    options = scheme.options
    batch = _categorical(np.broadcast_to(scheme.proportions, (n_cells, options.n_batches)), rng.random(n_cells))
    depth = _per_batch(options.batch_depth, options.n_batches)
    with np.errstate(over="ignore"):  # the counts that come of it are looked at before they are drawn
        size_factor = depth[batch] * np.exp(options.size_factor_sd * rng.standard_normal(n_cells))
    activity = rng.standard_exponential((n_cells, options.n_factors))
    group = np.zeros(n_cells, dtype=np.int32)
    if options.n_factors:
        group = _categorical(scheme.dominance[batch], rng.random(n_cells))
        rows, largest = np.arange(n_cells), activity.argmax(axis=1)
        activity[rows, largest], activity[rows, group] = activity[rows, group], activity[rows, largest]
    if options.n_types == 0:
        return States(batch, group, size_factor, activity)
    cell_type = _categorical(scheme.composition[batch], rng.random(n_cells))
    identity = np.zeros((n_cells, options.n_types))
    identity[np.arange(n_cells), cell_type] = 1 - options.variation
    share = options.variation / max(options.n_factors, 1)
    return States(batch, cell_type, size_factor, np.hstack([identity, share * activity]))


def _categorical(probabilities: FloatArray, uniform: FloatArray) -> CodeArray:
    """One draw per row of `probabilities` (n, n_levels) by inversion; levels of probability 0 never occur."""
    edges = np.cumsum(probabilities, axis=1)
    edges /= edges[:, -1:]
    codes: CodeArray = (uniform[:, None] >= edges).sum(axis=1).astype(np.int32)
    return codes
