"""Fitted effects with their evidence, and what can be done with them: choosing, joining, widening."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.correlation import Correlation
from unbatch.core.parallel import in_ranges

_TINY = 1e-300
_SHARP = 1 / 3
"""Error over the width of the prior, up to which the prior does not dominate."""
_FEWEST_SHARP = 200
_GENES = 1024
"""Genes averaged in one go of a thread."""


@dataclass(frozen=True, eq=False)
class Effects:
    """Result of `fit_effects`.

    Attributes
    ----------
    log_delta
        (n_genes, n_batches) posterior mode; its expression-weighted median over genes is about 0 in each batch.
    se
        (n_genes, n_batches) posterior standard deviation of log_delta less its mean over the batches that measured the
        gene.
    prior_sd
        (n_batches,) learned standard deviation tau of log delta over genes.
    width
        (n_genes, n_batches) standard deviation of the prior of each effect, near tau where all are alike.
    correlation
        Learned correlation of the effects of a gene in different batches, 0 where none shows.
    scale
        (n_batches,) factor of each batch common to all genes, which size factors do not hold and log_delta does not
        either.
    dispersion
        (n_genes,) factor phi by which the variance exceeds that of Poisson counts, at least 1.
    rate
        (n_genes, n_states) batch-free expression mu, counts per unit of size factor.
    exposure
        (n_genes, n_states) size factors behind `rate`, each times the effects of its batch: counts over rate.
    state_residual
        (n_states, n_batches) mean over genes of the squared Pearson residual of the summed counts; near 1 if the model
        holds, large where a state is affected by the batch in its own way or was matched wrongly; 0 where unknown.
    gene_residual
        (n_genes,) the same by gene, over its degrees of freedom.
    objective
        Log-posterior, up to terms of the data alone.
    """

    log_delta: FloatArray
    se: FloatArray
    prior_sd: FloatArray
    width: FloatArray
    correlation: Correlation
    scale: FloatArray
    dispersion: FloatArray
    rate: FloatArray
    exposure: FloatArray
    state_residual: FloatArray
    gene_residual: FloatArray
    objective: float

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the batches, (n_batches,)."""
        if chosen.all():
            return self
        return replace(
            self,
            log_delta=self.log_delta[:, chosen],
            se=self.se[:, chosen],
            prior_sd=self.prior_sd[chosen],
            width=self.width[:, chosen],
            correlation=self.correlation.of_batches(chosen),
            scale=self.scale[chosen],
            state_residual=self.state_residual[:, chosen],
        )

    def of_genes(self, chosen: IntArray) -> Self:
        """Keep some of the genes, (n_chosen,)."""
        return replace(
            self,
            log_delta=self.log_delta[chosen],
            se=self.se[chosen],
            width=self.width[chosen],
            dispersion=self.dispersion[chosen],
            rate=self.rate[chosen],
            exposure=self.exposure[chosen],
            gene_residual=self.gene_residual[chosen],
        )

    def among(self, chosen: BoolArray) -> Self:
        """Give these effects their places among all batches.

        Others get log delta 0, se inf, prior 0, no correlation and scale 1.
        """
        if chosen.all():
            return self
        shape = (len(self.log_delta), len(chosen))
        log_delta, se = np.zeros(shape), np.full(shape, np.inf)
        prior_sd, width, scale = np.zeros(len(chosen)), np.zeros(shape), np.ones(len(chosen))
        residual = np.zeros((len(self.state_residual), len(chosen)))
        if chosen.any():
            log_delta[:, chosen], se[:, chosen], residual[:, chosen] = self.log_delta, self.se, self.state_residual
            prior_sd[chosen], width[:, chosen], scale[chosen] = self.prior_sd, self.width, self.scale
        return replace(
            self,
            log_delta=log_delta,
            se=se,
            prior_sd=prior_sd,
            width=width,
            correlation=self.correlation.among(chosen) if chosen.any() else Correlation.none(len(chosen)),
            scale=scale,
            state_residual=residual,
        )

    def centred(self, known: BoolArray) -> Self:
        """Give each gene's log effects mean 0 over the batches that measured it, (n_genes, n_batches).

        The factor that the effects lose the rates take over, so that they expect the same counts.
        """
        mean = (self.log_delta * known).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
        return replace(
            self,
            log_delta=np.where(known, self.log_delta - mean, 0.0),
            rate=self.rate * np.exp(mean),
            exposure=self.exposure * np.exp(-mean),
        )

    def joined(self, other: Self, batches: BoolArray) -> Self:
        """Put in the effects of other batches, fitted by themselves.

        Residuals of genes are those of the group that was put in first, and so are the rates of states that both have.
        """
        placed = other.among(batches)
        first, taken = not np.isfinite(self.se).any(), (self.exposure > 0).any(axis=0)
        return replace(
            placed if first else self,
            log_delta=np.where(batches, placed.log_delta, self.log_delta),
            se=np.where(batches, placed.se, self.se),
            prior_sd=np.where(batches, placed.prior_sd, self.prior_sd),
            width=np.where(batches, placed.width, self.width),
            correlation=self.correlation.joined(placed.correlation, batches),
            scale=np.where(batches, placed.scale, self.scale),
            state_residual=np.where(batches, placed.state_residual, self.state_residual),
            rate=placed.rate if first else np.where(taken, self.rate, placed.rate),
            exposure=placed.exposure if first else np.where(taken, self.exposure, placed.exposure),
        )

    def averaged(self, others: Sequence[FloatArray], *, genes: BoolArray) -> Self:
        r"""Average with log effects by other partitions of the same cells, and widen the errors by how far they differ.

        .. math:: \mathrm{se} \leftarrow \mathrm{se} \sqrt{1 + r}, \qquad
                  r = \mathrm{mean}_{gk}\; \mathrm{var}(b_{gk}) / \mathrm{se}_{gk}^2

        over effects on the genes given that the prior does not dominate, or the 200 that it dominates least if those
        are fewer; the variance is that between the fits. One factor for all: a few fits do not tell it gene by gene,
        nor do a few effects.
        """
        if not others:
            return self
        mean, between = np.empty_like(self.log_delta), np.empty_like(self.log_delta)

        def some(first: int, stop: int) -> None:
            fits = np.stack([fit[first:stop] for fit in (self.log_delta, *others)])
            fits.mean(axis=0, out=mean[first:stop])
            fits.var(axis=0, ddof=1, out=between[first:stop])

        in_ranges(some, len(mean), step=_GENES)
        sharp = self._sharpest(genes)
        extra = float(np.mean(between[sharp] / self.se[sharp] ** 2)) if sharp.any() else 0.0
        return replace(self, log_delta=mean, se=self.se * np.sqrt(1 + extra))

    def _sharpest(self, genes: BoolArray) -> BoolArray:
        """Tell which effects counts say most about, (n_genes, n_batches)."""
        known = genes[:, None] & (self.se > 0) & np.isfinite(self.se)
        share = np.where(known, self.se / self.prior_sd, np.inf)
        fewest = min(_FEWEST_SHARP, int(known.sum()))
        bound = _SHARP if fewest == 0 else max(_SHARP, float(np.partition(share.ravel(), fewest - 1)[fewest - 1]))
        return np.asarray(known & (share <= bound))
