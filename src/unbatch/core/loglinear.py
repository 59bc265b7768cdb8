"""Batch effects from counts grouped by state and batch: a log-linear model with a learned prior on the effects."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.correlation import MANY_BATCHES, Correlation, find_correlation
from unbatch.core.effects import Effects
from unbatch.core.loadings import find_loadings
from unbatch.core.parallel import in_ranges
from unbatch.core.plain import plain
from unbatch.core.posterior import SharedOut
from unbatch.core.prior import find_widths, unknown_width
from unbatch.core.sampled_table import AnyTable, SampledTable
from unbatch.core.scatter import Scatter, known_batches
from unbatch.core.state_table import StateCounts

_ALIKE = 3e-2
"""By how much a log effect may move for variances to be alike (some percent)."""
_PRIOR_ROUNDS = 12
_PRIOR_TOL = 1e-3
_START_SD = 0.5
_LEAST_SD, _MOST_SD = 1e-4, 3.0
_LEAST_SHARE = 1e-3
_TELLING, _NUMBERS = 1000, 8_000_000
"""Genes, those that counts tell most of, and numbers in memory by which the correlation of batches is learned."""
_GENES = 1024
"""Genes whose effects are centred in one go of a thread."""
_SAME_LEVEL = 1e-3
"""What all genes of a batch may differ by between fits to the same cells: less than any error of an effect."""


def fit_effects(
    table: AnyTable,
    *,
    kind: IntArray | None = None,
    composition: FloatArray | None = None,
    start: Effects | None = None,
    dispersion: FloatArray | None = None,
) -> Effects:
    r"""Fit batch effects shared by all states, and learn how large they are.

    .. math:: Y_{gsk} \sim \mathrm{quasiPoisson}(\mu_{gs} E_{sk} c_{gsk} \delta_{gk}, \phi_g), \qquad
              \log \delta_{g} \sim \mathcal N(0, W_g R W_g), \quad W_g = \mathrm{diag}(w_{g1}, \ldots, w_{gK}).

    Given delta, the best rate is :math:`\mu_{gs} = Y_{gs\cdot} / \sum_k E_{sk} c_{gsk} \delta_{gk}`; with it the model
    is one of shares, :math:`Y_{gsk} \mid Y_{gs\cdot}` multinomial, in which a state that only one batch has says
    nothing. Newton's method runs over the few log delta of each gene. The prior's width w is learned from all genes:
    first one for each batch, tau (MacKay's fixed point, so that data without batch effects shrink to nothing), and then
    one for each effect, since a batch may affect few genes much and most hardly: see `find_widths`. So are the
    correlations R of batches, since those that were made alike affect the same genes: see `find_correlation`, and
    `find_loadings` where there are many. The dispersion phi follows from the Pearson residuals of the cells.

    Parameters
    ----------
    table
        Sums by state and batch, or by each of them and by both for some batches.
    kind
        Which states are alike, (n_states,), 0 to n_kinds - 1: they may be affected alike, and then scatter together.
        By default all states scatter by themselves.
    composition
        Gene-specific factor c on the exposure, (n_genes or 1, n_states or 1, n_batches); 0 where a batch did not
        measure a gene. All ones by default.
    start
        An earlier fit to begin from.
    dispersion
        Dispersion phi of the cells, (n_genes,). By default it is found, for which sums need squares: a `StateTable`.

    Returns
    -------
    Effects
    """
    model = _model(table, composition, kind)
    found = _settle(model, start, dispersion)
    variance, prior_sd, dispersion, scale = found.variance, found.prior_sd, found.dispersion, np.exp(found.shift)
    part, those = model.sample
    residuals = part.residuals(found.centred[:, those], dispersion, scale[those])
    state_residual = np.zeros(table.exposure.shape)
    state_residual[:, those] = residuals.by_state
    excess = residuals.of_states / dispersion
    widths = find_widths(found.log_delta, variance, prior_sd, excess=excess, known=model.counted)
    correlation = _correlation(model, found)
    log_delta, _ = model.shared_out(dispersion, scale).modes(found.log_delta, widths.of_mode, correlation)
    log_delta = np.where(model.known, log_delta, 0.0)
    widest = np.hypot(widths.of_error, unknown_width(variance, prior_sd))
    rate, likelihood = model.rates(log_delta, scale)
    return Effects(
        log_delta=log_delta,
        se=model.shared_out(residuals.of_states, scale).standard_errors(
            log_delta, widest, correlation, known=model.known
        ),
        prior_sd=prior_sd,
        width=widths.of_mode,
        correlation=correlation,
        scale=scale,
        dispersion=dispersion,
        rate=rate,
        exposure=model.exposures(log_delta, scale),
        state_residual=state_residual,
        gene_residual=residuals.by_gene,
        objective=float((likelihood / dispersion).sum()) - correlation.penalty(log_delta / widths.of_mode),
    )


def fit_log_delta(table: AnyTable, like: Effects, *, composition: FloatArray | None = None) -> FloatArray:
    """Find log effects, (n_genes, n_batches), with what was learned from other sums over the same cells.

    Prior, dispersions and scales, which all genes or all cells tell, are those of ``like``, and there Newton's method
    begins. What all genes of a batch differ by from ``like``, since another composition changes scales, goes to the
    scales, from which it is done once more. The composition is as in `fit_effects`.
    """
    model = _model(table, composition)

    def modes(start: FloatArray, scale: FloatArray) -> FloatArray:
        found, _ = model.shared_out(like.dispersion, scale).modes(start, like.width, like.correlation, same=np.inf)
        return np.where(model.known, found, 0.0)

    log_delta = modes(like.log_delta, like.scale)
    level = _weighted_medians(log_delta - like.log_delta, model.weights)
    if np.abs(level).max() < _SAME_LEVEL:
        return log_delta
    return modes(log_delta - level, like.scale * np.exp(level))


def with_effects(found: Effects, known: Effects, table: AnyTable, *, composition: FloatArray | None = None) -> Effects:
    """Put effects that were found otherwise in the place of those of a fit to these sums: rates follow from them."""
    model = _model(table, composition)
    return replace(
        found,
        log_delta=known.log_delta,
        se=known.se,
        prior_sd=known.prior_sd,
        width=known.width,
        correlation=known.correlation,
        rate=model.rates(known.log_delta, found.scale)[0],
        exposure=model.exposures(known.log_delta, found.scale),
    )


def _model(table: AnyTable, composition: FloatArray | None, kind: IntArray | None = None) -> "_Model":
    factor = np.ones((1, 1, table.exposure.shape[1])) if composition is None else composition
    return _Model(table, plain(factor), kind)


@dataclass(frozen=True, eq=False)
class _Settled:
    """Modes and their variances, (n_genes, n_batches), with the prior and dispersions that they go with."""

    log_delta: FloatArray
    variance: FloatArray
    centred: FloatArray
    """Modes a step before, by which the dispersion was found."""
    prior_sd: FloatArray
    dispersion: FloatArray
    shift: FloatArray
    """Log scale of each batch, common to all genes."""


def _settle(model: "_Model", start: Effects | None, known: FloatArray | None) -> _Settled:
    """Fit effects, prior, scales, and the dispersion if it is not known, in turn until the prior stays."""
    n_genes, n_batches = model.by_batch.shape
    log_delta = np.zeros((n_genes, n_batches)) if start is None else start.log_delta
    prior_sd = np.full(n_batches, _START_SD) if start is None else np.maximum(start.prior_sd, _START_SD / 10)
    dispersion = known if known is not None else np.ones(n_genes) if start is None else start.dispersion
    shift = np.zeros(n_batches)
    for _ in range(_PRIOR_ROUNDS):
        log_delta, variance = model.shared_out(dispersion, np.exp(shift)).modes(log_delta, prior_sd, same=_ALIKE)
        if known is None:
            dispersion = model.sample[0].dispersion(log_delta, np.exp(shift))
        centre = _weighted_medians(log_delta, model.weights)
        log_delta, shift = _centred(log_delta, centre, model.counted), shift + centre
        previous, prior_sd = prior_sd, _prior_sd(log_delta, variance, prior_sd, model.counted)
        if np.abs(np.log(prior_sd / previous)).max() < _PRIOR_TOL:
            break
    modes, variance = model.shared_out(dispersion, np.exp(shift)).modes(log_delta, prior_sd, same=_ALIKE)
    return _Settled(modes, variance, log_delta, prior_sd, dispersion, shift)


def _correlation(model: "_Model", found: _Settled) -> Correlation:
    """Learn how alike batches are, from the genes that counts tell most of, or where batches are many from all."""
    n_batches = len(found.prior_sd)
    told = np.maximum(1 - found.variance / found.prior_sd**2, 0)
    counted = np.flatnonzero(model.counted.any(axis=1))
    if n_batches > MANY_BATCHES:
        return Correlation.of_loadings(find_loadings((found.log_delta / found.prior_sd)[counted], told[counted]))
    n_genes = min(_TELLING, _NUMBERS // n_batches**2)
    genes = np.sort(counted[np.argsort(-told[counted].sum(axis=1), kind="stable")[:n_genes]])
    curvature, pull = model.shared_out(found.dispersion, np.exp(found.shift)).information(genes, found.log_delta)
    return Correlation(find_correlation(curvature * np.outer(found.prior_sd, found.prior_sd), pull * found.prior_sd))


def _weighted_medians(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Take the median of each column: the value at which half of its weight is reached."""
    medians = np.zeros(values.shape[1])

    def one(k: int, _: int) -> None:
        column = np.ascontiguousarray(values[:, k])
        order = np.argsort(column)
        cumulated = np.cumsum(weights[order, k])
        middle = int(np.searchsorted(cumulated, cumulated[-1] / 2))
        medians[k] = column[order[min(middle, len(column) - 1)]]

    in_ranges(one, len(medians), step=1)
    return medians


def _centred(log_delta: FloatArray, centre: FloatArray, counted: BoolArray) -> FloatArray:
    """Take a number for each batch off the effects that are counted, and make the others 0."""
    centred = np.empty_like(log_delta)

    def some(first: int, stop: int) -> None:
        centred[first:stop] = np.where(counted[first:stop], log_delta[first:stop] - centre, 0.0)

    in_ranges(some, len(centred), step=_GENES)
    return centred


def _prior_sd(log_delta: FloatArray, variance: FloatArray, prior_sd: FloatArray, counted: BoolArray) -> FloatArray:
    """One step of MacKay's fixed point: squares over the number of effects that the data determine."""
    determined = np.maximum(1 - variance / prior_sd**2, 0).sum(axis=0)
    squares = (log_delta**2).sum(axis=0)
    step = np.sqrt(squares / np.maximum(determined, _LEAST_SHARE * np.maximum(counted.sum(axis=0), 1)))
    return np.asarray(np.clip(step, _LEAST_SD, _MOST_SD))


@dataclass(frozen=True, eq=False)
class _Model:
    """The data of the model, and what follows from them for given effects.

    In all methods ``dispersion`` is (n_genes,), and ``scale``, common to the genes of a batch, is (n_batches,). Genes
    are treated one by one, in threads.
    """

    table: AnyTable
    composition: FloatArray
    kind: IntArray | None = None

    @property
    def n_genes(self) -> int:
        return len(self.by_batch)

    @cached_property
    def sample(self) -> tuple[Scatter, IntArray | slice]:
        """Give the model of the batches whose counts are summed by state too, and which of all they are."""
        if isinstance(self.table, StateCounts):
            return Scatter(self.table, self.composition, self.kind), slice(None)
        those = self.table.sampled
        return Scatter(self.table.sample, plain(self.composition[:, :, those]), self.kind), those

    @property
    def by_state(self) -> FloatArray:
        return self.table.margins[0]

    @property
    def by_batch(self) -> FloatArray:
        return self.table.margins[1]

    @cached_property
    def known(self) -> BoolArray:
        """Tell which batches measured the gene in any cell, (n_genes or 1, n_batches)."""
        return known_batches(self.table.exposure, self.composition)

    @cached_property
    def weights(self) -> FloatArray:
        """Counts of each gene, for batches that measured it, (n_genes, n_batches)."""
        return np.asarray(self.by_state.sum(axis=1)[:, None] * self.known)

    @cached_property
    def counted(self) -> BoolArray:
        """Tell of which genes there are counts, for batches that measured them, (n_genes, n_batches).

        The others tell nothing of what all genes have in common, and would only slow what is repeated until it stays.
        """
        return self.weights > 0

    def shared_out(self, dispersion: FloatArray, scale: FloatArray) -> SharedOut:
        """Give what effects follow from."""
        return SharedOut(self.by_state, self.by_batch, self.table.exposure * scale, self.composition, dispersion)

    def exposures(self, log_delta: FloatArray, scale: FloatArray) -> FloatArray:
        """Sum the size factors of each state, each times the effects of its batch, (n_genes, n_states)."""
        exposure, delta = self.table.exposure * scale, np.exp(log_delta)
        if self.composition.shape[:2] == (1, 1):
            return np.asarray((delta * self.composition[0]) @ exposure.T)
        total = np.zeros_like(self.by_state)
        for k in range(len(scale)):
            total += self.composition[:, :, k] * exposure[:, k] * delta[:, [k]]
        return total

    def rates(self, log_delta: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Find the rates of states, (n_genes, n_states), and the log-likelihood of the shares of batches by gene."""
        part, those = self.sample
        rate, likelihood = part.rates(log_delta[:, those], scale[those])
        if isinstance(self.table, SampledTable):
            weight = self.exposures(log_delta, scale)
            rate = np.divide(self.by_state, weight, out=np.zeros_like(weight), where=weight > 0)
        return rate, likelihood
