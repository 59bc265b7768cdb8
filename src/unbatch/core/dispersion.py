"""Variance ratios of genes, each too noisy alone, drawn towards what they have in common."""

import numpy as np

from unbatch._types import FloatArray

_LEAST_FREEDOM, _MOST_FREEDOM = 1 - 1e-6, 1e6
"""Degrees of freedom of whole states are whole numbers: rounding must not decide about 1."""
_LEAST_SPREAD = 1e-6
_TINY = 1e-300


def squeeze(ratio: FloatArray, freedom: FloatArray) -> FloatArray:
    r"""Draw noisy variance ratios of genes towards their common value, the less so the more they are known.

    .. math:: \hat\lambda_g = (d_0 \lambda_0 + d_g \lambda_g) / (d_0 + d_g)

    with the weighted mean :math:`\lambda_0` and prior degrees of freedom :math:`d_0` from the spread of the ratios
    beyond that of a chi-square, in the manner of Smyth (2004, Stat. Appl. Genet. Mol. Biol. 3:3).

    Parameters
    ----------
    ratio
        Estimates, (n_genes,).
    freedom
        Their degrees of freedom, (n_genes,); 0 where there is no estimate.

    Returns
    -------
    (n_genes,)
    """
    known = freedom >= _LEAST_FREEDOM
    if not known.any():
        return np.ones_like(ratio)
    weight, values = freedom[known], ratio[known]
    common = float(np.average(values, weights=weight))
    spread = float(np.average((values / max(common, _TINY) - 1) ** 2, weights=weight))
    between = spread - float(np.average(2 / weight, weights=weight))
    prior_freedom = 2 / between if between > _LEAST_SPREAD else _MOST_FREEDOM
    known_ratio = np.where(known, ratio, common)
    known_freedom = np.where(known, freedom, 0.0)
    return np.asarray((prior_freedom * common + known_freedom * known_ratio) / (prior_freedom + known_freedom))
