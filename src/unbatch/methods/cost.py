"""What a fit will cost, worked out from its arrays and from a short probe of this machine."""

import time
from dataclasses import dataclass

import numpy as np

from unbatch._types import IntArray
from unbatch.core.matching import ExactSearch
from unbatch.core.state_table import MOST_DENSE, MOST_WIDE
from unbatch.methods import ConceptOptions, MatchedOptions, MethodOptions

_PROBE_CELLS = 2000
_BYTES = 8
_START_SECONDS = 4.0
"""Loading libraries and compiling kernels."""
_PASSES = 2.5
"""Passes over the counts, in units of one that reads and checks them."""
_CELLS_PER_STATE, _LOUD_GENES = 40, 2000
_PER_EFFECT = 14
"""Numbers in memory for each effect: itself, its error, its width, and what they follow from."""
_LIBRARY_BYTES = 1e8
"""Libraries that the fit loads, and its temporary arrays."""


@dataclass(frozen=True)
class Cost:
    """Expected time and memory of a fit; right to a factor of about two."""

    seconds: float
    """Wall-clock time."""
    n_bytes: float
    """Peak memory of the process."""


def expected_cost(
    sizes: IntArray, n_genes: int, *, options: MethodOptions, n_nonzero: int, pass_seconds: float, base_bytes: float
) -> Cost:
    """Expect time and memory of a fit.

    Parameters
    ----------
    sizes
        Cells per batch, (n_batches,).
    n_genes
        Number of genes.
    options
        Options of the method, which say which method it is.
    n_nonzero
        Number of non-zero counts.
    pass_seconds
        Time of one pass over the counts.
    base_bytes
        Memory of the process with the input open and a block read.

    Returns
    -------
    Cost
    """
    own = (
        _concept(sizes, n_genes, options=options)
        if isinstance(options, ConceptOptions)
        else _matched(sizes, n_genes, options=options, n_nonzero=n_nonzero)
    )
    return Cost(
        seconds=_START_SECONDS + _PASSES * pass_seconds + own.seconds,
        n_bytes=base_bytes + own.n_bytes,
    )


def _matched(sizes: IntArray, n_genes: int, *, options: MatchedOptions, n_nonzero: int) -> Cost:
    r"""Sum the parts of ``method="matched"``.

    Rounds over the sketch (clusters of cells), the axes of the loudest genes, the trials of a factor model on their
    table of genes x states x batches, and Newton's method on the table of all genes; beyond four million sums they
    are in single precision, beyond 40 million only those above 0 are kept. The constants are those of fits to real
    sets of 2 to 40 batches and to 10,000 to 1,000,000 simulated cells of 20,000 genes, of up to 1,000 batches; a
    correction of graded states, which nobody knows of beforehand, takes two or three times as long.
    """
    n_cells, n_batches = float(sizes.sum()), len(sizes)
    kept = min(n_cells, options.sketch_size)
    kept_counts = n_nonzero * kept / max(n_cells, 1.0)
    n_states = min(options.max_states, max(kept / _CELLS_PER_STATE, 1.0))
    pairs = n_states * n_batches
    table = n_genes * pairs
    on_axes = min(n_genes, _LOUD_GENES)
    loud = min(on_axes, MOST_DENSE / pairs)
    per_cell = 2e-4 + 1.4e-4 * (on_axes / _LOUD_GENES) ** 2
    dense = 3 * table if table <= MOST_WIDE else 2 * table
    sums = dense if table <= MOST_DENSE else 1.5 * min(table, kept_counts) + 3 * loud * pairs
    return Cost(
        seconds=kept * per_cell + loud * pairs * 4e-6 + table * 5e-7,
        n_bytes=_LIBRARY_BYTES
        + _BYTES * (1.2 * kept_counts + 2 * on_axes**2 + sums + _PER_EFFECT * n_genes * n_batches + 11 * n_cells),
    )


def _concept(sizes: IntArray, n_genes: int, *, options: ConceptOptions) -> Cost:
    r"""Sum the parts of ``method="concept"``.

    :math:`2 n^2 - \sum_k n_k^2` comparisons of cells for matches and overlap; arrays of cells x (dimensions + batches
    + matches) and of genes x (samples + batches).
    """
    n_cells, n_batches = float(sizes.sum()), len(sizes)
    comparisons = 2 * n_cells**2 - float((sizes.astype(np.float64) ** 2).sum())
    n_samples = min(2.0**options.n_dims, n_cells)
    per_cell = 6 * options.n_dims + 4 * n_batches + 12 * options.n_neighbors * n_batches
    per_gene = 14 * n_samples + 8 * n_batches
    return Cost(
        seconds=comparisons * _seconds_per_comparison(options.n_dims, options.n_neighbors) + n_genes * n_samples * 1e-5,
        n_bytes=_BYTES * (n_cells * per_cell + n_genes * per_gene),
    )


def _seconds_per_comparison(n_dims: int, n_neighbors: int) -> float:
    points = np.random.default_rng(0).standard_normal((_PROBE_CELLS, n_dims))
    index = ExactSearch().build(points)
    index.query(points[:1], n_neighbors=n_neighbors)  # compile
    start = time.perf_counter()
    index.query(points, n_neighbors=n_neighbors)
    return (time.perf_counter() - start) / _PROBE_CELLS**2
