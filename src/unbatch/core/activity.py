"""How active each programme is in each cell: Poisson regression of its counts, with the batch effect as offset."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import CodeArray, Counts, FloatArray
from unbatch.core.kernels.activity import fit_activity
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of

TOLERANCE = 1e-3
"""Natural-log units by which the log-likelihood of a cell may be below its maximum. It falls by half a unit at one
standard error from there, so that activities end within a twentieth of a standard error of where they belong."""
MAX_ITER = 200
_CELLS = 256
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Activity:
    """Result of `fit_cells`.

    Attributes
    ----------
    theta
        (n_cells, n_factors) counts that each factor would give in the mean batch; 0 in a cell without counts.
    gap
        (n_cells,) upper bound of what the log-likelihood of each cell is below its maximum.
    """

    theta: FloatArray
    gap: FloatArray


def expected_by_batch(beta: FloatArray, delta: FloatArray) -> FloatArray:
    r"""Give the counts that one unit of each factor makes in each batch, :math:`\sum_g \delta_{gk} \beta_{gt}`.

    Parameters
    ----------
    beta
        (n_genes, n_factors) programmes.
    delta
        (n_genes, n_batches) multiplicative effects; 0 for a gene that the batch does not measure.

    Returns
    -------
    (n_batches, n_factors), 0 where it is too little to tell anything of the factor.
    """
    expected = np.einsum("gk,gt->kt", delta, beta)
    return np.where(expected > _LEAST, expected, 0.0)


def fit_cells(
    counts: Counts,
    *,
    batch: CodeArray,
    beta: FloatArray,
    expected: FloatArray,
    tol: float = TOLERANCE,
    max_iter: int = MAX_ITER,
) -> Activity:
    r"""Find for each cell the activities that make its counts most likely.

    .. math:: Y_{gj} \sim \mathrm{Poisson}\Big(\delta_{g k(j)} \sum_t \beta_{gt} \theta_{tj}\Big), \quad \theta \ge 0

    The log-likelihood is concave. Six steps of expectation and maximisation are followed by Newton steps on the
    activities that are not 0, each the best within the bounds. With :math:`d_t = \sum_g Y_g \beta_{gt} / (f_g c_t)`,
    :math:`f = \beta\theta`, :math:`c_t = \sum_g \delta_g \beta_{gt}` and N counts in the cell, the maximum is at most
    :math:`N (\max_t d_t - 1)` above (Lindsay, 1983, Annals of Statistics 11:86-94); a cell is done when this is `tol`.

    Parameters
    ----------
    counts
        (n_cells, n_genes) Y.
    batch
        (n_cells,) row of `expected` of each cell.
    beta
        (n_genes, n_factors) programmes, positive for genes that may have counts.
    expected
        What `expected_by_batch` gives.
    tol
        Most that the log-likelihood of a cell may be below its maximum. A larger one is faster and less exact.
    max_iter
        Most steps for a cell. More let hard cells reach `tol`.

    Returns
    -------
    Activity
    """
    n_cells, n_factors = counts.shape[0], beta.shape[1]
    theta = np.ones((n_cells, n_factors))
    gap = np.zeros(n_cells)

    def some(start: int, stop: int) -> None:
        rows = rows_of(counts, start, stop)
        longest = max(int(np.diff(rows[2]).max(initial=0)), 1) + 1
        fit_activity(
            *rows,
            batch[start:stop],
            beta,
            expected,
            tol,
            max_iter,
            np.empty(longest),
            np.empty((longest, n_factors)),
            np.empty(longest),
            np.empty((4, n_factors)),
            np.empty(n_factors, dtype=np.int64),
            np.empty((n_factors, n_factors)),
            theta[start:stop],
            gap[start:stop],
        )

    in_ranges(some, n_cells, step=_CELLS)
    return Activity(theta, gap)


def proportions(theta: FloatArray) -> FloatArray:
    """Divide the activities of each cell by their sum, (n_cells, n_factors); 0 in a cell without counts."""
    total = theta.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(theta, total, out=np.zeros_like(theta), where=total > 0))
