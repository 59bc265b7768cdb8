"""Programmes of fitted data: two passes over the counts, and what is between them."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd

from unbatch._check import LARGEST_SEED, InputError, check_whole
from unbatch._progress import Progress, Silent
from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray
from unbatch.adjusting import gene_places
from unbatch.core.activity import TOLERANCE
from unbatch.core.factors import Programmes, factorise
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches
from unbatch.io.common_factors import without_common_factors
from unbatch.io.door import DoorCheck
from unbatch.io.reduce import Driver, Together, reduce_blocks
from unbatch.io.source import CountSource
from unbatch.labels import cell_batches
from unbatch.programmes.activities import Activities
from unbatch.programmes.choice import compare, held_out_deviance
from unbatch.programmes.pseudobulks import PseudobulkSums, group_cells, measured_counts
from unbatch.programmes.result import HELD_OUT, FactorFit
from unbatch.unknown_batches import of_unknown, warn_of_unknown

_LIBRARIES = ("unbatch", "numpy", "scipy", "numba", "anndata", "scikit-learn")
_CELLS_EACH = 5
_UNKNOWN = "programmes are found without these cells, and their shares are those of counts as they are"
_MOST_HELD_OUT, _HELD_OUT_SHARE = 2000, 0.2


@dataclass(frozen=True, kw_only=True)
class FactorOptions:
    """What a factorisation may be asked for.

    Raises
    ------
    InputError
        If a value is outside its range.
    """

    n_pseudobulks: int = 1000
    """Groups of cells whose summed counts are factorised, but no more than one for every five cells. More of them are
    closer to single cells, so that programmes are told apart by cells that have little but one; time and memory grow in
    proportion (8 bytes x groups x genes)."""
    adjusted: bool = True
    """Whether the batch effects of the fit are taken into account. Without, cells of different batches are never
    pooled, and all effects are taken for 1: what the same factorisation finds in the counts as they are."""
    seed: int = 0
    """Start of all random numbers."""

    def __post_init__(self) -> None:
        check_whole("n_pseudobulks", self.n_pseudobulks, least=2, usual=1000)
        check_whole("seed", self.seed, least=0, most=LARGEST_SEED)


def fit_factors(
    source: CountSource,
    fit: BatchFit,
    *,
    n_factors: int | Sequence[int],
    options: FactorOptions | None = None,
    driver: Driver | None = None,
    progress: Progress | None = None,
) -> FactorFit:
    """Find programmes in pseudobulks of adjusted counts, then measure them in every cell.

    Parameters
    ----------
    source
        The counts that were fitted; all cells, in the same order. Genes may be missing.
    fit
        The batch effects, and where the cells are.
    n_factors
        Number of programmes; of several numbers, the one that held-out counts speak for.
    options
        Everything else.
    driver
        Who walks over the blocks; None is this process. All give the same bits.
    progress
        Told of the stages "summing pseudobulks", "finding programmes" and "measuring programmes".

    Returns
    -------
    FactorFit

    Raises
    ------
    InputError
        If the fit has no coordinates of cells, or other cells, batches or genes than the source; if no effect of any
        batch is known, unless they are taken for none; if a number of factors is below 1, or more than there are
        pseudobulks; or if values are not counts.

    Warns
    -----
    InputWarning
        If effects are taken into account, but of the batches of some cells none is known.
    """
    options, progress = options or FactorOptions(), progress or Silent()
    wanted = check_numbers(n_factors)
    embedding = _coordinates(source, fit)
    batch = cell_batches(source, fit)
    rows = gene_places(source, fit)
    delta = _effects(fit, rows, adjusted=options.adjusted)
    source = without_common_factors(source, Batches(batch, fit.batches), progress=progress, driver=driver)
    took_part = _took_part(fit, batch, adjusted=options.adjusted)
    if options.adjusted:
        warn_of_unknown(fit, batch, so=_UNKNOWN)
    level = np.where(took_part, 0 if options.adjusted else batch, -1).astype(np.int32)
    n_groups = max(1, min(options.n_pseudobulks, int(took_part.sum()) // _CELLS_EACH))
    if max(wanted) > n_groups:
        raise InputError(
            f"{max(wanted)} factors were asked for, but {int(took_part.sum())} cells make {n_groups} pseudobulks: ask "
            "for fewer factors, or raise n_pseudobulks if there are cells enough (five for each)"
        )
    group = group_cells(embedding, level, n_groups=n_groups, seed=options.seed)
    held = _held_out_cells(took_part, options.seed) if len(wanted) > 1 else np.zeros(0, dtype=np.int64)
    judged = np.zeros(len(group), dtype=np.bool_)
    judged[held] = True
    n_used = int(group.max()) + 1
    training = np.where(judged, -1, group).astype(np.int32)
    left = len(np.unique(training[training >= 0]))
    if max(wanted) > left and not held.size:
        raise InputError(
            f"{max(wanted)} factors were asked for, but the places of the cells tell only {left} pseudobulks apart: "
            "ask for fewer"
        )
    if max(wanted) > left:
        raise InputError(
            f"{max(wanted)} factors were asked for, but {left} of {n_used} pseudobulks have cells beside those held "
            "out to compare numbers of factors: ask for fewer, or for one number only, which holds none out"
        )
    sums = PseudobulkSums(training, batch, delta=delta, n_groups=n_used)
    with progress.stage("summing pseudobulks", total=source.n_cells) as advance:
        reduce_blocks(source, Together(DoorCheck(source), sums), progress=advance, driver=driver)
    with progress.stage("finding programmes"):
        table = _no_table()
        if len(wanted) > 1:
            counts = measured_counts(source.rows(held), delta > 0, batch[held])
            deviances = []
            for number in wanted:
                trial = factorise(sums.result(), delta, n_factors=number, seed=options.seed)
                deviances.append(
                    held_out_deviance(trial.beta, counts, delta=delta, batch=batch[held], seed=options.seed)
                )
            table = compare(wanted, deviances)
            sums.add_cells(counts, group=group[held], batch=batch[held])
        chosen = int(table["n_factors"][table["chosen"]].iloc[0]) if len(table) else wanted[0]
        found = factorise(sums.result(), delta, n_factors=chosen, seed=options.seed)
    activities = Activities(found.beta, delta=delta, batch=batch)
    with progress.stage("measuring programmes", total=source.n_cells) as advance:
        reduce_blocks(source, activities, progress=advance, driver=driver)
    return _assemble(found, activities, table=table, n_pseudobulks=n_used, options=options)


def check_numbers(n_factors: int | Sequence[int]) -> tuple[int, ...]:
    """Give the numbers of factors to try, in rising order.

    Raises
    ------
    InputError
        If there is none, or one is no whole number or below 1.
    """
    given = list(n_factors) if isinstance(n_factors, Sequence | np.ndarray) else [n_factors]
    wrong = [n for n in given if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1]
    if wrong or not given:
        raise InputError(f"n_factors={n_factors!r}: a whole number of at least 1, or several of them, is needed")
    return tuple(sorted({int(number) for number in given}))


def _coordinates(source: CountSource, fit: BatchFit) -> Float32Array:
    if fit.embedding is None:
        raise InputError(
            "the fit is one of effects only, without coordinates of cells to group them by: fit again without "
            "effects_only (--effects-only)"
        )
    n_fitted = int(fit.batch_sizes.sum())
    if source.n_cells != n_fitted or not source.obs.index.equals(fit.obs.index):
        raise InputError(
            f"the {source.n_cells} cells of {source.description} are not the {n_fitted} of the fit in their order: "
            "give the input that was fitted"
        )
    return fit.embedding


def _took_part(fit: BatchFit, batch: CodeArray, *, adjusted: bool) -> BoolArray:
    """Tell which cells programmes are found in: counts of batches without known effects would pass as programmes."""
    if fit.sample is None or not (fit.sample >= 0).any():
        raise InputError("no cell took part in the fit: there is nothing to find programmes in")
    took_part = (fit.sample >= 0) & ~of_unknown(fit, batch) if adjusted else fit.sample >= 0
    if not took_part.any():
        raise InputError(
            "no effect of any batch is known, so that programmes would be those of batches: adjusted=False "
            "(--unadjusted) finds these"
        )
    return np.asarray(took_part)


def _held_out_cells(took_part: BoolArray, seed: int) -> IntArray:
    cells = np.flatnonzero(took_part)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    n_held = max(1, min(_MOST_HELD_OUT, int(_HELD_OUT_SHARE * cells.size)))
    return np.asarray(np.sort(rng.choice(cells, n_held, replace=False)), dtype=np.int64)


def _no_table() -> pd.DataFrame:
    return compare([0], [np.zeros(2)]).iloc[:0][list(HELD_OUT)]


def _assemble(
    found: Programmes, activities: Activities, *, table: pd.DataFrame, n_pseudobulks: int, options: FactorOptions
) -> FactorFit:
    shares, unconverged = activities.finish()
    return FactorFit(
        proportions=shares,
        beta=found.beta,
        counts=found.counts,
        deviance=found.deviance,
        stop_reason=found.stop_reason,
        unconverged=unconverged,
        held_out=table,
        n_pseudobulks=n_pseudobulks,
        parameters={**asdict(options), "tolerance": TOLERANCE},
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    )


def _effects(fit: BatchFit, rows: IntArray, *, adjusted: bool) -> FloatArray:
    """Multiplicative effects, (n_genes, n_batches); 0 where the batch does not measure the gene."""
    effects = fit.delta[rows] if adjusted else np.ones((len(rows), len(fit.batches)))
    return np.where(fit.measured[rows], effects, 0.0)
