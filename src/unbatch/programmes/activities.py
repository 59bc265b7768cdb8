"""The second pass: the share of each programme in the counts of every cell."""

import numpy as np

from unbatch._types import CodeArray, Float32Array, FloatArray
from unbatch.core.activity import TOLERANCE, expected_by_batch, fit_cells, proportions
from unbatch.io.known import PerCell, Shared
from unbatch.io.source import Block
from unbatch.programmes.pseudobulks import measured_counts


class Activities:
    """Accumulator that measures programmes in each cell.

    Parameters
    ----------
    beta
        (n_genes, n_factors) programmes, positive.
    delta
        (n_genes, n_batches) multiplicative effects; 0 where the batch does not measure the gene.
    batch
        (n_cells,) column of `delta` of each cell.
    """

    def __init__(self, beta: FloatArray, *, delta: FloatArray, batch: CodeArray) -> None:
        self._known = Shared((beta, delta > 0, expected_by_batch(beta, delta)))
        self._batch = PerCell(batch)
        self.parts: dict[int, tuple[Float32Array, int]] = {}

    def add(self, block: Block) -> None:
        """Measure the cells of a block."""
        beta, measured, expected = self._known.value
        batch = self._batch.of(block.start, block.stop)
        found = fit_cells(measured_counts(block.counts, measured, batch), batch=batch, beta=beta, expected=expected)
        shares = proportions(found.theta).astype(np.float32)
        self.parts[block.start] = shares, int((found.gap > TOLERANCE).sum())

    def merge(self, other: "Activities") -> None:
        """Take in the cells that another one measured."""
        self.parts.update(other.parts)

    def finish(self) -> tuple[Float32Array, int]:
        """Put the blocks together, (n_cells, n_factors), and count the cells that did not converge."""
        parts = [self.parts[start] for start in sorted(self.parts)]
        return np.concatenate([shares for shares, _ in parts]), sum(left for _, left in parts)
