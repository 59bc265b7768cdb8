"""Batch effects from counts grouped by state and batch: a log-linear model with a learned prior on the effects."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import BoolArray, FloatArray
from unbatch.core.dispersion import squeeze
from unbatch.core.effects import Effects
from unbatch.core.state_table import StateTable

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
