"""What many batches have in common of their effects, as loadings on few factors."""

import numpy as np

from unbatch._types import FloatArray

_INDEPENDENT = 50.0
"""Genes that were seen beforehand whose effects in different batches had nothing to do with each other."""
_CLEAR = 1.2
"""Times what chance gives at most, from which on an eigenvalue is one of a factor."""
_MOST_FACTORS = 16
_ROUNDS = 10
_MOST_COMMON = 0.95
_TINY = 1e-12


def find_loadings(effects: FloatArray, told: FloatArray) -> FloatArray:
    r"""Find factors behind the effects of many batches, from the posterior modes of all genes.

    .. math:: R_{km} = \frac{\sum_g e_{gk} e_{gm}}{n_{km} + 50}, \qquad n_{km} = \sum_g f_{gk} f_{gm}, \qquad
              v_{km} = \frac{\sum_g e_{gk}^2 e_{gm}^2}{(n_{km} + 50)^2}

    with e the modes by a prior without correlation, in units of its standard deviation, and f the share of the prior's
    variance that counts take away: a mode is f times what it is with all counts. What the effects of a gene have in
    common in all batches is taken off, since counts tell nothing of it (see `find_correlation`), and what those of a
    batch have in common in all genes. The loadings are those of principal axis factoring: of R, with what factors
    explain of each batch on its diagonal, the eigenvalues that exceed by a fifth what chance gives,
    :math:`2 s + s^2` with :math:`s^2 = \max_k \sum_m v_{km}` (Marchenko and Pastur 1967), shrunk to

    .. math:: \hat\lambda = \sqrt{(\lambda - s^2)^2 - 4 s^2}

    which is best where only they are known (Benaych-Georges and Nadakuditi 2011, Adv. Math. 227:494-521; Gavish and
    Donoho 2017, IEEE Trans. Inf. Theory 63:2137-2152).

    Parameters
    ----------
    effects
        Modes e, (n_genes, n_batches).
    told
        f, (n_genes, n_batches).

    Returns
    -------
    (n_batches, n_factors), of which there are none if data show none; the sum of squares of a batch is below 1.
    """
    n_batches = effects.shape[1]
    for axis in (1, 0):
        mean = effects.sum(axis=axis, keepdims=True) / np.maximum(told.sum(axis=axis, keepdims=True), _TINY)
        effects = effects - told * mean
    n_told = told.T @ told + _INDEPENDENT
    found, squares = effects.T @ effects / n_told, effects**2
    chance = squares.T @ squares / n_told**2
    for matrix in (found, chance):
        np.fill_diagonal(matrix, 0.0)
    noise = float(chance.sum(axis=1).max())
    edge = 2 * np.sqrt(noise)
    explained, loadings = np.zeros(n_batches), np.zeros((n_batches, 0))
    for _ in range(_ROUNDS):
        np.fill_diagonal(found, explained)
        values, axes = np.linalg.eigh(found)
        clear = np.flatnonzero(values > _CLEAR * (edge + noise))[-_MOST_FACTORS:]
        loadings = axes[:, clear] * ((values[clear] - noise) ** 2 - edge**2) ** 0.25
        total = np.square(loadings).sum(axis=1)
        loadings *= np.sqrt(np.minimum(1.0, _MOST_COMMON / np.maximum(total, _TINY)))[:, None]
        explained = np.square(loadings).sum(axis=1)
        if not clear.size:
            break
    return np.asarray(loadings)
