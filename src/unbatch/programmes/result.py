"""What a factorisation leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from unbatch._types import Float32Array, FloatArray

_PRIOR_COUNTS = 20.0
HELD_OUT = ("n_factors", "deviance", "excess", "excess_se", "chosen")
"""Columns of the table of held-out deviances."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FactorFit:
    """Gene programmes, and the share of each in the counts of every cell."""

    proportions: Float32Array
    """Share of the adjusted counts of a cell that each factor makes, (n_cells, n_factors); rows sum to 1, and to 0 for
    a cell without counts."""
    beta: FloatArray
    """Share of the counts of a factor that each gene makes, (n_genes, n_factors); columns sum to 1."""
    counts: FloatArray
    """Adjusted counts of all cells that each factor makes, (n_factors,), falling."""
    deviance: FloatArray
    """Poisson deviance of the pseudobulks after every tenth update, (n_looks,)."""
    stop_reason: str
    """Why the updates ended: "converged" or "max_iter"."""
    unconverged: int
    """Cells whose log-likelihood may be more than the tolerance below its maximum."""
    held_out: pd.DataFrame
    """One row per number of factors that was tried: `HELD_OUT`; empty if only one was asked for."""
    n_pseudobulks: int
    """Groups of cells that were factorised."""
    parameters: Mapping[str, float | str | bool]
    """Every option that the result depends on, the seed included."""
    versions: Mapping[str, str]
    """Versions of the software that computed this."""

    @property
    def n_factors(self) -> int:
        """Number of factors."""
        return int(self.beta.shape[1])


def shrunken_lift(beta: FloatArray, counts: FloatArray) -> FloatArray:
    r"""Tell how many times more of a gene a factor has than the mean of all factors has, (n_genes, n_factors).

    .. math:: \frac{N_t \beta_{gt} + 20}{N_t \bar\beta_g + 20}, \qquad
              \bar\beta_g = \frac{\sum_t N_t \beta_{gt}}{\sum_t N_t}

    Twenty counts of the mean are added to the counts of each factor, so that a gene with a handful of them in all is
    not the first of every list.

    Parameters
    ----------
    beta
        (n_genes, n_factors) share of each gene in the counts of a factor.
    counts
        (n_factors,) N, the counts of each factor.
    """
    mean = (beta @ counts / counts.sum())[:, None]
    return np.asarray((counts * beta + _PRIOR_COUNTS) / (counts * mean + _PRIOR_COUNTS))
