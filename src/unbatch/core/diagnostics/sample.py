"""The cells by which a fit is judged: their counts, batches and states, and the logs that everything is measured on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.log_counts import LogCounts
from unbatch.core.state_table import group_sums

_CELLS = 512


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Cells by which a fit is judged.

    Attributes
    ----------
    counts
        (n_cells, n_genes) raw counts.
    batch
        (n_cells,) batch of each cell, 0 to n_batches - 1.
    state
        (n_cells,) state of each cell; -1 where it can be compared with no other.
    log_delta
        (n_genes, n_batches) log effects of the fit.
    measured
        (n_genes, n_batches) genes that each batch measured.
    n_states
        Number of states.
    """

    counts: Counts
    batch: CodeArray
    state: CodeArray
    log_delta: FloatArray
    measured: BoolArray
    n_states: int

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.batch)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.counts.shape[1])

    @property
    def n_batches(self) -> int:
        """Number of batches of the fit, also those without a cell here."""
        return int(self.measured.shape[1])

    @cached_property
    def present(self) -> IntArray:
        """Batches that have cells here."""
        return np.unique(self.batch).astype(np.int64)

    @cached_property
    def genes(self) -> BoolArray:
        """Genes that all batches measured that have cells here, (n_genes,)."""
        return np.asarray(self.measured[:, self.present].all(axis=1))

    @cached_property
    def totals(self) -> FloatArray:
        """Counts of each gene, (n_genes,)."""
        return np.bincount(self.counts.indices, self.counts.data, self.n_genes).astype(np.float64)

    @cached_property
    def cells(self) -> IntArray:
        """Number of cells by state and batch, (n_states, n_batches), of those that have a state."""
        here = self.state >= 0
        group = self.state[here].astype(np.int64) * self.n_batches + self.batch[here]
        return np.bincount(group, minlength=self.n_states * self.n_batches).reshape(self.n_states, self.n_batches)

    @cached_property
    def _uncorrected(self) -> LogCounts:
        nothing = np.zeros_like(self.log_delta)
        return LogCounts.of(self.counts, nothing, batch=self.batch, genes=self.genes)

    @property
    def scale(self) -> float:
        """Counts to which cells are normalised before the logarithm, corrected or not."""
        return self._uncorrected.scale

    def loud(self, most: int) -> IntArray:
        """Genes with most counts among those that all batches measured, in their order."""
        ranked = np.argsort(-self.totals * self.genes, kind="stable")[:most]
        return np.sort(ranked[(self.totals * self.genes)[ranked] > 0])

    def logs(self, *, corrected: bool) -> Counts:
        r"""Log counts :math:`x = \log(1 + a Y / (\delta l))`, (n_cells, n_genes); not corrected, without delta."""
        log_delta = self.log_delta if corrected else np.zeros_like(self.log_delta)
        size = self.sizes if corrected else self._uncorrected.size
        factor, scaling = np.exp(-log_delta).T.copy(), self.scale / size
        counts, values = self.counts, np.empty(self.counts.nnz)
        for start in range(0, self.n_cells, _CELLS):
            stop = min(start + _CELLS, self.n_cells)
            part = slice(int(counts.indptr[start]), int(counts.indptr[stop]))
            cell = np.repeat(np.arange(start, stop), np.diff(counts.indptr[start : stop + 1]))
            times = factor[self.batch[cell], counts.indices[part]] * scaling[cell]
            values[part] = np.log1p(counts.data[part] * times)
        return sparse.csr_array((values, counts.indices, counts.indptr), shape=counts.shape)

    @cached_property
    def sizes(self) -> FloatArray:
        """Size factor of each cell with the effects divided out, (n_cells,)."""
        return LogCounts.of(self.counts, self.log_delta, batch=self.batch, genes=self.genes).size


def sums_by(values: Counts, code: CodeArray | IntArray, *, n_codes: int, genes: IntArray) -> FloatArray:
    """Sum rows by code, (n_codes, n_chosen); rows of a negative code are left out."""
    here = np.flatnonzero(code >= 0)
    if len(here) < len(code):
        values, code = values[here], code[here]
    return group_sums(values, np.asarray(code, dtype=np.int32), n_groups=n_codes, genes=genes)


def squared(values: Counts) -> Counts:
    """Square each value, (n_cells, n_genes)."""
    return sparse.csr_array((values.data**2, values.indices, values.indptr), shape=values.shape)


def as_rows(points: FloatArray) -> Counts:
    """Hold dense coordinates, (n_cells, n_dims), as rows of a CSR matrix."""
    n_cells, n_dims = points.shape
    indices = np.tile(np.arange(n_dims, dtype=np.int32), n_cells)
    indptr = np.arange(n_cells + 1, dtype=np.int32) * n_dims
    return sparse.csr_array((np.asarray(points, dtype=np.float64).ravel(), indices, indptr), shape=points.shape)
