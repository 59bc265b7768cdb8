"""Batch effects from counts grouped by state and batch: a log-linear model with a learned prior on the effects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray

_CHUNK = 2_000_000
"""Numbers of one temporary array: genes are fitted in chunks of this size over (states x batches)."""
_TINY = 1e-300
_MAX_STEP = 1.0
_NEWTON_STEPS = 50
_NEWTON_TOL = 1e-6
_PRIOR_ROUNDS = 12
_PRIOR_TOL = 1e-3
_START_SD = 0.5
_LEAST_SD, _MOST_SD = 1e-4, 3.0
_LEAST_SHARE = 1e-3
_ENOUGH_EXPECTED = 3.0
_LEAST_FREEDOM, _MOST_FREEDOM = 1.0, 1e6
_LEAST_SPREAD = 1e-6
_MEDIAN_CHI2 = 0.45494


@dataclass(frozen=True, eq=False)
class StateTable:
    """Counts and size factors summed over the cells of each state and batch.

    Attributes
    ----------
    counts
        (n_genes, n_states, n_batches) summed counts Y.
    squares
        (n_genes, n_states, n_batches) sum over cells of ``Y_gj^2 / l_j``, from which the dispersion follows.
    exposure
        (n_states, n_batches) summed size factors l of the cells.
    cells
        (n_states, n_batches) number of cells.
    """

    counts: FloatArray
    squares: FloatArray
    exposure: FloatArray
    cells: FloatArray

    @classmethod
    def of(
        cls, counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray, shape: tuple[int, int]
    ) -> Self:
        """Sum cells by state and batch.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        state, batch
            State and batch of each cell, (n_cells,).
        size
            Size factor of each cell, (n_cells,), positive.
        shape
            Number of states and of batches.

        Returns
        -------
        StateTable
        """
        n_cells, n_groups = len(batch), shape[0] * shape[1]
        group = state.astype(np.int64) * shape[1] + batch
        members = sparse.csr_array((np.ones(n_cells), (group, np.arange(n_cells))), shape=(n_groups, n_cells))
        squares = sparse.csr_array(
            (counts.data.astype(np.float64) ** 2, counts.indices, counts.indptr), shape=counts.shape
        )
        over_size = sparse.csr_array((1 / size[members.indices], members.indices, members.indptr), shape=members.shape)
        return cls(
            counts=_by_gene(members @ counts.astype(np.float64), shape),
            squares=_by_gene(over_size @ squares, shape),
            exposure=np.bincount(group, size, n_groups).reshape(shape).astype(np.float64),
            cells=np.bincount(group, minlength=n_groups).reshape(shape).astype(np.float64),
        )

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the batches, (n_batches,)."""
        if chosen.all():
            return self
        return type(self)(
            self.counts[:, :, chosen], self.squares[:, :, chosen], self.exposure[:, chosen], self.cells[:, chosen]
        )


def _by_gene(sums: Counts, shape: tuple[int, int]) -> FloatArray:
    dense = np.asarray(sums.todense(), dtype=np.float64)
    result: FloatArray = np.ascontiguousarray(dense.T).reshape(-1, *shape)
    return result


