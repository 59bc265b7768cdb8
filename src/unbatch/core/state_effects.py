"""Effects of a batch on single cell states: by how much they differ from its effect on all of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import special

from unbatch._types import BoolArray, FloatArray, IntArray, StepArray
from unbatch.core.convention import weighted_median
from unbatch.core.growing_dispersion import dispersion_of_sums, growth_of
from unbatch.core.kernels.state_effects import fit_margins, scatter
from unbatch.core.parallel import in_ranges
from unbatch.core.state_table import StateTable

_GENES = 64
"""Genes fitted in one go by a thread."""
_STEPS = 30
_ENOUGH_EXPECTED = 3.0
_LEAST_FREEDOM = 2.0
_NOTABLE_VARIANCE = 0.1**2
_MOST_VARIANCE = 1.0
_HALVINGS = 40
_MOST_SD = 2.0
_MOST_STEP = 127


@dataclass(frozen=True, eq=False)
class StateEffects:
    """Factors rho by which the effect of a batch on a state differs from that on all states.

    Attributes
    ----------
    steps
        (n_states, n_batches, n_genes) log rho in whole steps from -127 to 127; 0 where nothing is known.
    unit
        Natural log of one step.
    sd
        Standard deviation of log rho that is usual for genes; 0 if the states scatter no more than their counts.
    """

    steps: StepArray
    unit: float
    sd: float

    @property
    def factors(self) -> FloatArray:
        """The factor rho of each step from -127 on, (255,)."""
        return np.asarray(np.exp(self.unit * np.arange(-_MOST_STEP, _MOST_STEP + 1.0)))

    @property
    def log_rho(self) -> FloatArray:
        """Natural log of rho, (n_states, n_batches, n_genes)."""
        return np.asarray(self.steps * self.unit, dtype=np.float64)

    def of_genes(self, rows: IntArray) -> Self:
        """Keep some of the genes, in the given order."""
        return type(self)(np.ascontiguousarray(self.steps[:, :, rows]), self.unit, self.sd)

    def relative_to(self, batch: int) -> Self:
        """Divide rho by that of a batch in the same state, which then has 1 everywhere."""
        steps = self.steps.astype(np.int16) - self.steps[:, [batch]]
        wide = bool(np.abs(steps).max(initial=0) > _MOST_STEP)
        steps = np.rint(steps / 2) if wide else steps
        return type(self)(steps.astype(np.int8), self.unit * (2 if wide else 1), self.sd)

    def of_known(self, known: BoolArray) -> Self:
        """Keep those of genes and batches, (n_genes, n_batches), of which the effect on all states is known."""
        return type(self)(self.steps * known.T, self.unit, self.sd)

    def among_batches(self, used: IntArray, n_batches: int) -> Self:
        """Give these effects their places among all batches; the others get none."""
        steps = np.zeros((len(self.steps), n_batches, self.steps.shape[2]), dtype=np.int8)
        steps[:, used] = self.steps
        return type(self)(steps, self.unit, self.sd)


def fit_state_effects(
    table: StateTable,
    *,
    log_delta: FloatArray,
    dispersion: FloatArray,
    support: BoolArray,
    composition: FloatArray | None = None,
    squared_sizes: FloatArray | None = None,
) -> StateEffects:
    r"""Find by how much the effect of a batch on a state differs from its effect on all states.

    .. math:: Y_{gsk} \sim \mathrm{quasiPoisson}(m_{gsk} \rho_{gsk}, \phi_{gsk}), \quad
              \rho_{gsk} \sim \mathrm{Gamma}(\tau_g, \tau_g), \quad
              \hat\rho_{gsk} = \frac{\tau_g + Y_{gsk} / \phi_{gsk}}{\tau_g + m_{gsk} / \phi_{gsk}}

    where m has the sums of Y over states and over batches, so that rho says nothing of what acts on all states alike,
    and the dispersion grows with the mean (`dispersion_of_sums`). The variance :math:`v_g = 1 / \tau_g` comes from the
    chi-square of Y around m, which grows with it: :math:`\mathrm{E}\, \chi^2_g = \bar\phi_g d_g + v_g i_g`. What is
    usual, :math:`v_0`, is the value at which half of the genes (weighted by what each can say) lie above the median of
    a chi-square: a few genes that answer to something do not move it. The :math:`v_g` are drawn to :math:`v_0` as far
    as their own noise explains how they differ.

    Counts cannot tell the effect of a batch on one state from an answer of that state to what else sets the batch
    apart. So log rho is limited to two standard deviations of what is usual: a state that differs by more, in genes
    where states do not differ by much otherwise, keeps the rest of its difference. On average over the counts of a
    batch, rho is 1.

    Parameters
    ----------
    table
        Sums by state and batch.
    log_delta
        (n_genes, n_batches) effects on all states, to begin from.
    dispersion
        (n_genes,) mean dispersion of cells.
    support
        (n_states, n_batches) whether the batch takes part in the state.
    composition
        (n_genes or 1, n_states or 1, n_batches) factor on the exposure of each sum; 0 where a batch did not measure a
        gene. All ones by default.
    squared_sizes
        (n_states, n_batches) sums of squared size factors; as if all cells had the same by default.

    Returns
    -------
    StateEffects
    """
    n_genes, n_states, n_batches = table.counts.shape
    factor = np.ones((1, 1, n_batches)) if composition is None else composition
    exposure = table.exposure * (support & (support.sum(axis=1, keepdims=True) > 1))
    squared = exposure**2 / np.maximum(table.cells, 1) if squared_sizes is None else squared_sizes
    found, growth = np.zeros((n_genes, 4)), np.zeros(n_genes)

    def sums(gene: int) -> tuple[FloatArray, FloatArray]:
        mean = exposure * factor[gene if len(factor) > 1 else 0] * np.exp(log_delta[gene])
        counts = np.where(mean > 0, table.counts[gene], 0.0)
        fit_margins(counts, _STEPS, mean)
        return counts, mean

    def varying(gene: int, mean: FloatArray) -> FloatArray:
        given, own = dispersion[gene], growth[gene]
        return dispersion_of_sums(given, own, mean, exposure=exposure, squared_sizes=squared)

    def measure(start: int, stop: int) -> None:
        for gene in range(start, stop):
            counts, mean = sums(gene)
            growth[gene] = growth_of(counts, table.squares[gene], mean, exposure=exposure, cells=table.cells)
            scatter(counts, mean, varying(gene, mean), _ENOUGH_EXPECTED, found[gene])

    in_ranges(measure, n_genes, step=_GENES)
    scattered = _Scatter(*found.T)
    usual = scattered.usual_variance()
    limit = _MOST_SD * np.sqrt(usual)
    steps = np.zeros((n_states, n_batches, n_genes), dtype=np.int8)
    if limit > 0:
        variance = scattered.variances(usual)
        unit = limit / _MOST_STEP

        def shrink(start: int, stop: int) -> None:
            for gene in range(start, stop):
                counts, mean = sums(gene)
                weight = variance[gene] / varying(gene, mean)
                ratio = (1 + weight * counts) / (1 + weight * mean)
                log_rho = np.where(mean > 0, np.clip(np.log(ratio), -limit, limit), 0.0)
                total, with_rho = mean.sum(axis=0), (mean * np.exp(log_rho)).sum(axis=0)
                average = np.divide(with_rho, total, out=np.ones(n_batches), where=total > 0)
                within = np.where(mean > 0, np.clip(log_rho - np.log(average), -limit, limit), 0.0)
                steps[:, :, gene] = np.rint(within / unit).astype(np.int8)

        in_ranges(shrink, n_genes, step=_GENES)
    return StateEffects(steps, float(limit / _MOST_STEP), float(np.sqrt(usual)))


@dataclass(frozen=True, eq=False)
class _Scatter:
    """How far the sums of genes scatter around their margins, (n_genes,) each.

    Attributes
    ----------
    squares
        Chi-square of Poisson counts.
    noise
        What it would be without effects of states.
    free
        Its degrees of freedom, ``d_g``.
    gain
        By how much it grows with the variance of rho, ``i_g``.
    """

    squares: FloatArray
    noise: FloatArray
    free: FloatArray
    gain: FloatArray

    @property
    def known(self) -> BoolArray:
        return (self.free >= _LEAST_FREEDOM) & (self.gain > 0)

    def usual_variance(self) -> float:
        """Variance of rho at which half of the genes scatter more than they should and half less."""
        known = self.known
        if not known.any():
            return 0.0
        squares, noise, free, gain = (of[known] for of in (self.squares, self.noise, self.free, self.gain))
        weight = free * (_NOTABLE_VARIANCE * gain / (noise + _NOTABLE_VARIANCE * gain)) ** 2
        middle = 2 * special.gammaincinv(free / 2, 0.5) / free  # medians of chi-square over its mean

        def excess(variance: float) -> float:
            return weighted_median(squares / (noise + variance * gain) / middle, weight) - 1

        low, high = 0.0, _MOST_VARIANCE
        if excess(low) <= 0:
            return low
        for _ in range(_HALVINGS):
            centre = (low + high) / 2
            low, high = (centre, high) if excess(centre) > 0 else (low, centre)
        return (low + high) / 2

    def variances(self, usual: float) -> FloatArray:
        """Variance of rho of each gene, drawn to the usual one by the noise of its own estimate."""
        known = self.known
        own, error = np.full(len(known), usual), np.full(len(known), np.inf)
        own[known] = (self.squares - self.noise)[known] / self.gain[known]
        error[known] = 2 / self.free[known] * (self.noise[known] / self.gain[known] + usual) ** 2
        weight = 1 / error[known]
        between = max(float(np.average((own[known] - usual) ** 2 - error[known], weights=weight)), 0.0)
        share = np.divide(between, between + error, out=np.zeros(len(own)), where=np.isfinite(error))
        return np.asarray(np.clip(usual + (own - usual) * share, 0.0, _MOST_VARIANCE))
