"""Cells in a few dimensions: random projection of counts, and removal of what the batch explains linearly."""

import numpy as np

from unbatch._types import CodeArray, Counts, FloatArray


def random_basis(n_genes: int, n_dims: int, *, rng: np.random.Generator) -> FloatArray:
    r"""Draw the basis of a random projection, :math:`R_{gk} \sim N(0, 1)`.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_dims
        Number of dimensions K. More dimensions keep the distances between cells better; they also double the number of
        possible pseudobulk samples each, so samples hold fewer cells.
    rng
        Source of the draw; the same state gives the same bits.

    Returns
    -------
    (n_genes, n_dims)
    """
    return rng.standard_normal((n_genes, n_dims))


def project(counts: Counts, basis: FloatArray) -> FloatArray:
    """Project the counts of some cells, ``Q = Y R``.

    Each cell is summed on its own, in the order of its genes, in float64: any split of the cells into blocks gives the
    same bits.

    Parameters
    ----------
    counts
        (n_cells, n_genes) Y.
    basis
        (n_genes, n_dims) R.

    Returns
    -------
    (n_cells, n_dims)
    """
    return np.asarray(counts.astype(np.float64, copy=False) @ basis, dtype=np.float64)


def batch_design(batch: CodeArray, n_batches: int) -> FloatArray:
    """Write batch codes as a one-hot design matrix X.

    Parameters
    ----------
    batch
        (n_cells,) codes 0 to n_batches - 1; a negative code belongs to no batch and gives a row of zeros.
    n_batches
        Number of columns.

    Returns
    -------
    (n_cells, n_batches)
    """
    return np.asarray(batch[:, None] == np.arange(n_batches), dtype=np.float64)


def regress_out(values: FloatArray, design: FloatArray) -> FloatArray:
    r"""Remove from each column what a linear model of the design explains.

    .. math:: Q \leftarrow Q - U U^\top Q, \qquad X = U D V^\top

    U spans the columns of X, so collinear columns do no harm. With a one-hot design this subtracts batch means.

    Parameters
    ----------
    values
        (n_cells, n_dims) Q.
    design
        (n_cells, n_covariates) X. A row of zeros leaves its cell as it is.

    Returns
    -------
    (n_cells, n_dims), with every column orthogonal to every column of X.
    """
    left, scale, _ = np.linalg.svd(design, full_matrices=False)
    if not scale.size:
        return values.copy()
    spanned = left[:, scale > scale[0] * max(design.shape) * np.finfo(np.float64).eps]
    return np.asarray(values - spanned @ (spanned.T @ values), dtype=np.float64)
