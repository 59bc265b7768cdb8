"""How alike batches are in their effects: what one batch does to a gene tells what a batch like it does."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, FloatArray
from unbatch.core.kernels.newton import sum_posteriors
from unbatch.core.parallel import in_ranges

MANY_BATCHES = 64
"""Batches beyond which what they have in common is that of few factors: see `Correlation`."""
_ROUNDS = 20
_INDEPENDENT = 50.0
"""Genes that were seen beforehand whose effects in different batches had nothing to do with each other."""
_GENES = 64
"""Genes summed in one go by a thread."""
_MOST_COMMON = 0.99
_LEAST_VARIANCE = 0.01
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Correlation:
    r"""Correlation R of the effects of a gene in different batches.

    Where batches are many it is that of few factors, whose inverse takes as many numbers:

    .. math:: R = \mathrm{diag}(1 - h^2) + L L^T, \qquad h_k^2 = \textstyle\sum_f L_{kf}^2

    Attributes
    ----------
    matrix
        R, (n_batches, n_batches).
    loadings
        L, (n_batches, n_factors), if R is known as such.
    """

    matrix: FloatArray
    loadings: FloatArray | None = None

    @classmethod
    def none(cls, n_batches: int) -> Self:
        """Give that of effects which have nothing to do with each other."""
        return cls.of_loadings(np.zeros((n_batches, 0))) if n_batches > MANY_BATCHES else cls(np.eye(n_batches))

    @classmethod
    def of_loadings(cls, loadings: FloatArray) -> Self:
        """Give that of factors, with loadings (n_batches, n_factors)."""
        matrix = loadings @ loadings.T
        np.fill_diagonal(matrix, 1.0)
        return cls(matrix, loadings)

    def inverse(self) -> tuple[FloatArray, FloatArray]:
        """Invert R where batches are many: diag(unique) - common' common, (n_batches,) and (n_factors, n_batches)."""
        assert self.loadings is not None
        unique = 1 / (1 - np.square(self.loadings).sum(axis=1))
        weighted = self.loadings * unique[:, None]
        inner = np.eye(weighted.shape[1]) + self.loadings.T @ weighted
        return unique, np.linalg.solve(np.linalg.cholesky(inner), weighted.T)

    def penalty(self, effects: FloatArray) -> float:
        """Log-density that the prior takes off, of effects over their widths, (n_genes, n_batches)."""
        if self.loadings is None:
            return float((effects @ np.linalg.inv(self.matrix) * effects).sum()) / 2
        unique, common = self.inverse()
        return float((effects**2 @ unique).sum() - np.square(effects @ common.T).sum()) / 2

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the batches, (n_batches,)."""
        return type(self)(self.matrix[np.ix_(chosen, chosen)])

    def among(self, chosen: BoolArray) -> Self:
        """Give these batches their places among all: others are correlated with none."""
        matrix = np.eye(len(chosen))
        matrix[np.ix_(chosen, chosen)] = self.matrix
        return type(self)(matrix)

    def joined(self, other: Self, batches: BoolArray) -> Self:
        """Take some batches from another one, (n_batches,)."""
        return type(self)(np.where(np.outer(batches, batches), other.matrix, self.matrix))


def find_correlation(curvature: FloatArray, pull: FloatArray) -> FloatArray:
    r"""Learn by how much effects of the same gene in different batches are correlated, from the counts of many genes.

    .. math:: b_g \sim \mathcal N(0,\; R), \qquad R_{kk} = 1

    for effects in units of their standard deviation in each batch. By expectation maximisation from R = I: the mean
    over genes of the second moments of :math:`b_g`, given their counts, scaled to ones on the diagonal. Counts tell
    only differences between batches. Of these a correlation r that all pairs have in common changes nothing but the
    size, :math:`\mathrm{Var}(b_k - b_m) = 2 (1 - r)`, and that is known already. So the mean correlation is taken off,

    .. math:: R \leftarrow (R - \bar r 1 1^T) / (1 - \bar r), \qquad
              \bar r = \textstyle\sum_{k \ne m} n_{km} R_{km} / \sum_{k \ne m} n_{km},

    and then what chance gives, as by Ledoit and Wolf (2004, J. Multivariate Anal. 88:365-411):

    .. math:: R \leftarrow (1 - a) R + a I, \qquad
              a = \min\Big(1,\; \frac{\sum_{k \ne m} n_{km} v_{km}}{\sum_{k \ne m} n_{km} R_{km}^2}\Big), \qquad
              n_{km} = \sum_g f_{gk} f_{gm}, \quad v_{km} = \frac{n_{km}}{(n_{km} + 50)^2 (1 - \bar r)^2}

    with f the share of the prior's variance that counts take away, n the genes that tell of a pair of batches and v the
    variance that chance gives its correlation, so that data which show none have none. As if 50 genes with independent
    effects had been seen before, a pair of which nothing is told has none either.

    Parameters
    ----------
    curvature
        Curvature of the log-likelihood of the effects of each gene, (n_genes, n_batches, n_batches).
    pull
        What it times the most likely effects would be, (n_genes, n_batches).

    Returns
    -------
    R, (n_batches, n_batches), positive definite
    """
    n_genes, n_batches = pull.shape
    alone = np.eye(n_batches)
    others = alone == 0
    if not (n_genes and others.any()):
        return alone
    correlation, told = alone, np.zeros(pull.shape)
    for _ in range(_ROUNDS):
        moments = _second_moments(curvature, pull, correlation, told) + _INDEPENDENT * alone
        size = np.sqrt(np.diag(moments))
        correlation = moments / np.outer(size, size)
    told = np.maximum(told, 0.0)
    n_told = (told.T @ told)[others]
    common = min(float((n_told * correlation[others]).sum() / max(n_told.sum(), _TINY)), _MOST_COMMON)
    correlation = _positive((correlation - common) / (1 - common))
    chance = (n_told / ((n_told + _INDEPENDENT) * (1 - common))) ** 2
    seen = n_told * correlation[others] ** 2
    share = min(1.0, float(chance.sum() / max(seen.sum(), _TINY)))
    correlation += share * (alone - correlation)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _positive(matrix: FloatArray) -> FloatArray:
    """Lift what lies below a hundredth in the spectrum of a correlation matrix."""
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < _LEAST_VARIANCE:
        matrix = (vectors * np.maximum(values, _LEAST_VARIANCE)) @ vectors.T
        size = np.sqrt(np.diag(matrix))
        matrix /= np.outer(size, size)
    return matrix


def _second_moments(curvature: FloatArray, pull: FloatArray, correlation: FloatArray, told: FloatArray) -> FloatArray:
    """Sum over genes the second moments of effects, given their counts; writes `told`."""
    n_genes, n = pull.shape
    sums, coupling = np.zeros((-(-n_genes // _GENES), n, n)), np.linalg.inv(correlation)

    def some(first: int, stop: int) -> None:
        genes = slice(first, stop)
        sum_posteriors(
            curvature[genes],
            pull[genes],
            coupling,
            np.empty(n),
            np.empty((n, n)),
            np.empty((n, n)),
            sums[first // _GENES],
            told[genes],
        )

    in_ranges(some, n_genes, step=_GENES)
    return np.asarray(sums.sum(axis=0))
