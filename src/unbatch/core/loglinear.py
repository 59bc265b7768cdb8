"""Batch effects from counts grouped by state and batch: a log-linear model with a learned prior on the effects."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.correlation import find_correlation
from unbatch.core.dispersion import squeeze
from unbatch.core.effects import Effects
from unbatch.core.kernels.newton import find_errors, find_information, find_modes
from unbatch.core.kernels.residuals import chi_squares, kind_chi_squares, likelihoods, state_chi_squares
from unbatch.core.parallel import in_ranges
from unbatch.core.prior import find_widths, unknown_width
from unbatch.core.state_table import StateTable

_GENES = 256
"""Genes fitted in one go by a thread."""
_MAX_STEP = 1.0
_NEWTON_STEPS = 50
_NEWTON_TOL = 1e-6
_SAME, _ALIKE = 1e-9, 3e-2
"""By how much a log effect may move for the curvature to be the same, and for variances to be alike (some percent)."""
_PRIOR_ROUNDS = 12
_PRIOR_TOL = 1e-3
_START_SD = 0.5
_LEAST_SD, _MOST_SD = 1e-4, 3.0
_LEAST_SHARE = 1e-3
_ENOUGH_EXPECTED = 3.0
_TELLING, _NUMBERS = 1000, 8_000_000
"""Genes, those that counts tell most of, and numbers in memory by which the correlation of batches is learned."""
_SAME_LEVEL = 1e-3
"""What all genes of a batch may differ by between fits to the same cells: less than any error of an effect."""


def fit_effects(
    table: StateTable,
    *,
    kind: IntArray | None = None,
    composition: FloatArray | None = None,
    start: Effects | None = None,
) -> Effects:
    r"""Fit batch effects shared by all states, and learn how large they are.

    .. math:: Y_{gsk} \sim \mathrm{quasiPoisson}(\mu_{gs} E_{sk} c_{gsk} \delta_{gk}, \phi_g), \qquad
              \log \delta_{g} \sim \mathcal N(0, W_g R W_g), \quad W_g = \mathrm{diag}(w_{g1}, \ldots, w_{gK}).

    Given delta, the best rate is :math:`\mu_{gs} = Y_{gs\cdot} / \sum_k E_{sk} c_{gsk} \delta_{gk}`; with it the model
    is one of shares, :math:`Y_{gsk} \mid Y_{gs\cdot}` multinomial, in which a state that only one batch has says
    nothing. Newton's method runs over the few log delta of each gene. The prior's width w is learned from all genes:
    first one for each batch, tau (MacKay's fixed point, so that data without batch effects shrink to nothing), and then
    one for each effect, since a batch may affect few genes much and most hardly: see `find_widths`. So are the
    correlations R of batches, since those that were made alike affect the same genes: see `find_correlation`. The
    dispersion phi follows from the Pearson residuals of the cells.

    Parameters
    ----------
    table
        Sums by state and batch.
    kind
        Which states are alike, (n_states,), 0 to n_kinds - 1: they may be affected alike, and then scatter together.
        By default all states scatter by themselves.
    composition
        Gene-specific factor c on the exposure, (n_genes or 1, n_states or 1, n_batches); 0 where a batch did not
        measure a gene. All ones by default.
    start
        An earlier fit to begin from.

    Returns
    -------
    Effects
    """
    model = _Model(table, np.ones((1, 1, table.counts.shape[2])) if composition is None else composition, kind)
    found = _settle(model, start)
    variance, prior_sd, dispersion, scale = found.variance, found.prior_sd, found.dispersion, np.exp(found.shift)
    residuals = model.residuals(found.centred, dispersion, scale)
    excess = residuals.of_states / dispersion
    widths = find_widths(found.log_delta, variance, prior_sd, excess=excess, known=model.known)
    correlation = _correlation(model, found)
    log_delta, _ = model.modes(found.log_delta, dispersion, widths.of_mode, scale, correlation)
    log_delta = np.where(model.known, log_delta, 0.0)
    widest = np.hypot(widths.of_error, unknown_width(variance, prior_sd))
    rate, likelihood = model.rates(log_delta, scale)
    return Effects(
        log_delta=log_delta,
        se=model.standard_errors(log_delta, residuals.of_states, widest, scale, correlation),
        prior_sd=prior_sd,
        width=widths.of_mode,
        correlation=correlation,
        scale=scale,
        dispersion=dispersion,
        rate=rate,
        exposure=model.exposures(log_delta, scale),
        state_residual=residuals.by_state,
        gene_residual=residuals.by_gene,
        objective=float((likelihood / dispersion).sum()) - _penalty(log_delta / widths.of_mode, correlation),
    )


def fit_log_delta(table: StateTable, like: Effects, *, composition: FloatArray | None = None) -> FloatArray:
    """Find log effects, (n_genes, n_batches), with what was learned from other sums over the same cells.

    Prior, dispersions and scales, which all genes or all cells tell, are those of ``like``, and there Newton's method
    begins. What all genes of a batch differ by from ``like``, since another composition changes scales, goes to the
    scales, from which it is done once more. The composition is as in `fit_effects`.
    """
    model = _Model(table, np.ones((1, 1, table.counts.shape[2])) if composition is None else composition)

    def modes(start: FloatArray, scale: FloatArray) -> FloatArray:
        found, _ = model.modes(start, like.dispersion, like.width, scale, like.correlation, same=np.inf)
        return np.where(model.known, found, 0.0)

    log_delta = modes(like.log_delta, like.scale)
    level = _weighted_medians(log_delta - like.log_delta, model.weights)
    if np.abs(level).max() < _SAME_LEVEL:
        return log_delta
    return modes(log_delta - level, like.scale * np.exp(level))


def with_effects(
    found: Effects, known: Effects, table: StateTable, *, composition: FloatArray | None = None
) -> Effects:
    """Put effects that were found otherwise in the place of those of a fit to these sums: rates follow from them."""
    model = _Model(table, np.ones((1, 1, table.counts.shape[2])) if composition is None else composition)
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


def _settle(model: "_Model", start: Effects | None) -> _Settled:
    """Fit effects, prior, dispersion and scales in turn until the prior stays."""
    n_genes, _, n_batches = model.table.counts.shape
    log_delta = np.zeros((n_genes, n_batches)) if start is None else start.log_delta
    prior_sd = np.full(n_batches, _START_SD) if start is None else np.maximum(start.prior_sd, _START_SD / 10)
    dispersion = np.ones(n_genes) if start is None else start.dispersion
    shift = np.zeros(n_batches)
    for _ in range(_PRIOR_ROUNDS):
        log_delta, variance = model.modes(log_delta, dispersion, prior_sd, np.exp(shift), same=_ALIKE)
        dispersion = model.dispersion(log_delta, np.exp(shift))
        centre = _weighted_medians(log_delta, model.weights)
        log_delta, shift = np.where(model.known, log_delta - centre, 0.0), shift + centre
        previous, prior_sd = prior_sd, _prior_sd(log_delta, variance, prior_sd)
        if np.abs(np.log(prior_sd / previous)).max() < _PRIOR_TOL:
            break
    modes, variance = model.modes(log_delta, dispersion, prior_sd, np.exp(shift), same=_ALIKE)
    return _Settled(modes, variance, log_delta, prior_sd, dispersion, shift)


def _correlation(model: "_Model", found: _Settled) -> FloatArray:
    """Learn how alike batches are, (n_batches, n_batches), from the genes that counts tell most of."""
    told = np.maximum(1 - found.variance / found.prior_sd**2, 0).sum(axis=1)
    n_genes = min(_TELLING, _NUMBERS // len(found.prior_sd) ** 2)
    genes = np.sort(np.argsort(-told, kind="stable")[:n_genes])
    curvature, pull = model.information(genes, found.log_delta, found.dispersion, np.exp(found.shift))
    return find_correlation(curvature * np.outer(found.prior_sd, found.prior_sd), pull * found.prior_sd)


def _penalty(effects: FloatArray, correlation: FloatArray) -> float:
    """Log-density that the prior takes off, of effects over their widths."""
    return float((effects @ np.linalg.inv(correlation) * effects).sum()) / 2


@dataclass(frozen=True, eq=False)
class _Residuals:
    """Dispersions with the scatter of states around the model in them, (n_genes,), and squared Pearson residuals."""

    of_states: FloatArray
    by_state: FloatArray
    by_gene: FloatArray


def _weighted_medians(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Take the median of each column: the value at which half of its weight is reached."""
    medians = np.zeros(values.shape[1])
    for k, column in enumerate(np.ascontiguousarray(values.T)):
        order = np.argsort(column)
        cumulated = np.cumsum(weights[order, k])
        middle = int(np.searchsorted(cumulated, cumulated[-1] / 2))
        medians[k] = column[order[min(middle, len(column) - 1)]]
    return medians


def _per_width(prior_sd: FloatArray, n_genes: int) -> FloatArray:
    """Give 1 over the width of each effect, (n_genes, n_batches), from widths of batches or of each effect."""
    return np.ascontiguousarray(np.broadcast_to(1 / prior_sd, (n_genes, prior_sd.shape[-1])))


def _coupling(correlation: FloatArray | None, n_batches: int) -> FloatArray:
    """Invert the correlation of batches, if there is any."""
    return np.eye(n_batches) if correlation is None else np.asarray(np.linalg.inv(correlation), dtype=np.float64)


def _prior_sd(log_delta: FloatArray, variance: FloatArray, prior_sd: FloatArray) -> FloatArray:
    """One step of MacKay's fixed point: squares over the number of effects that the data determine."""
    determined = np.maximum(1 - variance / prior_sd**2, 0).sum(axis=0)
    squares = (log_delta**2).sum(axis=0)
    step = np.sqrt(squares / np.maximum(determined, _LEAST_SHARE * len(log_delta)))
    return np.asarray(np.clip(step, _LEAST_SD, _MOST_SD))


@dataclass(frozen=True, eq=False)
class _Model:
    """The data of the model, and what follows from them for given effects.

    In all methods ``dispersion`` is (n_genes,), ``scale``, which is common to the genes of a batch, is (n_batches,),
    ``prior_sd`` is (n_batches,) or (n_genes, n_batches), and ``correlation`` that of effects in different batches,
    (n_batches, n_batches), if there is any. Genes are treated one by one, in threads.
    """

    table: StateTable
    composition: FloatArray
    kind: IntArray | None = None

    @property
    def n_genes(self) -> int:
        return len(self.table.counts)

    @cached_property
    def by_state(self) -> FloatArray:
        return np.asarray(self.table.counts.sum(axis=2))

    @cached_property
    def by_batch(self) -> FloatArray:
        return np.asarray(self.table.counts.sum(axis=1))

    @cached_property
    def known(self) -> BoolArray:
        """Tell which batches measured the gene in any cell, (n_genes or 1, n_batches)."""
        there, factor = self.table.exposure > 0, self.composition
        if factor.shape[1] == 1:
            return np.asarray((factor[:, 0] > 0) & there.any(axis=0))
        known = np.zeros((len(factor), factor.shape[2]), dtype=bool)
        for s, batches in enumerate(there):
            known |= (factor[:, s] > 0) & batches
        return known

    @cached_property
    def weights(self) -> FloatArray:
        """Counts of each gene, for batches that measured it, (n_genes, n_batches)."""
        return np.asarray(self.by_state.sum(axis=1)[:, None] * self.known)

    def _factor(self, genes: slice | IntArray) -> FloatArray:
        return self.composition if len(self.composition) == 1 else self.composition[genes]

    def modes(
        self,
        log_delta: FloatArray,
        dispersion: FloatArray,
        prior_sd: FloatArray,
        scale: FloatArray,
        correlation: FloatArray | None = None,
        *,
        same: float = _SAME,
    ) -> tuple[FloatArray, FloatArray]:
        """Find the posterior mode of log delta and its variance, by Newton's method from a start.

        The variance is that at a place from which the mode is no farther than `same`.
        """
        modes, variance = log_delta.copy(), np.zeros_like(log_delta)
        exposure, n = self.table.exposure * scale, len(scale)
        per_width, coupling = _per_width(prior_sd, len(log_delta)), _coupling(correlation, n)

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            find_modes(
                self.by_state[genes],
                self.by_batch[genes],
                exposure,
                self._factor(genes),
                dispersion[genes],
                per_width[genes],
                coupling,
                (_NEWTON_STEPS, _MAX_STEP, _NEWTON_TOL, same),
                np.empty((5, n)),
                np.empty((n, n)),
                np.empty((n, n)),
                modes[genes],
                variance[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        return modes, variance

    def information(
        self, genes: IntArray, log_delta: FloatArray, dispersion: FloatArray, scale: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Find what counts tell of the effects of some genes: see `find_correlation`."""
        exposure, n = self.table.exposure * scale, len(scale)
        curvature, pull = np.zeros((len(genes), n, n)), np.zeros((len(genes), n))

        def some(first: int, stop: int) -> None:
            here = genes[first:stop]
            find_information(
                self.by_state[here],
                self.by_batch[here],
                exposure,
                self._factor(here),
                dispersion[here],
                log_delta[here],
                np.zeros(n),
                np.zeros((n, n)),
                np.empty((5, n)),
                curvature[first:stop],
                pull[first:stop],
            )

        in_ranges(some, len(genes), step=_GENES)
        return curvature, pull

    def standard_errors(
        self,
        log_delta: FloatArray,
        dispersion: FloatArray,
        prior_sd: FloatArray,
        scale: FloatArray,
        correlation: FloatArray,
    ) -> FloatArray:
        """Posterior standard deviation of log delta less its mean over the batches that measured the gene."""
        se, exposure, n = np.zeros_like(log_delta), self.table.exposure * scale, len(scale)
        per_width, coupling = _per_width(prior_sd, len(log_delta)), _coupling(correlation, n)
        share = self.known / np.maximum(self.known.sum(axis=1, keepdims=True), 1)

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            find_errors(
                self.by_state[genes],
                exposure,
                self._factor(genes),
                dispersion[genes],
                per_width[genes],
                coupling,
                share if len(share) == 1 else share[genes],
                log_delta[genes],
                np.empty((5, n)),
                np.empty((n, n)),
                np.empty((n, n)),
                se[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        return se

    def dispersion(self, log_delta: FloatArray, scale: FloatArray) -> FloatArray:
        """Find by how much the scatter of cells around their states exceeds that of Poisson counts, at least 1."""
        chi2, delta = np.zeros(self.n_genes), np.exp(log_delta)

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            chi_squares(
                self.table.squares[genes],
                self.by_state[genes],
                self.table.exposure,
                scale,
                self._factor(genes),
                delta[genes],
                chi2[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        known, cells = self.known.astype(np.float64), self.table.cells
        n_states = (known @ (cells > 0).T > 0).sum(axis=1)
        freedom = np.maximum(known @ cells.sum(axis=0) - n_states - known.sum(axis=1) + 1, 1.0)
        return np.asarray(np.maximum(chi2 / freedom, 1.0))

    def residuals(self, log_delta: FloatArray, dispersion: FloatArray, scale: FloatArray) -> _Residuals:
        """Find how far states scatter around the model, beyond what cells explain."""
        chi2, free, delta = np.zeros(self.n_genes), np.zeros(self.n_genes), np.exp(log_delta)
        exposure = self.table.exposure * scale
        by_state = np.zeros((-(-self.n_genes // _GENES), 2, *exposure.shape))

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            state_chi_squares(
                self.table.counts[genes],
                self.by_state[genes],
                exposure,
                self._factor(genes),
                delta[genes],
                dispersion[genes],
                _ENOUGH_EXPECTED,
                chi2[genes],
                free[genes],
                by_state[first // _GENES],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        free = np.maximum(free - (self.known.sum(axis=1) - 1), 0.0)
        by_gene: FloatArray = chi2 / np.maximum(free, 1.0)
        squares, freedom = by_state.sum(axis=0)
        scatter = np.maximum(squeeze(by_gene, free), self._scatter_of_kinds(delta, dispersion, exposure))
        return _Residuals(
            of_states=dispersion * np.maximum(scatter, 1.0),
            by_state=squares / np.maximum(freedom, 1.0),
            by_gene=by_gene,
        )

    def _scatter_of_kinds(self, delta: FloatArray, dispersion: FloatArray, exposure: FloatArray) -> FloatArray:
        """Find how far kinds of states scatter around the model, (n_genes,): 1 if states scatter by themselves.

        States that are affected alike are no independent witnesses: each of them may be little off, and all together
        much.
        """
        if self.kind is None or self.kind.max(initial=0) == 0:
            return np.ones(self.n_genes)
        kind, chi2, due = self.kind, np.zeros(self.n_genes), np.zeros(self.n_genes)

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            kind_chi_squares(
                self.table.counts[genes],
                self.by_state[genes],
                exposure,
                self._factor(genes),
                delta[genes],
                dispersion[genes],
                kind,
                _ENOUGH_EXPECTED,
                np.empty((2, int(kind.max()) + 1, exposure.shape[1])),
                chi2[genes],
                due[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        n_known = np.broadcast_to(self.known, delta.shape).sum(axis=1)
        return squeeze(chi2 / np.maximum(due, 1.0), due * (1 - 1 / np.maximum(n_known, 1)))

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
        rate, likelihood = np.zeros_like(self.by_state), np.zeros(self.n_genes)
        exposure, delta = self.table.exposure * scale, np.exp(log_delta)

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            likelihoods(
                self.table.counts[genes],
                self.by_state[genes],
                exposure,
                self._factor(genes),
                delta[genes],
                rate[genes],
                likelihood[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        return rate, likelihood
