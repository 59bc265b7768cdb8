"""Cells in states and batches, of which some belong to no state, and the last batch has none."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from unbatch.core.state_table import StateTable

N_CELLS, N_GENES = 500, 40


class Grouped(NamedTuple):
    counts: sparse.csr_array
    state: np.ndarray
    batch: np.ndarray
    size: np.ndarray
    shape: tuple[int, int]

    def table(self, counts=None):
        given = self.counts if counts is None else counts
        return StateTable.of(given, state=self.state, batch=self.batch, size=self.size, shape=self.shape)


def grouped(*shape):
    """Draw cells of so many states and batches."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.lognormal(-1, 1, N_GENES), (N_CELLS, N_GENES)).astype(np.float32)
    state = rng.integers(-1, shape[0], N_CELLS).astype(np.int32)
    batch = rng.integers(0, shape[1] - 1, N_CELLS).astype(np.int32)
    return Grouped(sparse.csr_array(counts), state, batch, rng.lognormal(0, 0.5, N_CELLS), shape)
