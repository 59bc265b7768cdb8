"""Cells in a few dimensions: projection of counts and of their logs, and removal of what the batch explains."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray
from unbatch.core.kernels import denoising, logs, projection
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of

_ROWS = 1024


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
    basis, out = np.ascontiguousarray(basis, dtype=np.float64), np.empty((counts.shape[0], basis.shape[1]))

    def some(start: int, stop: int) -> None:
        projection.project(*rows_of(counts, start, stop), basis, out[start:stop])

    in_ranges(some, counts.shape[0], step=_ROWS)
    return out


@dataclass(frozen=True, eq=False)
class LogAxes:
    r"""Axes for the logs of adjusted counts, ready to be used on one block of cells after another.

    .. math:: q_j = V^\top \log(1 + a\, Y_j / (\delta_{k(j)} l_j)), \qquad
              l_j = \sum_{g \in genes} Y_{gj} / \delta_{g k(j)}

    Attributes
    ----------
    factor
        (n_batches, n_genes), :math:`1 / \delta`, 0 for genes that do not make up the size factor.
    along
        (n_batches, n_used), :math:`1 / \delta` of the genes on the axes.
    place
        (n_genes,), row of `basis`, -1 for genes that are on no axis.
    basis
        (n_used, n_dims), the rows of V that are not 0.
    """

    factor: FloatArray
    along: FloatArray
    place: CodeArray
    basis: FloatArray

    @classmethod
    def of(cls, basis: FloatArray, *, log_delta: FloatArray, genes: BoolArray) -> Self:
        """Prepare axes.

        Parameters
        ----------
        basis
            V, (n_genes, n_dims). Genes whose row is 0 cost next to nothing.
        log_delta
            Log effects to be divided out, (n_genes, n_batches).
        genes
            Genes that make up the size factor, (n_genes,).
        """
        used = np.flatnonzero(np.any(basis != 0, axis=1))
        place = np.full(len(basis), -1, dtype=np.int32)
        place[used] = np.arange(len(used), dtype=np.int32)
        factor = np.exp(-log_delta).T
        return cls(
            factor=np.ascontiguousarray(factor * genes),
            along=np.ascontiguousarray(factor[:, used]),
            place=place,
            basis=np.ascontiguousarray(basis[used], dtype=np.float64),
        )

    def sizes(self, counts: Counts, batch: CodeArray) -> FloatArray:
        """Size factor l of each cell, (n_cells,); 1 for cells without counts."""
        size = np.empty(counts.shape[0])

        def some(start: int, stop: int) -> None:
            rows = rows_of(counts, start, stop)
            projection.adjusted_sizes(*rows, batch[start:stop], self.factor, size[start:stop])

        in_ranges(some, len(size), step=_ROWS)
        size[size == 0] = 1.0
        return size

    def sizes_of_both(self, other: "LogAxes", counts: Counts, batch: CodeArray) -> tuple[FloatArray, FloatArray]:
        """Size factors of each cell by these axes and by other ones, as `sizes` gives them, in one walk."""
        size, theirs = np.empty(counts.shape[0]), np.empty(counts.shape[0])

        def some(start: int, stop: int) -> None:
            rows, cells = rows_of(counts, start, stop), slice(start, stop)
            projection.adjusted_sizes_of_two(*rows, batch[cells], self.factor, other.factor, size[cells], theirs[cells])

        in_ranges(some, len(size), step=_ROWS)
        size[size == 0], theirs[theirs == 0] = 1.0, 1.0
        return size, theirs

    def project(self, counts: Counts, batch: CodeArray, *, scale: float, size: FloatArray | None = None) -> FloatArray:
        """Find the coordinates of some cells.

        Each cell is summed on its own, in an order that follows from that of its genes: neither the split of the cells
        into blocks nor the number of threads changes a bit.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        batch
            Batch of each cell, (n_cells,), a column of `log_delta`.
        scale
            Counts a to which each cell is normalised.
        size
            Size factor of each cell, (n_cells,), if it is known.

        Returns
        -------
        (n_cells, n_dims)
        """
        scaling = scale / (self.sizes(counts, batch) if size is None else size)
        out = np.empty((counts.shape[0], self.basis.shape[1]))
        longest = int(np.diff(counts.indptr).max(initial=0))

        def some(start: int, stop: int) -> None:
            logs.project_logs(
                *rows_of(counts, start, stop),
                batch[start:stop],
                self.along,
                self.place,
                self.basis,
                scaling[start:stop],
                np.empty(longest),
                np.empty(longest),
                np.empty(longest, dtype=np.int32),
                out[start:stop],
            )

        in_ranges(some, len(out), step=_ROWS)
        return out

    def noise(self, counts: Counts, batch: CodeArray, *, scale: float, size: FloatArray) -> FloatArray:
        r"""Find the variance by which chance moves the coordinates of some cells, if counts are Poisson.

        .. math:: n_{jd} = \sum_g V_{gd}^2\, Y_{gj} \left(\frac{s_{gj}}{1 + s_{gj} Y_{gj}}\right)^2, \qquad
                  s_{gj} = \frac{a}{\delta_{g k(j)} l_j}

        to first order, each count standing for its own expectation. Parameters are those of `project`.

        Returns
        -------
        (n_cells, n_dims)
        """
        scaling, squared = scale / size, np.square(self.basis)
        out = np.empty((counts.shape[0], self.basis.shape[1]))

        def some(start: int, stop: int) -> None:
            cells = slice(start, stop)
            rows = rows_of(counts, start, stop)
            denoising.add_noise(*rows, batch[cells], self.along, self.place, squared, scaling[cells], out[cells])

        in_ranges(some, len(out), step=_ROWS)
        return out


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
