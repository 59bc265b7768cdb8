"""Pseudobulk samples: cells that lie in the same orthant of the principal axes of the projection."""

from dataclasses import dataclass

import numpy as np

from unbatch._check import InputError
from unbatch._types import CodeArray, FloatArray, IntArray

MAX_DIMS = 62
"""Signs are the bits of one int64."""


@dataclass(frozen=True)
class Samples:
    """Which pseudobulk sample each cell belongs to.

    Attributes
    ----------
    codes
        (n_cells,) s(j), from 0 to n_samples - 1 without gaps: every sample holds at least one cell.
    labels
        (n_samples,) ascending; the sign bits of each sample, ``sum_k [v_k > 0] 2^k`` with k from 0 (the published
        sample number is this plus 1).
    directions
        (n_dims, n_dims) one column per singular vector, in the space of the values: the sign bits of any cell are the
        signs of ``values @ directions``.
    """

    codes: CodeArray
    labels: IntArray
    directions: FloatArray

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.labels.size


def sign_bits(values: FloatArray, directions: FloatArray) -> IntArray:
    """Read the signs of the cells along some directions as bits.

    Parameters
    ----------
    values
        (n_cells, n_dims).
    directions
        (n_dims, n_directions), at most 62 directions.

    Returns
    -------
    (n_cells,) ``sum_k [values @ directions[:, k] > 0] 2^k``. Each cell is computed on its own, so any split of the
    cells into blocks gives the same bits.
    """
    bits = np.zeros(len(values), dtype=np.int64)
    for k in range(directions.shape[1]):
        along = np.zeros(len(values))
        for value, weight in zip(values.T, directions[:, k], strict=True):
            along += value * weight
        bits |= (along > 0).astype(np.int64) << k
    return bits


def sign_codes(values: FloatArray) -> Samples:
    r"""Group cells by the signs of their right singular vectors.

    .. math:: Q^\top = U D V^\top, \qquad s(j) = 1 + \sum_k [v_{jk} > 0]\, 2^{k-1}

    renumbered so that samples without cells take no number. The sign of a singular vector is arbitrary; here the
    largest entry of each direction is positive, so that the same values give the same samples on every machine.

    Parameters
    ----------
    values
        (n_cells, n_dims) Q, usually with the batch regressed out. Each further dimension doubles the number of possible
        samples: finer states, with fewer cells each.

    Returns
    -------
    Samples
        At most 2^n_dims samples.

    Raises
    ------
    InputError
        With no cells, or more than 62 dimensions.
    """
    n_cells, n_dims = values.shape
    if not n_cells or not 0 < n_dims <= MAX_DIMS:
        raise InputError(
            f"cannot make pseudobulk samples from {n_cells} cells in {n_dims} dimensions: "
            f"at least 1 cell and 1 to {MAX_DIMS} dimensions are needed"
        )
    directions = np.linalg.svd(values, full_matrices=False)[2].T
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    directions = directions * np.where(largest < 0, -1.0, 1.0)
    labels, codes = np.unique(sign_bits(values, directions), return_inverse=True)
    return Samples(codes.astype(np.int32), labels, directions)
