"""The published method over blocks of cells: two passes over the counts, the rest in memory."""

from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy import sparse

from unbatch._check import check_number, check_whole
from unbatch._progress import Progress
from unbatch._types import BoolArray, CodeArray, FloatArray
from unbatch.core.concept import fit_concept
from unbatch.core.fingerprints import find_copies
from unbatch.core.matching import match_cells
from unbatch.core.projection import batch_design, random_basis, regress_out
from unbatch.core.pseudobulk import MAX_DIMS, Samples, sign_codes
from unbatch.core.statistics import PseudobulkSums, merge, transfer_weights
from unbatch.io.batches import Batches
from unbatch.io.copies import warn_of_copies
from unbatch.io.known import PerCell
from unbatch.io.reduce import Driver, reduce_blocks
from unbatch.io.source import Block, CountSource
from unbatch.methods.checked import CheckedCells, checked_rows
from unbatch.methods.result import MethodResult
from unbatch.methods.survey import MeasuredOnly, active_codes, shared_genes, survey


@dataclass(frozen=True, kw_only=True)
class ConceptOptions:
    """Options of ``method="concept"``, the published algorithm.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    n_dims: int = 5
    """Dimensions of the random projection. Each one more doubles the number of possible pseudobulk samples: finer cell
    states, but fewer cells in each, until the estimates get noisy."""
    n_neighbors: int = 3
    """Matches of a cell in each other batch. More of them average out the noise of single cells, but reach farther,
    into other cell states."""
    max_iter: int = 1000
    """Most updates of the effects of a gene (published: exactly 100). More let slow genes come closer to their fixed
    point, which for this method no longer depends on the matches; time grows with the genes that are left."""
    tol: float = 1e-6
    """A gene is done when no log effect of it changes by this much in one update; looked at every 100 updates. A larger
    value stops earlier and farther from the fixed point; 0 makes exactly `max_iter` updates."""

    def __post_init__(self) -> None:
        check_whole("n_dims", self.n_dims, least=1, most=MAX_DIMS, usual=5)
        check_whole("n_neighbors", self.n_neighbors, least=1, usual=3)
        check_whole("max_iter", self.max_iter, least=1, usual=1000)
        check_number("tol", self.tol, least=0)


def fit(
    source: CountSource,
    batches: Batches,
    options: ConceptOptions,
    *,
    seed: int,
    progress: Progress,
    driver: Driver | None = None,
) -> MethodResult:
    r"""Estimate batch effects by the published method.

    Project the counts on random directions, take the batch out, group cells by the signs of the principal axes, match
    each cell with cells of the other batches, sum counts and counterfactual counts per group, and fit

    .. math:: Y_{gs} \sim \mathrm{Poisson}(\mu_{gs} \textstyle\sum_k \delta_{gk} n_{sk}), \qquad
              Z_{gs} \sim \mathrm{Poisson}(\mu_{gs} \gamma_{gs} n_s).

    The standard error of log delta is the one of a Poisson sum, :math:`1 / \sqrt{S_{gk}}`. It is too small: the
    published method knows of no over-dispersion, nor of cells that are used as a match many times.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes). Read twice.
    batches
        Batch of each cell. Cells of batches that are too small take no part, nor do cells without counts. Of cells of
        a batch that have the very same counts one is counted.
    options
        See `ConceptOptions`.
    seed
        Of the random projection.
    progress
        Told of each stage.
    driver
        Who reads the counts; None is this process.

    Returns
    -------
    MethodResult

    Raises
    ------
    InputError
        If values are not counts, or no gene is measured in all batches.

    Warns
    -----
    InputWarning
        Of cells that are there more than once.
    """
    basis = random_basis(source.n_genes, options.n_dims, rng=np.random.default_rng(seed))
    basis *= shared_genes(source, batches)[:, None]
    seen = survey(source, basis, progress=progress, driver=driver)
    raw = seen.projected
    codes = active_codes(batches, raw)
    copies = find_copies(seen.marks, codes)
    warn_of_copies(copies, source, batches)
    codes[copies.cells] = -1
    with progress.stage("matching cells"):
        features = _without_batch(raw, codes, len(batches.levels))
        samples = _samples(features, codes >= 0)
        matches = match_cells(features, codes, n_neighbors=options.n_neighbors)
        transfer = transfer_weights(matches.weights, samples, batch=codes)
    sums = _Sums(
        PseudobulkSums(n_genes=source.n_genes, n_samples=samples.n_samples, n_batches=len(batches.levels)),
        PerCell(samples.codes),
        PerCell(codes),
        PerCell(sparse.csr_array(transfer.T)),
    )
    with progress.stage("summing counts", total=source.n_cells) as advance:
        reduce_blocks(source, MeasuredOnly(sums, source, batches), progress=advance, driver=driver)
    stats = sums.sums.finish()
    with progress.stage("fitting effects"):
        fitted = fit_concept(stats, max_iter=options.max_iter, tol=options.tol)
    features[copies.cells] = features[copies.like]
    sample = np.where(codes >= 0, samples.codes, -1).astype(np.int64)
    sample[copies.cells] = sample[copies.like]
    rows = checked_rows(active_codes(batches), seed=seed)
    rows = rows[codes[rows] >= 0]
    return MethodResult(
        log_delta=np.log(fitted.delta),
        se=1 / np.sqrt(np.maximum(stats.s_gk, 1.0)),
        informative=fitted.informative,
        expression=stats.s_gk.sum(axis=1),
        mu=fitted.mu,
        sample=sample,
        basis=basis,
        embedding=features.astype(np.float32),
        trace=asdict(fitted.trace),
        stop_reason=fitted.stop_reason,
        checked=CheckedCells(rows, source.rows(rows)),
    )


def _without_batch(raw: FloatArray, codes: CodeArray, n_batches: int) -> FloatArray:
    """Take the batch out of the cells that take part, and only their overall mean out of the others.

    Cells without counts stay at 0, which has no direction: they overlap with nothing.
    """
    features = regress_out(raw, batch_design(codes, n_batches))
    others = np.where(raw.any(axis=1, keepdims=True), raw - raw[codes >= 0].mean(axis=0), 0.0)
    return np.where((codes >= 0)[:, None], features, others)


def _samples(features: FloatArray, active: BoolArray) -> Samples:
    """Group the cells that take part; the others get number 0, which their batch code of -1 keeps from counting."""
    grouped = sign_codes(features[active])
    codes = np.zeros(active.size, dtype=np.int32)
    codes[active] = grouped.codes
    return replace(grouped, codes=codes)


@dataclass
class _Sums:
    """Accumulator of blocks that knows the sample, the batch and the matches of each cell."""

    sums: PseudobulkSums
    samples: PerCell[CodeArray]
    codes: PerCell[CodeArray]
    transfer: PerCell[sparse.csr_array]
    """The columns of `transfer_weights` as rows."""

    def add(self, block: Block) -> None:
        cells = (block.start, block.stop)
        self.sums.add(
            block.counts,
            sample=self.samples.of(*cells),
            batch=self.codes.of(*cells),
            transfer=sparse.csc_array(self.transfer.of(*cells).T),
        )

    def merge(self, other: "_Sums") -> None:
        self.sums = merge(self.sums, other.sums)
