"""The sums that the fit needs: counts and size factors by state and batch."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray


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
