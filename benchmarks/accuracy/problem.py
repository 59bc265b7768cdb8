"""The exchange types of the ruler."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray

_SHARED_CELLS = 10
"""A type joins two batches if each of them has this many of its cells."""


@dataclass(frozen=True)
class Problem:
    """Counts in batches with known effects.

    counts: (n_cells, n_genes); batch, cell_type: (n_cells,) codes; log_delta_true: (n_genes, n_batches);
    identifiable: (n_batches,), whether the batch is tied to the largest set of batches by types that they share.
    """

    name: str
    seed: int
    counts: Counts
    batch: CodeArray
    n_batches: int
    cell_type: CodeArray
    log_delta_true: FloatArray
    identifiable: BoolArray


@dataclass(frozen=True)
class Estimate:
    """What a method returns: log_delta and, if it has any, standard errors, both (n_genes, n_batches)."""

    log_delta: FloatArray
    se: FloatArray | None = None


def make_problem(
    name: str, seed: int, *, counts: Counts, batch: CodeArray, cell_type: CodeArray, log_delta_true: FloatArray
) -> Problem:
    """Complete a problem by what its labels say about identifiability."""
    n_batches = log_delta_true.shape[1]
    return Problem(
        name=name,
        seed=seed,
        counts=counts,
        batch=batch,
        n_batches=n_batches,
        cell_type=cell_type,
        log_delta_true=log_delta_true,
        identifiable=largest_component(batch, cell_type, n_batches),
    )


def largest_component(batch: CodeArray, cell_type: CodeArray, n_batches: int) -> BoolArray:
    """Tell which batches belong to the largest set (by cells) that shared types tie together."""
    table = np.zeros((n_batches, int(cell_type.max()) + 1), dtype=np.int64)
    np.add.at(table, (batch, cell_type), 1)
    holds = (table >= _SHARED_CELLS).astype(np.int64)
    _, component = sparse.csgraph.connected_components(sparse.csr_array(holds @ holds.T), directed=False)
    cells = np.bincount(component, weights=table.sum(axis=1))
    largest: BoolArray = component == int(np.argmax(cells))
    return largest
