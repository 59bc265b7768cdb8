"""Whether effects lie along the axes on which cells of a batch differ, as they do if types are taken for each other."""

import numpy as np

from unbatch._types import FloatArray

_FEWEST_GENES = 20
_LEAST_EFFECT = 0.05
"""Root mean square of log effects (natural log) below which it does not matter where they lie."""


def share_along_cells(basis: FloatArray, log_delta: FloatArray, se: FloatArray) -> FloatArray:
    r"""Find the share of the squared log effects of each batch that lies along the axes on which its cells differ.

    With :math:`P_k` the projection on the axes at the n genes whose effect is known, d their number, and
    :math:`b_k` log delta less its median over these genes, what chance gives is taken off as from a coefficient of
    determination:

    .. math:: 1 - \Big(1 - \frac{\lVert P_k b_k \rVert^2}{\lVert b_k \rVert^2}\Big) \frac{n}{n - d}

    What batches do to genes is nearly at right angles to what sets cell types apart. If cells of one type were compared
    with those of another, the effects are the difference of the two.

    Parameters
    ----------
    basis
        Axes, (n_genes, n_dims); genes whose row is 0 are not looked at.
    log_delta, se
        Log effects (natural log) and their standard errors, inf where unknown, (n_genes, n_batches).

    Returns
    -------
    (n_batches,), 0 for effects that are small or of few genes.
    """
    shares = np.zeros(log_delta.shape[1])
    on_axes = np.any(basis != 0, axis=1)
    for k in range(len(shares)):
        known = np.flatnonzero(on_axes & np.isfinite(se[:, k]) & (se[:, k] > 0))
        if len(known) < _FEWEST_GENES:
            continue
        effects = log_delta[known, k] - np.median(log_delta[known, k])
        whole = float(effects @ effects)
        if whole < len(known) * _LEAST_EFFECT**2 or basis.shape[1] >= len(known):
            continue
        axes = np.linalg.qr(basis[known])[0]
        beside = 1 - float(np.square(axes.T @ effects).sum()) / whole
        shares[k] = max(1 - beside * len(known) / (len(known) - axes.shape[1]), 0.0)
    return shares
