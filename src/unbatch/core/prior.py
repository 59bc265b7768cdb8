"""How well the width of the prior on effects is known."""

import numpy as np

from unbatch._types import FloatArray

_WIDEST = 3.0
_TINY = 1e-300


def unknown_width(variance: FloatArray, prior_sd: FloatArray) -> FloatArray:
    r"""Square root of the standard error of tau squared, (n_batches,).

    .. math:: \mathrm{se}(\tau^2) = \sqrt{2 / \sum_g (\tau^2 + s_g^2)^{-2}}

    with s_g the standard error that the effect would have without a prior. Where few counts tell of a batch, its
    effects may well be larger than they seem, and errors as small as a tau near 0 would be false.

    Parameters
    ----------
    variance
        Posterior variances of the effects, (n_genes, n_batches).
    prior_sd
        tau, (n_batches,).
    """
    information = np.maximum(1 / np.maximum(variance, _TINY) - 1 / prior_sd**2, 0.0)
    weight = information / (1 + information * prior_sd**2)
    return np.asarray((2 / np.maximum((weight**2).sum(axis=0), 2 / _WIDEST**4)) ** 0.25)
