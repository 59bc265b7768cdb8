"""How far counts scatter around the log-linear model: cells around their states, and states around the model."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.dispersion import squeeze
from unbatch.core.kernels.residuals import chi_squares, kind_chi_squares, likelihoods, state_chi_squares
from unbatch.core.parallel import in_ranges
from unbatch.core.plain import of_genes, plain
from unbatch.core.state_table import StateCounts, StateTable

_GENES = 256
"""Genes treated in one go by a thread."""
_ENOUGH_EXPECTED = 3.0


@dataclass(frozen=True, eq=False)
class Residuals:
    """Dispersions with the scatter of states around the model in them, (n_genes,), and squared Pearson residuals."""

    of_states: FloatArray
    by_state: FloatArray
    by_gene: FloatArray


def known_batches(exposure: FloatArray, composition: FloatArray) -> BoolArray:
    """Tell which batches measured the gene in any cell, (n_genes or 1, n_batches).

    Parameters
    ----------
    exposure
        Size factors, (n_states, n_batches).
    composition
        Factor on them, (n_genes or 1, n_states or 1, n_batches).
    """
    there, factor = exposure > 0, composition
    if factor.shape[1] == 1:
        return np.asarray((factor[:, 0] > 0) & there.any(axis=0))
    known = np.zeros((len(factor), factor.shape[2]), dtype=bool)
    for s, batches in enumerate(there):
        known |= (factor[:, s] > 0) & batches
    return known


@dataclass(frozen=True, eq=False)
class Scatter:
    """Sums by state and batch, and how far they and their cells are from what given effects expect.

    In all methods ``log_delta`` is (n_genes, n_batches), ``dispersion`` (n_genes,), and ``scale``, common to the genes
    of a batch, (n_batches,). Genes are treated one by one, in threads.

    Attributes
    ----------
    table
        The sums.
    composition
        Factor on the exposure, (n_genes or 1, n_states or 1, n_batches).
    kind
        Which states are alike, (n_states,).
    """

    table: StateCounts
    composition: FloatArray
    kind: IntArray | None = None

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.table.counts)

    @property
    def by_state(self) -> FloatArray:
        """Counts of the batches together, (n_genes, n_states)."""
        return self.table.margins[0]

    @cached_property
    def known(self) -> BoolArray:
        """Tell which batches measured the gene in any cell, (n_genes or 1, n_batches)."""
        return known_batches(self.table.exposure, self.composition)

    def dispersion(self, log_delta: FloatArray, scale: FloatArray) -> FloatArray:
        """Find by how much the scatter of cells around their states exceeds that of Poisson counts, at least 1."""
        assert isinstance(self.table, StateTable)
        squares, chi2, delta = self.table.squares, np.zeros(self.n_genes), plain(np.exp(log_delta))

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            chi_squares(
                squares[genes],
                self.by_state[genes],
                self.table.exposure,
                scale,
                of_genes(self.composition, genes),
                delta[genes],
                chi2[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        known, cells = self.known.astype(np.float64), self.table.cells
        n_states = (known @ (cells > 0).T > 0).sum(axis=1)
        freedom = np.maximum(known @ cells.sum(axis=0) - n_states - known.sum(axis=1) + 1, 1.0)
        return np.asarray(np.maximum(chi2 / freedom, 1.0))

    def residuals(self, log_delta: FloatArray, dispersion: FloatArray, scale: FloatArray) -> Residuals:
        """Find how far states scatter around the model, beyond what cells explain."""
        chi2, free, delta = np.zeros(self.n_genes), np.zeros(self.n_genes), plain(np.exp(log_delta))
        exposure = plain(self.table.exposure * scale)
        by_state = np.zeros((-(-self.n_genes // _GENES), 2, *exposure.shape))

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            state_chi_squares(
                self.table.counts[genes],
                self.by_state[genes],
                exposure,
                of_genes(self.composition, genes),
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
        return Residuals(
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
                of_genes(self.composition, genes),
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

    def rates(self, log_delta: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Find the rates of states, (n_genes, n_states), and the log-likelihood of the shares of batches by gene."""
        rate, likelihood = np.zeros_like(self.by_state), np.zeros(self.n_genes)
        exposure, delta = plain(self.table.exposure * scale), plain(np.exp(log_delta))

        def some(first: int, stop: int) -> None:
            genes = slice(first, stop)
            likelihoods(
                self.table.counts[genes],
                self.by_state[genes],
                exposure,
                of_genes(self.composition, genes),
                delta[genes],
                rate[genes],
                likelihood[genes],
            )

        in_ranges(some, self.n_genes, step=_GENES)
        return rate, likelihood
