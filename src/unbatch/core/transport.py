"""Optimal transport that may leave mass behind: which states of a batch have counterparts, and which."""

import numpy as np

from unbatch._types import FloatArray
from unbatch.core.kernels.transport import scale_in_turn

_STEPS, _SETTLED = 500, 1e-9


def transport(
    cost: FloatArray, rows: FloatArray, columns: FloatArray, *, smoothing: float, give_up: float
) -> FloatArray:
    r"""Find how much mass of each row goes to each column.

    .. math:: \min_{T \ge 0} \sum_{ij} T_{ij} C_{ij} + \epsilon\, \mathrm{KL}(T \mid a b^\top)
              + \lambda\, \mathrm{KL}(T 1 \mid a) + \lambda\, \mathrm{KL}(T^\top 1 \mid b)

    Marginals are wished for, not enforced: mass without a counterpart that is near and free stays where it is. Solved
    by scaling rows and columns in turn (Chizat et al. 2018, Mathematics of Computation 87, 2563-2609).

    Parameters
    ----------
    cost
        C, (n_rows, n_columns), not negative.
    rows, columns
        Mass a, (n_rows,), and b, (n_columns,): positive.
    smoothing
        :math:`\epsilon`, in units of cost. Larger values spread the mass of a row over more columns.
    give_up
        :math:`\lambda`, in units of cost: mass stays behind where moving it costs more than about twice this. Larger
        values match what is farther apart.

    Returns
    -------
    T, (n_rows, n_columns).
    """
    power = give_up / (give_up + smoothing)
    kernel = np.outer(rows, columns) * np.exp(-cost / smoothing)
    left, right = np.ones(len(rows)), np.ones(len(columns))
    scale_in_turn(kernel, rows, columns, power, left, right, _STEPS, _SETTLED)
    return np.asarray(left[:, None] * kernel * right)
