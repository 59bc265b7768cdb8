"""Exact sums are those of a table of states, and the same bits however cells come."""

import pickle

import numba
import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.core import exact_sums as module
from unbatch.core.exact_sums import ExactCounts, ExactSums
from unbatch.core.narrow_sums import NarrowSums
from unbatch.core.state_table import StateTable

N_CELLS, N_GENES, SHAPE = 300, 12, (5, 3)
RNG = np.random.default_rng(0)
COUNTS = sparse.csr_array(RNG.poisson(2, (N_CELLS, N_GENES)).astype(np.float32))
STATE = RNG.integers(-1, 4, N_CELLS).astype(np.int32)  # the last state stays empty
BATCH = RNG.integers(0, 3, N_CELLS).astype(np.int32)
SIZE = RNG.lognormal(7, 1, N_CELLS)


KINDS = pytest.mark.parametrize("kind", [ExactCounts, ExactSums])


def summed(kind, order, n_sums=1):
    sums = [kind(N_GENES, SHAPE) for _ in range(n_sums)]
    for number, cells in enumerate(order):
        sums[number % n_sums].add(COUNTS[cells], state=STATE[cells], batch=BATCH[cells], size=SIZE[cells])
    for other in sums[1:]:
        sums[0].merge(other)
    return sums[0].finish()


def test_sums_are_those_of_the_table():
    table = StateTable.of(COUNTS, state=STATE, batch=BATCH, size=SIZE, shape=SHAPE)
    found, counts = (summed(kind, [np.arange(N_CELLS)]) for kind in (ExactSums, ExactCounts))
    np.testing.assert_array_equal(found.counts, table.counts)
    np.testing.assert_array_equal(found.cells, table.cells)
    np.testing.assert_allclose(found.squares, table.squares, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.exposure, table.exposure, rtol=1e-8)
    for name in ("counts", "cells", "exposure"):
        np.testing.assert_array_equal(getattr(counts, name), getattr(found, name))
    assert not hasattr(counts, "squares")


@KINDS
def test_many_sums_are_kept_in_single_precision(kind, monkeypatch):
    wide = summed(kind, [np.arange(N_CELLS)])
    monkeypatch.setattr(module, "MOST_WIDE", 10)
    narrow = summed(kind, [np.arange(N_CELLS)])
    assert isinstance(narrow.counts, NarrowSums)
    for name in ("counts", "squares") if kind is ExactSums else ("counts",):
        np.testing.assert_allclose(getattr(narrow, name)[:], getattr(wide, name), rtol=6e-8)
    for mine, expected in zip(narrow.margins, wide.margins, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("n_parts", [1, 7, N_CELLS])
@pytest.mark.parametrize("n_sums", [1, 3])
@pytest.mark.parametrize("n_threads", [1, 4])
@KINDS
def test_order_merging_and_threads_change_no_bit(kind, n_parts, n_sums, n_threads, monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: n_threads)
    order = np.array_split(np.random.default_rng(1).permutation(N_CELLS), n_parts)
    one, other = summed(kind, [np.arange(N_CELLS)]), summed(kind, order, n_sums)
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@KINDS
def test_sums_past_what_an_int32_and_a_float32_hold_are_exact(kind):
    sums = kind(1, (1, 1))
    many = sparse.csr_array(np.full((3, 1), 2.0**40 + 1))
    zero = np.zeros(3, dtype=np.int32)
    sums.add(many, state=zero, batch=zero, size=np.full(3, 2.0**45))
    assert sums.finish().counts[0, 0, 0] == 3 * (2**40 + 1)


@KINDS
def test_before_any_cell_there_is_little_to_send(kind):
    assert len(pickle.dumps(kind(20_000, (40, 20)))) < 20_000


@KINDS
def test_what_was_merged_stays_as_it_is(kind):
    first, second, third = (kind(N_GENES, SHAPE) for _ in range(3))
    for sums, cells in ((second, np.arange(100)), (third, np.arange(100, 300))):
        sums.add(COUNTS[cells], state=STATE[cells], batch=BATCH[cells], size=SIZE[cells])
    before = {name: one.copy() for name, one in second.sums.items()}
    first.merge(second)
    first.merge(third)
    assert before.keys() == second.sums.keys()
    for name, one in before.items():
        np.testing.assert_array_equal(second.sums[name], one)


def test_squares_beyond_what_they_can_hold_are_refused_whatever_the_order():
    zero = np.zeros(3, dtype=np.int32)
    large = sparse.csr_array(np.array([[0.0, 6e5], [0.0, 5e5], [1.0, 1.0]]))  # squares of 3.6e11 and 2.5e11 of 5.5e11
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        whole, first, second = (ExactSums(2, (1, 1)) for _ in range(3))
        whole.add(large[order], state=zero, batch=zero, size=np.ones(3))
        first.add(large[order[:1]], state=zero[:1], batch=zero[:1], size=np.ones(1))
        second.add(large[order[1:]], state=zero[1:], batch=zero[1:], size=np.ones(2))
        first.merge(second)
        for sums in (whole, first):
            with pytest.raises(InputError, match=r"1 sums of their squares .*divide reads"):
                sums.finish()
    alone = ExactSums(2, (1, 1))
    alone.add(large[[0, 2]], state=zero[:2], batch=zero[:2], size=np.ones(2))
    assert alone.finish().squares[:, 0, 0].tolist() == [1.0, 3.6e11 + 1]
    beyond = ExactSums(1, (1, 1))
    beyond.add(sparse.csr_array([[1e9]]), state=zero[:1], batch=zero[:1], size=np.ones(1))
    with pytest.raises(InputError, match="1 sums"):
        beyond.finish()
