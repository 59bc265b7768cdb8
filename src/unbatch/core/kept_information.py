"""How much of what cells tell of the differences between batches is left if they are only compared within states."""

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray


def kept_information(state: CodeArray, batch: CodeArray, apart: BoolArray) -> FloatArray:
    r"""Find the share that is kept of each contrast between batches, the one of which least is kept first.

    If all cells are alike, they tell of a contrast x by :math:`x^T (\mathrm{diag}(n) - n n^T / N) x`, with n the number
    of cells of each batch; if only cells of a state are compared, by the sum of that over states. Contrasts of which
    both tell independently keep

    .. math:: 1 - \rho_i^2, \qquad \rho_i^2 = \lambda_i\Big(\sum_s \frac{m_s m_s^T}{\sum_k n_{sk}}\Big), \quad
              m_{sk} = n_{sk} / \sqrt{n_k}

    with :math:`\lambda_i` the spectrum without its largest value, which is 1: :math:`\rho` are the canonical
    correlations of state and batch (as in correspondence analysis: Greenacre 1984). All is kept if states have batches
    in the same shares, little of a contrast between batches of other types of cells, and nothing of one between batches
    that share no state.

    Parameters
    ----------
    state, batch
        State and batch of each cell, (n_cells,).
    apart
        (n_states, n_batches) batches whose cells are not compared with the others of a state.

    Returns
    -------
    (n_batches - 1,), 0 to 1, ascending; of batches with cells
    """
    cells = np.zeros(apart.shape)
    np.add.at(cells, (state, batch), 1)
    of_batch = cells.sum(axis=0)
    there = of_batch > 0
    cells, apart, root = cells[:, there], apart[:, there], np.sqrt(of_batch[there])
    compared = np.where(apart, 0.0, cells)
    among = compared / np.sqrt(np.maximum(compared.sum(axis=1, keepdims=True), 1)) / root
    alone = np.where(apart, cells, 0.0).sum(axis=0) / root**2
    whole = root / np.linalg.norm(root)
    correlations = np.linalg.eigvalsh(among.T @ among + np.diag(alone) - 2 * np.outer(whole, whole))
    kept: FloatArray = np.clip(1 - correlations[:0:-1], 0.0, 1.0)
    return kept
