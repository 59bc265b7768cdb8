"""What the effects of the batches of a reference tell of those of a new batch, before its own counts are looked at."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import FloatArray

_INDEPENDENT = 50.0
"""Genes that were seen beforehand whose effects had nothing to do with those of the reference."""
_LEAST_INFORMATION, _LEAST_SHARE = 1e-9, 1e-9
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class ExpectedEffects:
    """Means of the prior of the effects of a new batch.

    Attributes
    ----------
    mean
        (n_genes,) expected log effects; 0 where batches do not resemble each other.
    n_used
        Number of effects that the coefficients used up.
    """

    mean: FloatArray
    n_used: float = 0.0

    @classmethod
    def none(cls, n_genes: int) -> Self:
        """Expect nothing."""
        return cls(np.zeros(n_genes))

    def next(self, reference: FloatArray, log_delta: FloatArray, variance: FloatArray, prior_sd: float) -> Self:
        r"""Learn from all genes how the effects of a new batch go along with those of the batches of a reference.

        .. math:: b_g \sim \mathcal N\big(\textstyle\sum_k B_{gk} \beta_k,\; \tau^2\big), \qquad
                  \hat b_g \sim \mathcal N(b_g, \epsilon_g^2)

        beta is the posterior mean as if 50 genes with independent effects had been seen beforehand: with
        :math:`W = \mathrm{diag}(1 / (\tau^2 + \epsilon_g^2))`, :math:`M = B^T W B` and
        :math:`A = M + 50 \,\mathrm{diag}(M) / n`, of :math:`n = \mathrm{tr}(W)^2 / \mathrm{tr}(W^2)` genes,

        .. math:: \hat\beta = (1 - a) A^{-1} B^T W \hat b, \qquad
                  a = \min\Big(1,\; \frac{\mathrm{tr}(A^{-1} M)}{\hat b^T W B A^{-1} B^T W \hat b}\Big)

        so that what chance alone would give is taken off (as by James and Stein 1961): of a batch that resembles none
        no effects are expected.

        Parameters
        ----------
        reference
            Effects B of the batches of the reference, (n_genes, n_batches).
        log_delta, variance
            Posterior modes of the effects of the new batch and their variances, (n_genes,), with what was expected
            before. What they would be without a prior, and the error of that, follow.
        prior_sd
            Standard deviation tau of the prior around it.

        Returns
        -------
        ExpectedEffects
        """
        told = np.maximum(1 / np.maximum(variance, _TINY) - 1 / prior_sd**2, _LEAST_INFORMATION / prior_sd**2)
        observed = (log_delta / variance - self.mean / prior_sd**2) / told
        weight = told / (1 + told * prior_sd**2)
        square, along = reference.T @ (weight[:, None] * reference), reference.T @ (weight * observed)
        own = np.diag(square)
        there = own > _LEAST_SHARE * own.max(initial=0.0)
        if not there.any():
            return self.none(len(log_delta))
        square, along = square[np.ix_(there, there)], along[there]
        n_genes = weight.sum() ** 2 / (weight**2).sum()
        penalised = square + np.diag(own[there] * _INDEPENDENT / n_genes)
        slope = np.linalg.solve(penalised, along)
        chance = float(np.trace(np.linalg.solve(penalised, square)))
        kept = max(0.0, 1 - chance / max(float(along @ slope), _TINY))
        return type(self)(np.asarray(reference[:, there] @ (kept * slope)), kept * chance)
