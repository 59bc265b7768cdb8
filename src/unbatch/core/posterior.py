"""Posterior of the batch effects of each gene, given how its counts in each state are shared out among batches."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.correlation import Correlation
from unbatch.core.kernels.newton import find_errors, find_information, find_modes
from unbatch.core.kernels.wide_newton import find_wide_errors, find_wide_modes
from unbatch.core.parallel import in_ranges
from unbatch.core.plain import of_genes, plain

_GENES = 256
"""Genes treated in one go by a thread."""
_MAX_STEP = 1.0
_NEWTON_STEPS = 50
_NEWTON_TOL = 1e-6
_SAME = 1e-9
"""By how much a log effect may move for the curvature to be the same."""


@dataclass(frozen=True, eq=False)
class SharedOut:
    r"""Counts of genes in states, and what they would be shared out among batches by but for the effects.

    .. math:: Y_{gsk} \mid Y_{gs\cdot} \sim \mathrm{quasiMultinomial}\Big(Y_{gs\cdot},\;
              \frac{E_{sk} c_{gsk} \delta_{gk}}{\sum_m E_{sm} c_{gsm} \delta_{gm}},\; \phi_g\Big), \qquad
              \log \delta_g \sim \mathcal N(0, W_g R W_g)

    Effects are found gene by gene, in threads, whose number changes no bit. Of up to 64 batches by the curvature among
    batches, of more by that among states (Woodbury's identity), which are fewer.

    Attributes
    ----------
    by_state
        (n_genes, n_states) counts Y of the batches together.
    by_batch
        (n_genes, n_batches) counts Y of the states together.
    exposure
        (n_states, n_batches) size factors E, with all that is common to genes.
    factor
        (n_genes or 1, n_states or 1, n_batches) factor c on the exposure; 0 where a batch did not measure a gene.
    dispersion
        (n_genes,) factor phi by which variances exceed those of Poisson counts.
    """

    by_state: FloatArray
    by_batch: FloatArray
    exposure: FloatArray
    factor: FloatArray
    dispersion: FloatArray

    def modes(
        self,
        start: FloatArray,
        prior_sd: FloatArray,
        correlation: Correlation | None = None,
        *,
        same: float = _SAME,
    ) -> tuple[FloatArray, FloatArray]:
        """Find the posterior mode of log effects, and their variances, by Newton's method.

        Parameters
        ----------
        start
            Log effects to begin from, (n_genes, n_batches).
        prior_sd
            Standard deviation w of each effect, (n_genes, n_batches) or (n_batches,).
        correlation
            Correlation R of effects in different batches, if there is any.
        same
            The variance is that at a place from which the mode is no farther than this.

        Returns
        -------
        modes, variance
            (n_genes, n_batches)
        """
        modes, variance = np.array(start, order="C"), np.zeros(start.shape)
        leaves = self._leaves(correlation)
        steps = (_NEWTON_STEPS, _MAX_STEP, _NEWTON_TOL, same)
        by_batch = plain(self.by_batch)
        by_state, exposure, factor, dispersion = self._plain()

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            per_width = _per_width(prior_sd, genes, n_genes=stop - first)
            given = (exposure, of_genes(factor, genes), dispersion[genes], per_width)
            leaves.find_modes(by_state[genes], by_batch[genes], *given, steps, modes[genes], variance[genes])

        in_ranges(some, len(start), step=_GENES)
        return modes, variance

    def standard_errors(
        self, log_delta: FloatArray, prior_sd: FloatArray, correlation: Correlation, *, known: BoolArray
    ) -> FloatArray:
        """Posterior standard deviation of log effects less their mean over batches, (n_genes, n_batches).

        The mean is that of the batches that measured the gene: `known` is (n_genes or 1, n_batches).
        """
        se, leaves, log_delta = np.zeros(log_delta.shape), self._leaves(correlation), plain(log_delta)
        share = plain(known / np.maximum(known.sum(axis=1, keepdims=True), 1))
        by_state, exposure, factor, dispersion = self._plain()

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            per_width = _per_width(prior_sd, genes, n_genes=stop - first)
            given = (exposure, of_genes(factor, genes), dispersion[genes], per_width)
            leaves.find_errors(by_state[genes], *given, of_genes(share, genes), log_delta[genes], se[genes])

        in_ranges(some, len(log_delta), step=_GENES)
        return se

    def information(self, genes: IntArray, log_delta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Find what counts tell of the effects of some genes, (n_chosen,): see `find_correlation`."""
        n = self.exposure.shape[1]
        curvature, pull = np.zeros((len(genes), n, n)), np.zeros((len(genes), n))

        by_state, exposure, factor, dispersion = self._plain()

        def some(first: int, stop: int) -> None:
            here = genes[first:stop]
            find_information(
                by_state[here],
                self.by_batch[here],
                exposure,
                of_genes(factor, here),
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

    def _plain(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        return plain(self.by_state), plain(self.exposure), plain(self.factor), plain(self.dispersion)

    def _leaves(self, correlation: Correlation | None) -> "_AmongBatches | _AmongStates":
        n_states, n_batches = self.exposure.shape
        prior = Correlation.none(n_batches) if correlation is None else correlation
        if prior.loadings is None:
            return _AmongBatches(plain(np.linalg.inv(prior.matrix)))
        unique, common = prior.inverse()
        return _AmongStates(plain(unique), plain(common), n_states)


@dataclass(frozen=True, eq=False)
class _AmongBatches:
    """The leaves for few batches, with what they need of the prior and room to work in."""

    coupling: FloatArray

    def find_modes(self, *given: object) -> None:
        *before, steps, modes, variance = given
        find_modes(*before, self.coupling, steps, *self._room(), modes, variance)

    def find_errors(self, *given: object) -> None:
        *before, weights, log_delta, se = given
        find_errors(*before, self.coupling, weights, log_delta, *self._room(), se)

    def _room(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        n = len(self.coupling)
        return np.empty((5, n)), np.empty((n, n)), np.empty((n, n))


@dataclass(frozen=True, eq=False)
class _AmongStates:
    """The leaves for many batches."""

    unique: FloatArray
    common: FloatArray
    n_states: int

    def find_modes(self, *given: object) -> None:
        *before, steps, modes, variance = given
        work, rows, matrix = self._room()
        small, spare = np.empty(len(matrix)), np.empty_like(rows)
        find_wide_modes(*before, self.unique, self.common, steps, work, rows, spare, matrix, small, modes, variance)

    def find_errors(self, *given: object) -> None:
        *before, weights, log_delta, se = given
        find_wide_errors(*before, self.unique, self.common, weights, log_delta, *self._room(), se)

    def _room(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        n_common, n_batches = self.common.shape
        n_rows = self.n_states + n_common
        return np.empty((4, n_batches)), np.empty((n_rows, n_batches)), np.empty((n_rows, n_rows))


def _per_width(prior_sd: FloatArray, genes: slice, *, n_genes: int) -> FloatArray:
    """Give 1 over the widths of some genes, (n_genes, n_batches), from widths of batches or of each effect."""
    widths = prior_sd if prior_sd.ndim == 1 else prior_sd[genes]
    return plain(np.broadcast_to(1 / widths, (n_genes, prior_sd.shape[-1])))
