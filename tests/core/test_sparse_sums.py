"""Sums of which only those above 0 are kept are those of a table of all."""

import numpy as np
import pytest
from grouped_cells import N_GENES, grouped
from numba import get_num_threads, set_num_threads

from unbatch.core import sparse_sums as module
from unbatch.core import state_table
from unbatch.core.kernels import sparse_sums as leaves
from unbatch.core.loglinear import fit_effects
from unbatch.core.sparse_sums import SparseSums

SHAPE = (5, 70)
CELLS = grouped(*SHAPE)
table = CELLS.table


@pytest.fixture
def dense():
    return table()


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(state_table, "MOST_DENSE", N_GENES * SHAPE[0] * SHAPE[1] - 1)
    monkeypatch.setattr(module, "_BATCHES", 16)
    found = table()
    assert isinstance(found.counts, SparseSums)
    return found


def test_up_to_the_limit_all_sums_are_kept(monkeypatch, dense):
    monkeypatch.setattr(state_table, "MOST_DENSE", N_GENES * SHAPE[0] * SHAPE[1])
    np.testing.assert_array_equal(table().counts, dense.counts)


@pytest.mark.parametrize(
    "genes",
    [
        slice(None),
        slice(7, 9),
        slice(30, 60),
        slice(3, 3),
        slice(1, 9, 2),
        np.array([3, 30, 4]),
        np.zeros(0, dtype=int),
        5,
    ],
)
def test_blocks_of_genes_are_those_of_all_sums(dense, kept, genes):
    np.testing.assert_array_equal(kept.counts[genes], dense.counts[genes])
    np.testing.assert_allclose(kept.squares[genes], dense.squares[genes], rtol=1e-7)


def test_only_sums_above_0_are_kept(dense, kept):
    assert len(kept.counts.values) == np.count_nonzero(dense.counts)
    assert len(kept.counts) == N_GENES


def test_margins_are_those_of_all_sums(dense, kept):
    for found, expected in zip(kept.margins, dense.margins, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("chosen", [np.arange(70) % 3 == 0, np.arange(70) == 69, np.ones(70, dtype=bool)])
def test_some_batches_are_those_of_all_sums(dense, kept, chosen):
    some, expected = kept.of_batches(chosen), dense.of_batches(chosen)
    np.testing.assert_array_equal(some.counts[:], expected.counts)
    np.testing.assert_allclose(some.squares[:], expected.squares, rtol=1e-7)
    np.testing.assert_array_equal(some.exposure, expected.exposure)


def test_effects_are_those_of_all_sums(dense, kept):
    found, expected = fit_effects(kept), fit_effects(dense)
    for name in ("log_delta", "se", "dispersion", "rate", "exposure", "state_residual", "gene_residual"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6)


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(state_table, "MOST_DENSE", 0)
    before, found = get_num_threads(), []
    try:
        for n_threads in (1, 2):
            set_num_threads(min(n_threads, before))
            found.append(table())
    finally:
        set_num_threads(before)
    for name in ("indptr", "place", "values"):
        np.testing.assert_array_equal(*(getattr(one.counts, name) for one in found))
        np.testing.assert_array_equal(*(getattr(one.squares, name) for one in found))


@pytest.mark.parametrize("python", [False, True])
def test_leaves_put_spread_and_add(python):
    put, spread, add = (
        getattr(leaf, "py_func", leaf) if python else leaf
        for leaf in (leaves.put_sums, leaves.spread_out, leaves.add_margins)
    )
    first, second = np.array([[0.0, 2.0], [1.0, 3.0]]), np.array([[4.0], [0.0]])
    indptr, at = np.array([0, 2, 4]), np.array([0, 2])
    place, counts, scaled = np.empty(4, dtype=np.int32), np.empty(4, dtype=np.float32), np.empty(4, dtype=np.float32)
    put(first, 10 * first, 0, at, place, counts, scaled)
    put(second, 10 * second, 2, at, place, counts, scaled)
    np.testing.assert_array_equal(at, indptr[1:])
    np.testing.assert_array_equal(place, [1, 2, 0, 1])
    np.testing.assert_array_equal(scaled, 10 * counts)
    out = np.zeros((2, 4))
    spread(indptr, place, counts, out)
    np.testing.assert_array_equal(out, [[0, 2, 4, 0], [1, 3, 0, 0]])
    by_state, by_batch = np.zeros((2, 2)), np.zeros((2, 2))
    add(indptr, place, counts, by_state, by_batch)
    np.testing.assert_array_equal(by_state, [[2, 4], [4, 0]])
    np.testing.assert_array_equal(by_batch, [[4, 2], [1, 3]])
