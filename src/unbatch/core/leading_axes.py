"""Eigenvectors of a matrix of scatter that belong to its largest eigenvalues."""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from unbatch._types import FloatArray
from unbatch.core.parallel import in_ranges

_FEW = 500
"""Rows or points up to which the matrix is diagonalised directly: quick if small, and sound whatever its rank."""
_ROWS = 256


def leading_axes(scatter: FloatArray, n_axes: int, *, n_points: int) -> FloatArray:
    """Find the eigenvectors of the largest eigenvalues: by Lanczos' method where the matrix is large.

    Parameters
    ----------
    scatter
        Symmetric and positive semi-definite, (n, n); only the lower triangle is read. It is overwritten.
    n_axes
        Number of eigenvectors, at most n.
    n_points
        Points that were added up. Of few, the rank is low, and Lanczos' method would run out of directions.

    Returns
    -------
    (n, n_axes), the largest first; orthonormal, exact to rounding. The entry of each that is farthest from 0 is
    positive: the order of rows changes no sign. The same bits for any number of threads.
    """
    n = len(scatter)
    axes = _lanczos(_symmetric(scatter), n_axes) if min(n, n_points) > _FEW else None
    if axes is None:
        axes = linalg.eigh(scatter, subset_by_index=[n - n_axes, n - 1], lower=True, overwrite_a=True)[1][:, ::-1]
    farthest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.asarray(np.where(farthest < 0, -axes, axes))


def _symmetric(scatter: FloatArray) -> FloatArray:
    """Copy the lower triangle to the upper one, in place."""
    for first in range(0, len(scatter), _ROWS):
        here = slice(first, first + _ROWS)
        block = np.tril(scatter[here, here])
        scatter[here, here] = block + np.tril(block, -1).T
        scatter[here, first + _ROWS :] = scatter[first + _ROWS :, here].T
    return scatter


def _lanczos(scatter: FloatArray, n_axes: int) -> FloatArray | None:
    n = len(scatter)

    def product(vector: FloatArray) -> FloatArray:
        out, vector = np.empty(n), vector.ravel()

        def some(start: int, stop: int) -> None:
            np.dot(scatter[start:stop], vector, out=out[start:stop])

        in_ranges(some, n, step=_ROWS)
        return out

    start = np.sqrt(np.maximum(scatter.diagonal(), 0.0))
    try:
        values, axes = eigsh(LinearOperator((n, n), matvec=product, dtype=np.float64), k=n_axes, which="LA", v0=start)
    except ArpackError:  # it did not converge, or there is nothing to start from
        return None
    return np.asarray(axes[:, np.argsort(-values, kind="stable")])
