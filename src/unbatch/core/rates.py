"""What a finished fit tells of the rates of its states, for batches that are compared with it."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.contrasts import quasi_variances

_TINY = 1e-300


@dataclass(frozen=True, eq=False, kw_only=True)
class Rates:
    """Rates of the states of a reference, and what they rest on.

    Attributes
    ----------
    rate
        (n_genes, n_states) mu, counts per unit of size factor.
    exposure
        (n_genes, n_states) summed counts of the reference over mu.
    dispersion
        (n_genes,) variance over that of Poisson counts, at least 1.
    log_delta
        (n_genes, n_batches) effects of the batches of the reference, on the same footing; 0 where unknown.
    se
        (n_genes, n_batches) standard error of the reference's log delta less its mean over batches; inf where unknown.
    sizes
        (n_states, n_batches) summed size factors by batch of the reference.
    relative_to
        Column of the batch to which effects are relative; -1 for the mean over batches.
    """

    rate: FloatArray
    exposure: FloatArray
    dispersion: FloatArray
    log_delta: FloatArray
    se: FloatArray
    sizes: FloatArray
    relative_to: int = -1

    @property
    def known(self) -> BoolArray:
        """Genes with anything to be relative to, (n_genes,)."""
        finite = np.isfinite(self.se)
        return np.asarray(finite.any(axis=1) if self.relative_to < 0 else finite[:, self.relative_to])

    def of_genes(self, rows: IntArray) -> Self:
        """Choose genes, (n_chosen,) rows; a negative one stands for a gene that the reference lacks."""
        there = rows >= 0
        return type(self)(
            rate=np.where(there[:, None], self.rate[rows], 0.0),
            exposure=np.where(there[:, None], self.exposure[rows], 0.0),
            dispersion=np.where(there, self.dispersion[rows], 1.0),
            log_delta=np.where(there[:, None], self.log_delta[rows], 0.0),
            se=np.where(there[:, None], self.se[rows], np.inf),
            sizes=self.sizes,
            relative_to=self.relative_to,
        )

    def variances(self, weight: FloatArray) -> FloatArray:
        r"""Variance of the mean of log mu over states that comes from the errors of the reference's own effects.

        A state in which one batch has most cells has its rate by that batch, and with the error of its effect. With the
        share :math:`v_k` of batch k in the weighted mean, and quasi-variances u, it is
        :math:`\sum_k u_k (v_k - 1/K)^2`, or :math:`\sum_k u_k (v_k - [k = r])^2` relative to batch r.

        Parameters
        ----------
        weight
            (n_genes, n_states) weights of the states, not negative.

        Returns
        -------
        (n_genes,)
        """
        finite = np.isfinite(self.se)
        share = self.sizes / np.maximum(self.sizes.sum(axis=1, keepdims=True), _TINY)
        of_batch = np.where(finite, weight @ share, 0.0)
        of_batch = of_batch / np.maximum(of_batch.sum(axis=1, keepdims=True), _TINY)
        if self.relative_to < 0:
            target = finite / np.maximum(finite.sum(axis=1, keepdims=True), 1)
        else:
            target = (np.arange(finite.shape[1]) == self.relative_to) & finite
        several = finite.sum(axis=1) > 1
        parts = np.where(finite & several[:, None], quasi_variances(np.where(several[:, None], self.se, np.inf)), 0.0)
        return np.asarray((np.maximum(parts, 0.0) * (of_batch - target) ** 2).sum(axis=1))
