"""Dispersion of sums over cells where it grows with the mean, as that of negative binomial counts does."""

import numpy as np

from unbatch._types import FloatArray

_TINY = 1e-300


def growth_of(
    counts: FloatArray, squares: FloatArray, mean: FloatArray, *, exposure: FloatArray, cells: FloatArray
) -> FloatArray:
    r"""Find by how much cells of a state and batch vary beyond Poisson counts, in squares of the mean, (...,).

    If :math:`\mathrm{var}\,Y_j = l_j r + a (l_j r)^2`, the squares around the own mean of n cells,
    :math:`W = \sum_j Y_j^2 / l_j - (\sum_j Y_j)^2 / \sum_j l_j`, have the mean

    .. math:: (n - 1)\, r + a\, r^2 \sum_j l_j \, (n - 1) / n

    up to how far size factors differ. a is the ratio of what W has beyond the first term, over all states and batches,
    to what the second has for a = 1; 0 if that is negative. r comes from the model, whose noise is less than that of
    the cells' own sums, which would be squared.

    Parameters
    ----------
    counts, squares
        Sums of Y and of Y^2 / l, (..., n_states, n_batches).
    mean
        Expected counts, as shaped; 0 where nothing is to be looked at.
    exposure, cells
        Summed size factors and number of cells, (n_states, n_batches).
    """
    there = (mean > 0) & (cells > 1)
    size = np.where(exposure > 0, exposure, 1.0)
    rate = np.where(there, mean, 0.0) / size
    beyond = np.where(there, squares - counts**2 / size - (cells - 1) * rate, 0.0)
    of_one = rate**2 * exposure * np.maximum(cells - 1, 0) / np.maximum(cells, 1)
    ratio = beyond.sum(axis=(-2, -1)) / np.maximum(of_one.sum(axis=(-2, -1)), _TINY)
    return np.asarray(np.maximum(ratio, 0.0))


def dispersion_of_sums(
    usual: FloatArray, growth: FloatArray, mean: FloatArray, *, exposure: FloatArray, squared_sizes: FloatArray
) -> FloatArray:
    r"""Give the variance of sums over cells over their mean, (..., n_states, n_batches).

    .. math:: \max\Big(\phi,\; 1 + a\, m\, \frac{\sum_j l_j^2}{(\sum_j l_j)^2}\Big)

    The larger of the two, since counts of molecules and of reads differ in how their variance grows.

    Parameters
    ----------
    usual
        Mean dispersion phi of cells, (...,), which does not grow.
    growth
        a, (...,): see `growth_of`.
    mean
        Expected counts m, (..., n_states, n_batches).
    exposure, squared_sizes
        Sums of size factors and of their squares, (n_states, n_batches).
    """
    share = squared_sizes / np.where(exposure > 0, exposure, 1.0) ** 2
    return np.asarray(np.maximum(usual[..., None, None], 1 + growth[..., None, None] * mean * share))
