"""Keys follow from counts alone, and random numbers from keys."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.core.kernels.keys import cell_keys
from unbatch.core.keyed import evenly, gumbel, keys_by_place, keys_of, order_of

RNG = np.random.default_rng(0)
COUNTS = sparse.csr_array(RNG.poisson(0.7, size=(300, 40)))


def test_order_of_cells_and_genes_and_what_is_empty_change_no_key():
    keys, order = keys_of(COUNTS), RNG.permutation(300)
    assert len(np.unique(keys)) == len(np.unique([tuple(np.sort(row)) for row in COUNTS.toarray()], axis=0))
    np.testing.assert_array_equal(keys_of(COUNTS[order]), keys[order])
    np.testing.assert_array_equal(keys_of(sparse.csr_array(COUNTS.toarray()[:, ::-1])), keys)
    wider = sparse.csr_array(np.hstack([np.zeros((300, 2)), COUNTS.toarray()]))
    np.testing.assert_array_equal(keys_of(wider), keys)
    stored = sparse.csr_array((np.array([0.0, 3.0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
    assert keys_of(stored) == keys_of(sparse.csr_array(np.array([[0.0, 3.0]])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint16])
def test_types_of_counts_change_no_key(dtype):
    np.testing.assert_array_equal(keys_of(COUNTS.astype(dtype)), keys_of(COUNTS))


@pytest.mark.filterwarnings("ignore:overflow")  # of numpy's scalars, which compiled code does not have
def test_the_leaf_is_what_it_was_written_as():
    keys = np.empty(10, dtype=np.uint64)
    cell_keys.py_func(COUNTS[:10].data, COUNTS[:10].indptr, keys)
    np.testing.assert_array_equal(keys, keys_of(COUNTS)[:10])


def test_the_largest_is_drawn_as_often_as_its_weight_says():
    weight = np.array([0.5, 0.3, 0.15, 0.05])
    keys = keys_by_place(4)
    drawn = [int(np.argmax(np.log(weight) + gumbel(keys, 0, draw))) for draw in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn) / 4000, weight, atol=0.03)


def test_seeds_and_draws_differ_and_nothing_is_infinite():
    keys = np.concatenate([keys_by_place(1000), np.array([2**64 - 1], dtype=np.uint64)])
    draws = [gumbel(keys, seed, draw) for seed in (0, 1) for draw in (0, 1)]
    assert all(np.isfinite(one).all() for one in draws)
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.15
    np.testing.assert_array_equal(gumbel(keys, 1, 1), draws[3])


def test_rows_of_a_table_have_an_order_of_their_own():
    table = RNG.poisson(20, (50, 12))
    rows, columns = RNG.permutation(50), RNG.permutation(12)
    other = table[rows][:, columns]
    np.testing.assert_array_equal(other[order_of(other)][:, np.argsort(columns)], table[order_of(table)])


def test_some_are_drawn_evenly_whatever_their_order():
    keys, order = keys_of(sparse.csr_array(RNG.poisson(3, size=(2000, 30)))), RNG.permutation(2000)
    drawn = evenly(keys, 500)
    assert len(drawn) == 500
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(np.sort(order[evenly(keys[order], 500)]), drawn)
    for part in (drawn % 2, drawn % 4 // 2, drawn >= 1000):  # every fourth one would miss three of four
        assert 0.4 < part.mean() < 0.6
    np.testing.assert_array_equal(evenly(keys, 2000), np.arange(2000))
