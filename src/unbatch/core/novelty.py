"""What the common states of some cells look like, and how far another cell is from all of them."""

from dataclasses import dataclass

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray
from unbatch.core.clustering import k_means
from unbatch.core.kernels.logs import novelty
from unbatch.core.keyed import keys_of
from unbatch.core.linking import link_pseudobulks
from unbatch.core.log_counts import LogCounts
from unbatch.core.parallel import in_ranges
from unbatch.core.projection import LogAxes
from unbatch.core.rows import rows_of
from unbatch.core.state_table import group_sums
from unbatch.core.states import batch_pseudobulks, state_basis

_ROWS = 512
_N_DIMS, _N_GENES = 20, 1000
_MOST_STATES, _CELLS_PER_STATE = 100, 40
_PRIOR_CELLS = 5.0
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Landscape:
    r"""The common states of some cells.

    Attributes
    ----------
    axes
        Axes along which cells of one batch differ most, with first batch effects.
    scale
        Counts to which cells are normalised before the logarithm.
    centres
        (n_states, n_dims) coordinates of the states.
    expected
        (n_states, n_genes) mean logs of the states, less what the axes explain of them; inf for genes that are not
        looked at.
    trend
        (3,) coefficients of a parabola in the log of the size factor: what log novelty is usual for such a cell.
    """

    axes: LogAxes
    scale: float
    centres: FloatArray
    expected: Float32Array
    trend: FloatArray

    def novelty(self, counts: Counts, batch: CodeArray) -> FloatArray:
        r"""Tell how far the expression of cells is from all that the landscape knows.

        .. math:: \log \sum_g \max(0, x_{gj} - \hat x_{gj})^6, \qquad
                  \hat x_j = V V^\top x_j + (I - V V^\top)\, \bar x_{s(j)},

        less what is usual for cells of such depth. A few genes that a cell has no business to express weigh more in it
        than the noise of thousands of others.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        batch
            Batch of each cell, (n_cells,).

        Returns
        -------
        (n_cells,), -inf for cells without counts. Neither blocks nor threads change a bit.
        """
        excess, size = log_excess(counts, batch, axes=self.axes, scale=self.scale, of=(self.centres, self.expected))
        return np.where(np.diff(counts.indptr) > 0, excess - self._usual(size), -np.inf)

    def _usual(self, size: FloatArray) -> FloatArray:
        log = np.log(size)
        return np.asarray(self.trend[0] + log * (self.trend[1] + log * self.trend[2]))  # as a product, bits would vary


def log_excess(
    counts: Counts,
    batch: CodeArray,
    *,
    axes: LogAxes,
    scale: float,
    of: tuple[FloatArray, Float32Array],
) -> tuple[FloatArray, FloatArray]:
    """Sum the sixth powers of what each cell's logs exceed those expected by, and take the log, (n_cells,).

    `of` are the centres and expected logs of the states, see `Landscape`. Size factors, (n_cells,), are given too.
    """
    centres, expected, n_dims = np.ascontiguousarray(of[0].T), of[1], axes.basis.shape[1]
    longest = int(np.diff(counts.indptr).max(initial=0))
    out, size = np.empty(counts.shape[0]), np.empty(counts.shape[0])

    def some(start: int, stop: int) -> None:
        novelty(
            *rows_of(counts, start, stop),
            batch[start:stop],
            axes.factor,
            axes.place,
            axes.basis,
            scale,
            centres,
            expected,
            np.empty(longest),
            np.empty(longest),
            np.empty(longest, dtype=np.int32),
            np.empty(longest, dtype=np.int32),
            np.empty(n_dims),
            np.empty(centres.shape[1]),
            size[start:stop],
            out[start:stop],
        )

    in_ranges(some, len(out), step=_ROWS)
    return np.asarray(np.log(out + _TINY)), size


def learn_landscape(counts: Counts, batch: CodeArray, *, genes: BoolArray, n_batches: int, seed: int) -> Landscape:
    """Find the common states of some cells.

    Parameters
    ----------
    counts
        Counts, (n_cells, n_genes); each cell has some on `genes`.
    batch
        Batch of each cell, (n_cells,).
    genes
        Genes that are looked at: those that all batches measured, (n_genes,).
    n_batches
        Number of batches; not all need have a cell here.
    seed
        Start of the random numbers.

    Returns
    -------
    Landscape
    """
    with one_thread():
        return _learn(counts, batch, genes=genes, n_batches=n_batches, seed=seed)


def _learn(counts: Counts, batch: CodeArray, *, genes: BoolArray, n_batches: int, seed: int) -> Landscape:
    used, inverse = np.unique(batch, return_inverse=True)
    own: CodeArray = np.asarray(inverse, dtype=np.int32)
    keys = keys_of(counts)
    log_delta = np.zeros((counts.shape[1], len(used)))
    logs = LogCounts.of(counts, log_delta, batch=own, genes=genes)
    basis = state_basis(logs, batch=own, genes=genes, n_dims=_N_DIMS, n_genes=_N_GENES)
    on_axes = np.flatnonzero(np.any(basis != 0, axis=1))
    code, first = batch_pseudobulks(logs.project(basis), batch=own, level=np.zeros_like(own), keys=keys, seed=seed)
    if on_axes.size and len(used) > 1:
        sums = group_sums(counts, code, n_groups=len(first), genes=on_axes)
        sizes = np.bincount(code, logs.size).astype(np.float64)
        log_delta[on_axes] = link_pseudobulks(sums, sizes, batch=own[first], basis=basis[on_axes]).log_delta
        logs = LogCounts.of(counts, log_delta, batch=own, genes=genes)
    where = logs.project(basis)
    state = k_means(where, max(1, min(_MOST_STATES, len(own) // _CELLS_PER_STATE)), keys=keys, seed=seed)
    state = np.asarray(np.unique(state, return_inverse=True)[1], dtype=np.int32)
    cells = np.bincount(state)[:, None]
    centres = np.ascontiguousarray(np.stack([np.bincount(state, column) for column in where.T], axis=1) / cells)
    sums, _ = logs.moments(state)
    means = (sums + _PRIOR_CELLS * sums.sum(axis=0) / len(own)) / (cells + _PRIOR_CELLS)
    effects = np.zeros((counts.shape[1], n_batches))
    effects[:, used] = log_delta
    axes = LogAxes.of(basis, log_delta=effects, genes=genes)
    expected = np.where(genes, means - (means @ basis) @ basis.T, np.inf).astype(np.float32)
    excess, size = log_excess(counts, batch, axes=axes, scale=logs.scale, of=(centres, expected))
    log = np.log(size)
    trend, *_ = np.linalg.lstsq(np.column_stack([np.ones_like(log), log, log**2]), excess, rcond=None)
    return Landscape(axes, logs.scale, centres, expected, np.asarray(trend, dtype=np.float64))
