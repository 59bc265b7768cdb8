"""What a fit will cost, worked out from its arrays and from a short probe of this machine."""

import time
from dataclasses import dataclass

import numpy as np

from unbatch._types import IntArray
from unbatch.core.matching import ExactSearch

_PROBE_CELLS = 2000
_BYTES = 8
_START_SECONDS = 4.0
"""Loading libraries and compiling kernels."""


@dataclass(frozen=True)
class Cost:
    """Expected time and memory of a fit; right to a factor of about two."""

    seconds: float
    """Wall-clock time."""
    n_bytes: float
    """Peak memory of the process."""


def expected_cost(
    sizes: IntArray, n_genes: int, *, pass_seconds: float, base_bytes: float, n_dims: int = 5, n_neighbors: int = 3
) -> Cost:
    r"""Expect time and memory of a fit by ``method="concept"``.

    Two passes over the counts; :math:`2 n^2 - \sum_k n_k^2` comparisons of cells for matches and overlap; arrays of
    cells x (dimensions + batches + matches) and of genes x (samples + batches).

    Parameters
    ----------
    sizes
        Cells per batch, (n_batches,).
    n_genes
        Number of genes.
    pass_seconds
        Time of one pass over the counts.
    base_bytes
        Memory of the process with the input open and a block read.
    n_dims, n_neighbors
        As in `ConceptOptions`. Time grows with both, memory with the number of samples, 2^n_dims.

    Returns
    -------
    Cost
    """
    n_cells, n_batches = float(sizes.sum()), len(sizes)
    comparisons = 2 * n_cells**2 - float((sizes.astype(np.float64) ** 2).sum())
    n_samples = min(2.0**n_dims, n_cells)
    n_matches = n_neighbors * n_batches
    per_cell = 6 * n_dims + 4 * n_batches + 12 * n_matches
    per_gene = 14 * n_samples + 8 * n_batches
    return Cost(
        seconds=_START_SECONDS
        + 3 * pass_seconds
        + comparisons * _seconds_per_comparison(n_dims, n_neighbors)
        + n_genes * n_samples * 1e-5,
        n_bytes=base_bytes + _BYTES * (n_cells * per_cell + n_genes * per_gene),
    )


def _seconds_per_comparison(n_dims: int, n_neighbors: int) -> float:
    points = np.random.default_rng(0).standard_normal((_PROBE_CELLS, n_dims))
    index = ExactSearch().build(points)
    index.query(points[:1], n_neighbors=n_neighbors)  # compile
    start = time.perf_counter()
    index.query(points, n_neighbors=n_neighbors)
    return (time.perf_counter() - start) / _PROBE_CELLS**2
