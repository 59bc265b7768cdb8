"""Displacements of several states of one batch, each too noisy alone, drawn towards what they have in common."""

import numpy as np

from unbatch._types import FloatArray

_FEWEST = 3
"""States from which what they have in common can be told."""
_TINY = 1e-12


def shrink(line: FloatArray, chance: FloatArray, trust: FloatArray) -> tuple[FloatArray, FloatArray]:
    r"""Estimate true displacements by empirical Bayes, axis by axis.

    .. math:: x_{sd} \sim \mathcal N(\xi_{sd}, v_{sd}), \quad \xi_{sd} \sim \mathcal N(m_d, t_d^2), \qquad
              \hat\xi_{sd} = \hat m_d + \frac{t_d^2}{t_d^2 + v_{sd}} (x_{sd} - \hat m_d)

    with t by the moments of DerSimonian and Laird (1986, Control. Clin. Trials 7:177-188), m the mean by inverse
    variances, and :math:`\hat m_d = m_d \max(0, 1 - \mathrm{var}(m_d) / m_d^2)`: an axis along which nothing is moved
    beyond chance has no displacement at all. Fewer than three states do not tell what is common to them: each is
    shrunk by itself, :math:`\hat\xi_s = x_s \max(0, 1 - \sum_d v_{sd} / \lVert x_s \rVert^2)` (James and Stein 1961).

    Parameters
    ----------
    line
        Displacements x that were seen, (n_states, n_dims).
    chance
        Variance v by which chance moves them, (n_states, n_dims).
    trust
        Weight of each state, (n_states,), 0 to 1; states with 0 tell nothing.

    Returns
    -------
    displacement
        (n_states, n_dims), shrunken.
    common
        :math:`\hat m`, (n_dims,), for what is not seen; 0 where it cannot be told.
    """
    told = trust > 0
    if told.sum() < _FEWEST:
        real = np.maximum(1 - chance.sum(axis=1) / np.maximum((line**2).sum(axis=1), _TINY), 0.0)
        return real[:, None] * line, np.zeros(line.shape[1])
    chance, seen = np.maximum(chance, _TINY), line[told]
    weight = trust[told, None] / chance[told]
    total = weight.sum(axis=0)
    excess = (weight * (seen - (weight * seen).sum(axis=0) / total) ** 2).sum(axis=0) - (trust.sum() - 1)
    spread = np.maximum(excess / np.maximum(total - (weight**2).sum(axis=0) / total, _TINY), 0.0)
    weight = trust[told, None] / (chance[told] + spread)
    mean = (weight * seen).sum(axis=0) / weight.sum(axis=0)
    common = mean * np.maximum(1 - 1 / (weight.sum(axis=0) * np.maximum(mean**2, _TINY)), 0.0)
    return common + spread / (spread + chance) * (line - common), common
