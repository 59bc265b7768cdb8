"""Counts with the batch effect taken out."""

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import CodeArray, Counts, FloatArray
from unbatch.core.kernels.division import divide
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of

_ROWS = 1024


def adjust_counts(counts: Counts, delta: FloatArray, batch: CodeArray) -> Counts:
    r"""Divide each count by the effect of its batch on its gene, :math:`Y_{gj} / \delta_{g k(j)}`.

    Zeros stay zeros, so the pattern of the matrix does not change; adjusted counts are not whole numbers.

    Parameters
    ----------
    counts
        (n_cells, n_genes) Y.
    delta
        (n_genes, n_batches) multiplicative, 1 = no effect.
    batch
        (n_cells,) batch code of each cell; a cell with a negative code is left as it is.

    Returns
    -------
    (n_cells, n_genes) CSR of float32, computed in float64.

    Raises
    ------
    InputError
        If delta has other genes than counts, or is not positive and finite, or a code has no column of delta.
    """
    n_genes, n_batches = delta.shape
    if counts.shape[1] != n_genes:
        raise InputError(
            f"counts have {counts.shape[1]} genes and delta has {n_genes}: give the genes that were fitted"
        )
    usable = np.isfinite(delta) & (delta > 0)
    if not usable.all():
        raise InputError(f"{(~usable).sum()} of {delta.size} effects are not positive and finite; use 1 for no effect")
    if batch.max(initial=-1) >= n_batches:
        raise InputError(f"batch codes go up to {batch.max()}, but delta has {n_batches} batches")
    divisors, data = np.ascontiguousarray(delta.T), np.empty(counts.nnz, dtype=np.float32)

    def some(start: int, stop: int) -> None:
        rows = rows_of(counts, start, stop)
        here = data[int(counts.indptr[start]) : int(counts.indptr[stop])]
        divide(*rows, batch[start:stop], divisors, here)

    in_ranges(some, counts.shape[0], step=_ROWS)
    return sparse.csr_array((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
