"""Sums by state and batch equal loops over cells."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.core.state_table import StateTable, group_sums

N_CELLS, N_GENES, N_STATES, N_BATCHES = 300, 50, 4, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def counts(rng):
    return sparse.csr_array(rng.poisson(0.7, (N_CELLS, N_GENES)).astype(np.float64))


@pytest.fixture
def state(rng):
    """States of the cells, of which some are left out and one stays empty."""
    return rng.choice([-1, 0, 1, 3], N_CELLS).astype(np.int32)


@pytest.fixture
def batch(rng):
    return rng.integers(0, N_BATCHES, N_CELLS).astype(np.int32)


@pytest.fixture
def size(rng):
    return np.exp(rng.standard_normal(N_CELLS))


@pytest.mark.parametrize(("dtype", "index"), [(np.float64, np.int32), (np.float32, np.int64)])
def test_sums_equal_a_loop_over_cells(counts, state, batch, size, dtype, index):  # noqa: PLR0917
    given = sparse.csr_array(
        (counts.data.astype(dtype), counts.indices.astype(index), counts.indptr.astype(index)), shape=counts.shape
    )
    table = StateTable.of(given, state=state, batch=batch, size=size, shape=(N_STATES, N_BATCHES))
    sums, squares = np.zeros((2, N_GENES, N_STATES, N_BATCHES))
    exposure, cells = np.zeros((2, N_STATES, N_BATCHES))
    for row, s, k, own in zip(counts.toarray(), state, batch, size, strict=True):
        if s >= 0:
            sums[:, s, k] += row
            squares[:, s, k] += row**2 / own
            exposure[s, k] += own
            cells[s, k] += 1
    np.testing.assert_array_equal(table.counts, sums)
    np.testing.assert_allclose(table.squares, squares, rtol=1e-12)
    np.testing.assert_allclose(table.exposure, exposure, rtol=1e-12)
    np.testing.assert_array_equal(table.cells, cells)


def test_a_table_keeps_the_chosen_batches(counts, state, batch, size):
    table = StateTable.of(counts, state=state, batch=batch, size=size, shape=(N_STATES, N_BATCHES))
    kept = table.of_batches(np.array([True, False, True]))
    np.testing.assert_array_equal(kept.counts, table.counts[:, :, [0, 2]])
    np.testing.assert_array_equal(kept.squares, table.squares[:, :, [0, 2]])
    np.testing.assert_array_equal(kept.exposure, table.exposure[:, [0, 2]])
    np.testing.assert_array_equal(kept.cells, table.cells[:, [0, 2]])
    assert table.of_batches(np.ones(N_BATCHES, dtype=bool)) is table


@pytest.mark.parametrize("n_groups", [5, 40])
def test_sums_of_groups_equal_a_loop_over_cells(rng, counts, n_groups):
    group, genes = rng.integers(0, n_groups - 1, N_CELLS).astype(np.int32), np.array([3, 4, 20, 49])
    expected = np.zeros((n_groups, len(genes)))
    np.add.at(expected, group, counts.toarray()[:, genes])
    np.testing.assert_array_equal(group_sums(counts, group, n_groups=n_groups, genes=genes), expected)