@dataclass(frozen=True, eq=False)
class Effects:
    """Result of `fit_effects`.

    Attributes
    ----------
    log_delta
        (n_genes, n_batches) posterior mode; its median over genes is 0 in each batch.
    se
        (n_genes, n_batches) posterior standard deviation of log_delta less its mean over the batches that measured the
        gene.
    prior_sd
        (n_batches,) learned standard deviation tau of log delta over genes.
    dispersion
        (n_genes,) factor phi by which the variance exceeds that of Poisson counts, at least 1.
    rate
        (n_genes, n_states) batch-free expression mu, counts per unit of size factor.
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
    dispersion: FloatArray
    rate: FloatArray
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
            state_residual=self.state_residual[:, chosen],
        )

    def among(self, chosen: BoolArray) -> Self:
        """Give these effects their places among all batches; the others get log delta 0, se inf and prior_sd 0."""
        if chosen.all():
            return self
        shape = (len(self.log_delta), len(chosen))
        log_delta, se, prior_sd = np.zeros(shape), np.full(shape, np.inf), np.zeros(len(chosen))
        if chosen.any():
            log_delta[:, chosen], se[:, chosen], prior_sd[chosen] = self.log_delta, self.se, self.prior_sd
        residual = np.zeros((len(self.state_residual), len(chosen)))
        if chosen.any():
            residual[:, chosen] = self.state_residual
        return replace(self, log_delta=log_delta, se=se, prior_sd=prior_sd, state_residual=residual)

    def joined(self, other: Self, batches: BoolArray) -> Self:
        """Put in the effects of other batches, fitted by themselves and centred over them.

        Rates and residuals of genes are those of the group that was put in first.
        """
        centred = replace(other, log_delta=_centred(other.log_delta))
        placed = centred.among(batches)
        first = not np.isfinite(self.se).any()
        return replace(
            placed if first else self,
            log_delta=np.where(batches, placed.log_delta, self.log_delta),
            se=np.where(batches, placed.se, self.se),
            prior_sd=np.where(batches, placed.prior_sd, self.prior_sd),
            state_residual=np.where(batches, placed.state_residual, self.state_residual),
        )

    def widened(self, halves: Sequence[Self], *, genes: BoolArray) -> Self:
        r"""Widen the standard errors so that they explain how far two fits to separate halves of the cells differ.

        .. math:: \mathrm{se} \leftarrow \mathrm{se} \sqrt{\max(1, \mathrm{median}\, z^2 / 0.455)}, \qquad
                  z = (b^{(1)} - b^{(2)}) / \sqrt{\mathrm{se}_1^2 + \mathrm{se}_2^2}

        where 0.455 is the median of a squared standard normal. One factor for all effects; genes that the prior
        dominates are left out.
        """
        first, second = halves
        sharp = genes[:, None] & (self.se < self.prior_sd / 3)
        if not sharp.any():
            return self
        difference = _centred(first.log_delta) - _centred(second.log_delta)
        z2 = difference**2 / np.maximum(first.se**2 + second.se**2, _TINY)
        factor = np.sqrt(max(1.0, float(np.median(z2[sharp])) / _MEDIAN_CHI2))
        return replace(self, se=self.se * factor)


def fit_effects(table: StateTable, *, composition: FloatArray | None = None, start: Effects | None = None) -> Effects:
    r"""Fit batch effects shared by all states, and learn how large they are.

    .. math:: Y_{gsk} \sim \mathrm{quasiPoisson}(\mu_{gs} E_{sk} c_{gsk} \delta_{gk}, \phi_g), \qquad
              \log \delta_{gk} \sim \mathcal N(0, \tau_k^2).

    Given delta, the best rate is :math:`\mu_{gs} = Y_{gs\cdot} / \sum_k E_{sk} c_{gsk} \delta_{gk}`; with it the model
    is one of shares, :math:`Y_{gsk} \mid Y_{gs\cdot}` multinomial, in which a state that only one batch has says
    nothing. Newton's method runs over the few log delta of each gene. The prior's width tau is learned from all genes
    (MacKay's fixed point, so that data without batch effects shrink to nothing), the dispersion phi from the
    Pearson residuals of the cells.

    Parameters
    ----------
    table
        Sums by state and batch.
    composition
        Gene-specific factor c on the exposure, (n_genes, n_states, n_batches); 0 where a batch did not measure a gene.
        All ones by default.
    start
        An earlier fit to begin from.

    Returns
    -------
    Effects
    """
    n_genes, n_states, n_batches = table.counts.shape
    log_delta = np.zeros((n_genes, n_batches)) if start is None else start.log_delta
    prior_sd = np.full(n_batches, _START_SD) if start is None else np.maximum(start.prior_sd, _START_SD / 10)
    dispersion = np.ones(n_genes) if start is None else start.dispersion
    shift = np.zeros(n_batches)
    chunks = _chunks(n_genes, n_states * n_batches)
    totals = table.counts.sum(axis=(1, 2))
    for _ in range(_PRIOR_ROUNDS):
        solver = _Solver(table, composition, np.exp(shift), prior_sd)
        parts = [solver.solve(genes, log_delta[genes], dispersion[genes]) for genes in chunks]
        log_delta = np.concatenate([part[0] for part in parts])
        variance = np.concatenate([part[1] for part in parts])
        residuals = _residuals(solver, log_delta, chunks)
        dispersion = residuals.of_cells
        centre = _weighted_medians(log_delta, totals)
        log_delta, shift = log_delta - centre, shift + centre
        previous, prior_sd = prior_sd, _prior_sd(log_delta, variance, prior_sd)
        if np.abs(np.log(prior_sd / previous)).max() < _PRIOR_TOL:
            break
    solver = _Solver(table, composition, np.exp(shift), prior_sd)
    parts = [solver.solve(genes, log_delta[genes], dispersion[genes]) for genes in chunks]
    log_delta = np.concatenate([part[0] for part in parts])
    return Effects(
        log_delta=log_delta,
        se=np.concatenate(
            [solver.standard_error(genes, log_delta[genes], residuals.of_states[genes]) for genes in chunks]
        ),
        prior_sd=prior_sd,
        dispersion=dispersion,
        rate=np.concatenate([solver.rate(genes, log_delta[genes]) for genes in chunks]),
        state_residual=residuals.by_state,
        gene_residual=residuals.by_gene,
        objective=float(sum(solver.objective(genes, log_delta[genes], dispersion[genes]) for genes in chunks)),
    )


@dataclass(frozen=True, eq=False)
class _Residuals:
    of_cells: FloatArray
    of_states: FloatArray
    by_state: FloatArray
    by_gene: FloatArray


def _residuals(solver: "_Solver", log_delta: FloatArray, chunks: list[slice]) -> _Residuals:
    """Find each gene's dispersion: that of cells around their state, and with that of states around the model."""
    cells = solver.table.cells
    known = np.concatenate([solver.known(genes) for genes in chunks]).astype(np.float64)
    n_states = (known @ (cells > 0).T > 0).sum(axis=1)
    freedom = np.maximum(known @ cells.sum(axis=0) - n_states - known.sum(axis=1) + 1, 1.0)
    of_cells = np.maximum(np.concatenate([solver.pearson(genes, log_delta[genes]) for genes in chunks]) / freedom, 1.0)
    chi2, free = np.zeros(len(log_delta)), np.zeros(len(log_delta))
    state_chi2, state_free = np.zeros(cells.shape), np.zeros(cells.shape)
    for genes in chunks:
        squares, freedoms = solver.state_pearson(genes, log_delta[genes], of_cells[genes])
        chi2[genes] = squares.sum(axis=(1, 2))
        free[genes] = np.maximum(freedoms.sum(axis=(1, 2)) - (known[genes].sum(axis=1) - 1), 0.0)
        state_chi2 += squares.sum(axis=0)
        state_free += freedoms.sum(axis=0)
    by_gene: FloatArray = chi2 / np.maximum(free, 1.0)
    return _Residuals(
        of_cells=of_cells,
        of_states=of_cells * np.maximum(squeeze(by_gene, free), 1.0),
        by_state=state_chi2 / np.maximum(state_free, 1.0),
        by_gene=by_gene,
    )


def squeeze(ratio: FloatArray, freedom: FloatArray) -> FloatArray:
    r"""Draw noisy variance ratios of genes towards their common value, the less so the more they are known.

    .. math:: \hat\lambda_g = (d_0 \lambda_0 + d_g \lambda_g) / (d_0 + d_g)

    with the weighted mean :math:`\lambda_0` and prior degrees of freedom :math:`d_0` from the spread of the ratios
    beyond that of a chi-square, in the manner of Smyth (2004, Stat. Appl. Genet. Mol. Biol. 3:3).

    Parameters
    ----------
    ratio
        Estimates, (n_genes,).
    freedom
        Their degrees of freedom, (n_genes,); 0 where there is no estimate.

    Returns
    -------
    (n_genes,)
    """
    known = freedom >= _LEAST_FREEDOM
    if not known.any():
        return np.ones_like(ratio)
    weight, values = freedom[known], ratio[known]
    common = float(np.average(values, weights=weight))
    spread = float(np.average((values / max(common, _TINY) - 1) ** 2, weights=weight))
    between = spread - float(np.average(2 / weight, weights=weight))
    prior_freedom = 2 / between if between > _LEAST_SPREAD else _MOST_FREEDOM
    known_ratio = np.where(known, ratio, common)
    known_freedom = np.where(known, freedom, 0.0)
    return np.asarray((prior_freedom * common + known_freedom * known_ratio) / (prior_freedom + known_freedom))


def _centred(log_delta: FloatArray) -> FloatArray:
    return np.asarray(log_delta - log_delta.mean(axis=1, keepdims=True))


def _chunks(n_genes: int, per_gene: int) -> list[slice]:
    step = max(1, _CHUNK // max(per_gene, 1))
    return [slice(first, min(first + step, n_genes)) for first in range(0, n_genes, step)]


def _weighted_medians(values: FloatArray, weights: FloatArray) -> FloatArray:
    order = np.argsort(values, axis=0, kind="stable")
    cumulated = np.cumsum(weights[order], axis=0)
    middle = (cumulated < cumulated[-1] / 2).sum(axis=0)
    columns = np.arange(values.shape[1])
    medians: FloatArray = values[order[np.minimum(middle, len(values) - 1), columns], columns]
    return medians


def _prior_sd(log_delta: FloatArray, variance: FloatArray, prior_sd: FloatArray) -> FloatArray:
    """One step of MacKay's fixed point: squares over the number of effects that the data determine."""
    determined = np.maximum(1 - variance / prior_sd**2, 0).sum(axis=0)
    squares = (log_delta**2).sum(axis=0)
    step = np.sqrt(squares / np.maximum(determined, _LEAST_SHARE * len(log_delta)))
    return np.asarray(np.clip(step, _LEAST_SD, _MOST_SD))


@dataclass(frozen=True, eq=False)
class _Solver:
    """Newton's method for a chunk of genes, with everything but log delta held fixed."""

    table: StateTable
    composition: FloatArray | None
    batch_scale: FloatArray
    prior_sd: FloatArray

    def _exposure(self, genes: slice) -> FloatArray:
        exposure = (self.table.exposure * self.batch_scale)[None]
        return exposure if self.composition is None else exposure * self.composition[genes]

    def known(self, genes: slice) -> BoolArray:
        """Tell which batches measured the gene in any cell, (n_genes, n_batches)."""
        known = (self._exposure(genes) > 0).any(axis=1)
        return np.broadcast_to(known, (len(self.table.counts[genes]), known.shape[1]))

    def solve(self, genes: slice, log_delta: FloatArray, dispersion: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the posterior mode of log delta and its variance."""
        counts, exposure = self.table.counts[genes], self._exposure(genes)
        by_state, by_batch = counts.sum(axis=2), counts.sum(axis=1)
        precision = 1 / self.prior_sd**2
        for _ in range(_NEWTON_STEPS):
            expected, information = _shares(log_delta, by_state, exposure)
            gradient = (by_batch - expected) / dispersion[:, None] - log_delta * precision
            hessian = information / dispersion[:, None, None] + np.diag(precision)
            step = np.clip(np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0], -_MAX_STEP, _MAX_STEP)
            log_delta = log_delta + step
            if np.abs(step).max(initial=0) < _NEWTON_TOL:
                break
        own = np.arange(len(self.prior_sd))
        return log_delta, self._covariance(genes, log_delta, dispersion)[:, own, own]

    def standard_error(self, genes: slice, log_delta: FloatArray, dispersion: FloatArray) -> FloatArray:
        """Posterior standard deviation of log delta less its mean over the batches that measured the gene.

        (n_genes, n_batches)
        """
        covariance = self._covariance(genes, log_delta, dispersion)
        known = self.known(genes)
        share = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
        centred = covariance - np.einsum("gk,gkm->gm", share, covariance)[:, None, :]
        centred = centred - np.einsum("gkm,gm->gk", centred, share)[:, :, None]
        own = np.arange(len(self.prior_sd))
        return np.asarray(np.sqrt(np.maximum(centred[:, own, own], 0.0)))

    def _covariance(self, genes: slice, log_delta: FloatArray, dispersion: FloatArray) -> FloatArray:
        _, information = _shares(log_delta, self.table.counts[genes].sum(axis=2), self._exposure(genes))
        precision = information / dispersion[:, None, None] + np.diag(1 / self.prior_sd**2)
        return np.asarray(np.linalg.inv(precision), dtype=np.float64)

    def rate(self, genes: slice, log_delta: FloatArray) -> FloatArray:
        """Batch-free expression of each state, (n_genes, n_states)."""
        per_rate = (self._exposure(genes) * np.exp(log_delta)[:, None, :]).sum(axis=2)
        total = self.table.counts[genes].sum(axis=2)
        rate: FloatArray = np.divide(total, per_rate, out=np.zeros_like(total), where=per_rate > 0)
        return rate

    def pearson(self, genes: slice, log_delta: FloatArray) -> FloatArray:
        """Sum over cells of the squared Pearson residuals of each gene."""
        counts, exposure = self.table.counts[genes], self._exposure(genes)
        mean = self.rate(genes, log_delta)[:, :, None] * np.exp(log_delta)[:, None, :] * (exposure > 0)
        scale = exposure / np.maximum(self.table.exposure, _TINY)
        mean = mean * scale
        ratio = np.divide(self.table.squares[genes], mean, out=np.zeros_like(counts), where=mean > 0)
        chi2: FloatArray = (ratio - 2 * counts + self.table.exposure * mean).sum(axis=(1, 2))
        return chi2

    def state_pearson(
        self, genes: slice, log_delta: FloatArray, dispersion: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Squared Pearson residual of each gene, state and batch, and its expectation under the model."""
        counts = self.table.counts[genes]
        weight = self._exposure(genes) * np.exp(log_delta)[:, None, :]
        share = weight / np.maximum(weight.sum(axis=2, keepdims=True), _TINY)
        expected = counts.sum(axis=2, keepdims=True) * share
        enough = expected > _ENOUGH_EXPECTED
        variance = np.maximum(expected * dispersion[:, None, None], _TINY)
        return np.where(enough, (counts - expected) ** 2 / variance, 0.0), np.where(enough, 1 - share, 0.0)

    def objective(self, genes: slice, log_delta: FloatArray, dispersion: FloatArray) -> float:
        """Log-likelihood of the shares, over the dispersion, plus the log-prior."""
        weight = self._exposure(genes) * np.exp(log_delta)[:, None, :]
        share = weight / np.maximum(weight.sum(axis=2, keepdims=True), _TINY)
        likelihood = (self.table.counts[genes] * np.log(np.maximum(share, _TINY))).sum(axis=(1, 2)) / dispersion
        return float(likelihood.sum() - (log_delta**2 / (2 * self.prior_sd**2)).sum())


def _shares(log_delta: FloatArray, by_state: FloatArray, exposure: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the counts of each batch to be expected from those of the states, and their information matrix."""
    weight = exposure * np.exp(log_delta)[:, None, :]
    share = weight / np.maximum(weight.sum(axis=2, keepdims=True), _TINY)
    expected = by_state[:, :, None] * share
    information = -np.matmul(expected.transpose(0, 2, 1), share)
    by_batch = expected.sum(axis=1)
    own = np.arange(share.shape[2])
    information[:, own, own] += by_batch
    return by_batch, information
