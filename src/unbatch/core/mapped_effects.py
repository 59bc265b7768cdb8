"""Effects of one new batch, fitted to its sums by state against the rates of a reference, which do not move."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.convention import weighted_median
from unbatch.core.dispersion import squeeze
from unbatch.core.expected_effects import ExpectedEffects
from unbatch.core.prior import find_widths, unknown_width
from unbatch.core.rates import Rates
from unbatch.core.state_table import StateTable

_MAX_STEP, _NEWTON_STEPS, _NEWTON_TOL = 1.0, 50, 1e-6
_PRIOR_ROUNDS, _PRIOR_TOL = 12, 1e-3
_START_SD, _LEAST_SD, _MOST_SD = 0.5, 1e-4, 3.0
_LEAST_SHARE = 1e-3
_ENOUGH_EXPECTED = 3.0
_FEWEST_FREEDOM = 5.0
"""Degrees of freedom from which cells tell of their scatter. With fewer, modes are drawn far to what is expected, and
around them the effect itself would count as scatter."""
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class MappedEffects:
    """Result of `fit_against`.

    Attributes
    ----------
    log_delta
        (n_genes,) posterior mode, relative to the reference; its expression-weighted median over genes is 0.
    se
        (n_genes,) posterior standard deviation, with the errors of the reference's rates in it; inf where unknown.
    prior_sd
        Learned standard deviation tau of log delta over genes.
    width
        (n_genes,) standard deviation of the prior of each effect, near tau where all are alike.
    dispersion
        (n_genes,) factor phi by which the variance exceeds that of Poisson counts, at least 1.
    shift
        Log factor common to all genes, which belongs to the size factors.
    state_residual
        (n_states,) mean over genes of the squared Pearson residual; 0 where unknown.
    """

    log_delta: FloatArray
    se: FloatArray
    prior_sd: float
    width: FloatArray
    dispersion: FloatArray
    shift: float
    state_residual: FloatArray

    def widened(self, factor: FloatArray) -> Self:
        """Multiply the variances, (n_genes,)."""
        return replace(self, se=self.se * np.sqrt(factor))

    def averaged(self, others: Sequence[FloatArray]) -> Self:
        r"""Average log delta with that of other fits to the same cells, and widen the errors by how far they differ.

        .. math:: \mathrm{se} \leftarrow \mathrm{se} \sqrt{1 + r}, \qquad
                  r = \mathrm{mean}_g\; \mathrm{var}(b_g) / \mathrm{se}_g^2

        over genes that the prior does not dominate.
        """
        if not others:
            return self
        fits = np.stack([self.log_delta, *others])
        sharp = (self.se < self.prior_sd / 3) & (self.se > 0)
        between = fits.var(axis=0, ddof=1)
        extra = float(np.mean(between[sharp] / self.se[sharp] ** 2)) if sharp.any() else 0.0
        return replace(self, log_delta=fits.mean(axis=0), se=self.se * np.sqrt(1 + extra))


def fit_against(
    table: StateTable,
    rates: Rates,
    *,
    measured: BoolArray,
    composition: FloatArray | None = None,
    start: MappedEffects | None = None,
) -> MappedEffects:
    r"""Fit the effects of a batch against the rates of a reference.

    .. math:: Y_{gs} \sim \mathrm{quasiPoisson}(\mu_{gs} E_s e^{a} \delta_g, \phi_g), \qquad
              R_{gs} \sim \mathrm{quasiPoisson}(\mu_{gs} Q_{gs}, \phi_g), \\
              \log \delta_g \sim \mathcal N(m_g, w_g^2)

    with the counts Y and size factors E of the new cells of a state, and the counts R of the reference, whose effects
    are divided out in the exposure Q: the rate that the reference keeps is :math:`R / Q`. That rate is a measurement
    too. Given delta, the total T of Y and R is shared out at random, so that Newton's method solves

    .. math:: \sum_s (Y_{gs} - T_{gs} p_{gs}) / \phi_g = (\log\delta_g - m_g) / w_g^2, \qquad
              p_{gs} = \frac{E_s e^a \delta_g}{Q_{gs} + E_s e^a \delta_g}.

    Where the reference has many more cells than the batch, this is the Poisson model with its rate fixed; where it has
    few, the state counts by what both say. The reference itself is not changed. The prior is learned as in
    `unbatch.core.loglinear.fit_effects`, first one width tau for all effects and then one for each. Its mean m is what
    the batches of the reference tell of a new one that resembles them (`ExpectedEffects`). The dispersion is that of
    the reference times a factor by gene, drawn towards what the genes have in common.

    Parameters
    ----------
    table
        Sums of the new cells, (n_genes, n_states, 1).
    rates
        The reference.
    measured
        Genes that the batch measured, (n_genes,).
    composition
        Factor on E by which the new cells of a state should differ from those of the reference, but for the batch
        effect, (n_genes, n_states). All ones by default.
    start
        An earlier fit to begin from.

    Returns
    -------
    MappedEffects
    """
    factor = np.ones((1, 1)) if composition is None else composition
    usable = measured & rates.known & (rates.exposure > 0).any(axis=1)
    there = usable[:, None] & (rates.exposure > 0)
    counts, squares = (np.where(there, values[:, :, 0], 0.0) for values in (table.counts[:], table.squares[:]))
    model = _Model(
        own=counts,
        squares=squares,
        total=counts + np.where(there, rates.rate * rates.exposure, 0.0),
        size=np.where(there, table.exposure[:, 0] * factor, 0.0),
        factor=np.broadcast_to(factor, counts.shape),
        exposure=rates.exposure,
        n_cells=float(table.cells.sum()),
    )
    log_delta = np.zeros(len(counts)) if start is None else start.log_delta
    prior_sd = _START_SD if start is None else max(start.prior_sd, _START_SD / 10)
    dispersion, shift = (rates.dispersion, model.level()) if start is None else (start.dispersion, start.shift)
    weights, expected = model.total.sum(axis=1) * usable, ExpectedEffects.none(len(counts))
    of_batches = np.where(usable[:, None], rates.log_delta, 0.0)  # others expect nothing, and tell nothing
    for _ in range(_PRIOR_ROUNDS):
        log_delta, variance = model.modes(log_delta, dispersion, expected.mean, prior_sd, shift)
        dispersion = model.dispersion(log_delta, shift, usual=rates.dispersion, genes=usable)
        off = log_delta - expected.mean
        centre = weighted_median(off, weights)
        log_delta, shift = np.where(usable, log_delta - centre, 0.0), shift + centre
        previous, prior_sd = prior_sd, _prior_sd((off - centre)[usable], variance[usable], prior_sd, expected)
        expected = expected.next(of_batches, log_delta, variance, previous)
        if abs(np.log(prior_sd / previous)) < _PRIOR_TOL:
            break
    mean = expected.mean
    log_delta, variance = model.modes(log_delta, dispersion, mean, prior_sd, shift)
    scatter, state_residual = model.scatter(log_delta, dispersion, shift)
    information = model.information(log_delta, shift)
    of_reference, precision = rates.variances(information), information.sum(axis=1) / dispersion
    widths = find_widths(
        (log_delta - mean)[:, None],
        variance[:, None],
        np.array([prior_sd]),
        excess=scatter + of_reference * precision,
        known=usable[:, None],
    )
    width = widths.of_mode[:, 0]
    log_delta, _ = model.modes(log_delta, dispersion, mean, width, shift)
    information = model.information(log_delta, shift)
    widest = np.hypot(widths.of_error[:, 0], unknown_width(variance[usable], np.array(prior_sd)))
    sharp = information.sum(axis=1) / (dispersion * scatter)
    kept = (1 - 1 / (sharp * width**2 + 1)) ** 2  # an effect that the prior holds hardly moves with the reference
    se = np.sqrt(1 / (sharp + 1 / widest**2) + kept * of_reference)
    known, level = usable & (information.sum(axis=1) > 0), weighted_median(log_delta, weights)
    return MappedEffects(
        log_delta=np.where(known, log_delta - level, 0.0),
        se=np.where(known, se, np.inf),
        prior_sd=prior_sd,
        width=width,
        dispersion=dispersion,
        shift=shift + level,
        state_residual=state_residual,
    )


def _prior_sd(log_delta: FloatArray, variance: FloatArray, prior_sd: float, expected: ExpectedEffects) -> float:
    """One step of MacKay's fixed point: squares over the number of effects that the data determine."""
    determined = float(np.maximum(1 - variance / prior_sd**2, 0).sum()) - expected.n_used
    step = np.sqrt(float((log_delta**2).sum()) / max(determined, _LEAST_SHARE * len(log_delta), _TINY))
    return float(np.clip(step, _LEAST_SD, _MOST_SD))


