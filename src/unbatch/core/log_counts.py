"""Logs of adjusted and normalised counts, computed where they are needed: they take more memory than the counts."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray
from unbatch.core.kernels.logs import sum_logs, write_logs
from unbatch.core.parallel import in_ranges
from unbatch.core.projection import LogAxes
from unbatch.core.rows import rows_of

_CELLS = 256
"""Cells written out in one go of a thread."""
_SUMMED_CELLS = 4096
"""Cells summed in one go of a thread."""
_SCALE_SHARE, _LEAST_SCALE_SHARE = 0.5, 0.05


@dataclass(frozen=True, eq=False)
class LogCounts:
    r"""Counts with the batch effects divided out, normalised to the same size, as logs.

    .. math:: x_{gj} = \log(1 + a\, Y_{gj} / (\delta_{g k(j)} l_j)), \qquad
              l_j = \sum_{g \in genes} Y_{gj} / \delta_{g k(j)}

    Attributes
    ----------
    counts
        Counts Y, (n_cells, n_genes).
    batch
        Batch k of each cell, (n_cells,).
    log_delta
        Log effects, (n_genes, n_batches).
    genes
        Genes that make up the size factor, (n_genes,).
    size
        Size factor l of each cell, (n_cells,); 1 for cells without counts.
    scale
        Counts a to which each cell is normalised.
    """

    counts: Counts
    batch: CodeArray
    log_delta: FloatArray
    genes: BoolArray
    size: FloatArray
    scale: float

    @classmethod
    def of(cls, counts: Counts, log_delta: FloatArray, *, batch: CodeArray, genes: BoolArray) -> Self:
        """Adjust counts.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        log_delta
            Log effects, (n_genes, n_batches).
        batch
            Batch of each cell, (n_cells,).
        genes
            Genes that make up the size factor, (n_genes,).

        Returns
        -------
        LogCounts
            At the scale of `common_scale`.
        """
        size = LogAxes.of(np.zeros((len(genes), 0)), log_delta=log_delta, genes=genes).sizes(counts, batch)
        return cls(counts, batch, log_delta, genes, size, common_scale(size, batch))

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return int(self.counts.shape[1])

    def project(self, basis: FloatArray) -> FloatArray:
        """Multiply by axes (n_genes, n_dims): coordinates of the cells, (n_cells, n_dims)."""
        axes = LogAxes.of(basis, log_delta=self.log_delta, genes=self.genes)
        return axes.project(self.counts, self.batch, scale=self.scale, size=self.size)

    def noise(self, basis: FloatArray) -> FloatArray:
        """Variance that Poisson counts give to coordinates along axes (n_genes, n_dims), (n_cells, n_dims)."""
        axes = LogAxes.of(basis, log_delta=self.log_delta, genes=self.genes)
        return axes.noise(self.counts, self.batch, scale=self.scale, size=self.size)

    def moments(self, group: CodeArray) -> tuple[FloatArray, FloatArray]:
        """Sum x by group of cells, (n_groups, n_genes), and its square over all cells, (n_genes,)."""
        factor, scaling = np.exp(-self.log_delta).T.copy(), self.scale / self.size
        ends = np.cumsum(np.bincount(group))
        members = np.split(np.argsort(group, kind="stable"), ends[:-1])
        parts = [
            (number, mine[first : first + _SUMMED_CELLS])
            for number, mine in enumerate(members)
            for first in range(0, len(mine), _SUMMED_CELLS)
        ]
        sums, squares = np.zeros((len(parts), self.n_genes)), np.zeros((len(parts), self.n_genes))
        longest = int(np.diff(self.counts.indptr).max(initial=0))

        def one(at: int, _: int) -> None:
            rows, scratch = rows_of(self.counts, 0, len(scaling)), (np.empty(longest), np.empty(longest))
            sum_logs(*rows, parts[at][1], self.batch, factor, scaling, *scratch, sums[at], squares[at])

        in_ranges(one, len(parts), step=1)
        by_group = np.zeros((len(members), self.n_genes))
        np.add.at(by_group, [number for number, _ in parts], sums)
        return by_group, np.asarray(squares.sum(axis=0))

    def dense(self, cells: IntArray, *, genes: IntArray) -> FloatArray:
        """Write x of some cells and genes out, (n_chosen_cells, n_chosen_genes)."""
        factor, scaling = np.exp(-self.log_delta[genes]).T.copy(), self.scale / self.size
        place = np.full(self.n_genes, -1, dtype=np.int32)
        place[genes] = np.arange(len(genes), dtype=np.int32)
        out = np.empty((len(cells), len(genes)))
        rows, longest = rows_of(self.counts, 0, len(scaling)), int(np.diff(self.counts.indptr).max(initial=0))

        def some(start: int, stop: int) -> None:
            scratch = (np.empty(longest), np.empty(longest), np.empty(longest, dtype=np.int32))
            write_logs(*rows, cells[start:stop], self.batch, factor, place, scaling, *scratch, out[start:stop])

        in_ranges(some, len(out), step=_CELLS)
        return out


def common_scale(size: FloatArray, batch: CodeArray) -> float:
    """Choose the counts to which cells are normalised before the logarithm: half the median of the shallowest batch.

    The mean of a log count depends on depth, the more so the larger the scale: at the depth of the shallowest batch the
    logarithm is near enough to linear that deep and shallow cells of one state fall on the same place. A batch that is
    far shallower than the rest does not lower it below a twentieth of the overall median.
    """
    shallowest = min(float(np.median(size[batch == code])) for code in np.unique(batch))
    return max(_SCALE_SHARE * shallowest, _LEAST_SCALE_SHARE * float(np.median(size)))
