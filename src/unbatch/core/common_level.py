"""The level of a batch, which is a median of its effects, is known no better than they are."""

import numpy as np
from scipy import special

from unbatch._types import BoolArray, FloatArray
from unbatch.core.convention import weighted_median

_TINY = 1e-300


def errors_with_level(log_delta: FloatArray, se: FloatArray, weights: FloatArray) -> FloatArray:
    r"""Give the errors of effects from whose batch the median over genes is taken off.

    That median M is one of estimates. It solves :math:`\sum_g w_g \mathrm{sign}(b_g - M) = 0`; with errors
    :math:`s_g` that are independent between genes, each sign is right with a chance of
    :math:`\Phi_g = \Phi((b_g - M) / s_g)`, and

    .. math:: \mathrm{var}(M) = \frac{\sum_g w_g^2 \Phi_g (1 - \Phi_g)}{(\sum_g w_g \varphi_g / s_g)^2},

    which is added to all :math:`s_g^2`. Among thousands of genes it is next to nothing, among tens it is as large as
    the errors of those that have most counts. What a gene has in common with the median is left out: only that in the
    middle has much, and differences between other batches rest on its errors, too.

    Parameters
    ----------
    log_delta
        Log effects b, (n_genes, n_batches).
    se
        Their standard errors s, (n_genes, n_batches); inf where nothing is known.
    weights
        Expression of each gene, (n_genes,), not negative.

    Returns
    -------
    (n_genes, n_batches) standard errors of b - M; inf where nothing is known.
    """
    known = np.isfinite(se) & (se > 0)
    return np.column_stack([_of_batch(*columns, weights) for columns in zip(log_delta.T, se.T, known.T, strict=True)])


def _of_batch(log_delta: FloatArray, se: FloatArray, known: BoolArray, weights: FloatArray) -> FloatArray:
    weight = weights * known
    s = np.where(known, se, 1.0)
    z = (log_delta - weighted_median(log_delta, weight)) / s
    density = weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / s
    pull = float(density.sum())
    if pull <= _TINY:
        return se
    right = special.ndtr(z)
    of_level = float((weight**2 * right * (1 - right)).sum()) / pull**2
    return np.where(known, np.sqrt(s**2 + of_level), se)
