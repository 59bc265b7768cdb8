"""A sketch holds small batches whole and shares the rest evenly, however the blocks come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from unbatch.io.sketch import KeptRows, choose_rows
from unbatch.io.source import Block


def codes(sizes, excluded=0, seed=0):
    values = np.repeat(np.arange(-1, len(sizes)), [excluded, *sizes])
    return np.random.default_rng(seed).permutation(values).astype(np.int32)


def kept(batch, n_rows, seed=0):
    chosen = choose_rows(batch, n_rows, seed=seed)
    return np.bincount(batch[chosen], minlength=batch.max() + 1).tolist()


@pytest.mark.parametrize(
    ("sizes", "n_rows", "expected"),
    [
        ((1000, 1000), 100, [50, 50]),
        ((10, 1000, 1000), 100, [10, 45, 45]),
        ((1000, 10, 30, 1000), 100, [30, 10, 30, 30]),
        ((5, 6, 500), 100, [5, 6, 89]),
        ((0, 500, 500), 100, [0, 50, 50]),
        ((20, 30), 50, [20, 30]),
    ],
)
def test_small_batches_are_whole_and_the_rest_is_even(sizes, n_rows, expected):
    assert kept(codes(sizes), n_rows) == expected


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any),
    excluded=st.integers(0, 20),
    n_rows=st.integers(1, 200),
)
def test_quotas_of_any_batches(sizes, excluded, n_rows):
    batch = codes(sizes, excluded)
    chosen = choose_rows(batch, n_rows, seed=1)
    assert not chosen[batch < 0].any()
    counts = np.bincount(batch[chosen], minlength=len(sizes))[: len(sizes)]
    assert chosen.sum() == min(n_rows, sum(sizes))
    cut = counts < sizes
    if cut.any():
        assert np.ptp(counts[cut]) <= 1
        assert counts.max() <= counts[cut].min() + 1


def test_all_cells_are_taken_if_they_fit():
    batch = codes((20, 30), excluded=7)
    np.testing.assert_array_equal(choose_rows(batch, 50, seed=0), batch >= 0)


def test_the_seed_decides_which():
    batch = codes((300, 300))
    np.testing.assert_array_equal(choose_rows(batch, 100, seed=0), choose_rows(batch, 100, seed=0))
    assert not np.array_equal(choose_rows(batch, 100, seed=0), choose_rows(batch, 100, seed=1))


def test_the_choice_is_even_within_a_batch():
    batch = codes((1000, 1000))
    times = sum(choose_rows(batch, 400, seed=seed).astype(int) for seed in range(200))
    assert times.mean() == pytest.approx(40)
    assert times.std() == pytest.approx(np.sqrt(200 * 0.2 * 0.8), rel=0.1)


def test_cells_of_one_batch_do_not_depend_on_the_order_of_the_others():
    batch = np.repeat(np.arange(3), 100).astype(np.int32)
    swapped = np.concatenate([batch[:100], np.where(batch[100:] == 1, 2, 1)]).astype(np.int32)
    np.testing.assert_array_equal(choose_rows(batch, 90, seed=0)[:100], choose_rows(swapped, 90, seed=0)[:100])


@pytest.mark.parametrize("size", [1, 7, 50, 100])
@pytest.mark.parametrize("reverse", [False, True])
def test_kept_rows_come_in_the_order_of_the_source(size, reverse):
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(0.5, (50, 9)).astype(np.float32))
    chosen = rng.random(50) < 0.4
    blocks = [Block(start, counts[start : start + size]) for start in range(0, 50, size)]
    rows = KeptRows(chosen)
    for block in reversed(blocks) if reverse else blocks:
        rows.add(block)
    found = rows.counts()
    np.testing.assert_array_equal(found.toarray(), counts.toarray()[chosen])
    assert found.has_sorted_indices