@dataclass(frozen=True, eq=False)
class _Model:
    """The sums, and what follows from them for given effects.

    All are (n_genes, n_states): counts of the new cells and their squares, counts with those of the reference, size
    factors of the new cells times the composition factor, that factor, and the exposure of the reference.
    """

    own: FloatArray
    squares: FloatArray
    total: FloatArray
    size: FloatArray
    factor: FloatArray
    exposure: FloatArray
    n_cells: float

    def share(self, log_delta: FloatArray, shift: float) -> FloatArray:
        """Tell which part of the counts of a state the new cells should have, (n_genes, n_states)."""
        expected = self.size * np.exp(log_delta + shift)[:, None]
        return np.asarray(expected / np.maximum(self.exposure + expected, _TINY))

    def level(self) -> float:
        """Guess the factor common to all genes, as if no gene had an effect."""
        expected = (self.size * self.total / np.maximum(self.exposure + self.size, _TINY)).sum()
        return float(np.log(max(self.own.sum(), 1.0) / max(float(expected), 1.0)))

    def information(self, log_delta: FloatArray, shift: float) -> FloatArray:
        """Tell what each state says of the effect if counts are Poisson, (n_genes, n_states)."""
        share = self.share(log_delta, shift)
        return self.total * share * (1 - share)

    def modes(
        self,
        log_delta: FloatArray,
        dispersion: FloatArray,
        mean: FloatArray,
        prior_sd: float | FloatArray,
        shift: float,
    ) -> tuple[FloatArray, FloatArray]:
        """Find the posterior mode of log delta and its variance, by Newton's method from a start.

        The prior has a mean, (n_genes,), and one standard deviation, or one for each gene, (n_genes,).
        """
        log_delta, observed = log_delta.copy(), self.own.sum(axis=1)
        precision = np.broadcast_to(1 / np.square(prior_sd), log_delta.shape)
        moving = np.arange(len(log_delta))
        for _ in range(_NEWTON_STEPS):
            part = self._only(moving)
            share = part.share(log_delta[moving], shift)
            gradient = (observed[moving] - (part.total * share).sum(axis=1)) / dispersion[moving]
            gradient -= (log_delta - mean)[moving] * precision[moving]
            curvature = (part.total * share * (1 - share)).sum(axis=1) / dispersion[moving] + precision[moving]
            step = np.clip(gradient / curvature, -_MAX_STEP, _MAX_STEP)
            log_delta[moving] += step
            moving = moving[np.abs(step) > _NEWTON_TOL]
            if not moving.size:
                break
        curvature = self.information(log_delta, shift).sum(axis=1) / dispersion + precision
        return log_delta, 1 / curvature

    def _only(self, genes: IntArray) -> Self:
        by_gene = {field.name: getattr(self, field.name)[genes] for field in fields(self) if field.name != "n_cells"}
        return replace(self, **by_gene)

    def dispersion(self, log_delta: FloatArray, shift: float, *, usual: FloatArray, genes: BoolArray) -> FloatArray:
        """Find by how much the scatter of cells around their states exceeds that of Poisson counts, (n_genes,)."""
        expected = self.size * np.exp(log_delta + shift)[:, None]
        rate = self.total / np.maximum(self.exposure + expected, _TINY) * np.exp(log_delta + shift)[:, None]
        there = (rate > 0) & (self.size > 0)
        squares = self.squares / np.where(there, rate * self.factor, 1.0)
        chi2 = np.where(there, squares - 2 * self.own + self.size * rate, 0.0)
        freedom = self.n_cells - 1 - self.share(log_delta, shift).sum(axis=1)
        seen = genes & there.any(axis=1) & (freedom >= _FEWEST_FREEDOM)
        freedom = np.where(seen, freedom, 0.0)
        ratio = np.where(seen, chi2.sum(axis=1) / np.maximum(freedom, 1.0) / usual, 1.0)
        return np.maximum(usual * squeeze(ratio, freedom), 1.0)

    def scatter(self, log_delta: FloatArray, dispersion: FloatArray, shift: float) -> tuple[FloatArray, FloatArray]:
        """Find how far states scatter around a common effect beyond what cells explain.

        Returns
        -------
        factor
            (n_genes,) on the variance, at least 1.
        of_states
            (n_states,) mean squared Pearson residual.
        """
        share = self.share(log_delta, shift)
        mean, other = self.total * share, self.total * (1 - share)
        enough = (mean > _ENOUGH_EXPECTED) & (other > _ENOUGH_EXPECTED)
        variance = dispersion[:, None] * np.where(enough, mean * (1 - share), 1.0)
        squared = np.where(enough, (self.own - mean) ** 2 / variance, 0.0)
        freedom = np.maximum(enough.sum(axis=1) - 1.0, 0.0)
        by_gene = squared.sum(axis=1) / np.maximum(freedom, 1.0)
        of_states = squared.sum(axis=0) / np.maximum(enough.sum(axis=0), 1)
        return np.maximum(squeeze(by_gene, freedom), 1.0), np.asarray(of_states)
