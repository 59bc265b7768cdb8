"""A short look: blocks spread over the source, no more than there is time for."""

import math

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.door import DoorCheck
from unbatch.io.peek import _spread, peek
from unbatch.io.reduce import reduce_blocks
from unbatch.io.source import open_counts


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.5, (400, 12)) + (np.arange(12) == 3)


class InBlocks:
    """A source whose blocks are small."""

    def __init__(self, source, size):
        self._source, self._size = source, size

    def __getattr__(self, name):
        return getattr(self._source, name)

    def bounds(self, block_size=None):
        return self._source.bounds(block_size or self._size)

    def blocks(self, block_size=None, *, cells=None):
        return self._source.blocks(block_size or self._size, cells=cells)


def in_blocks(counts, size=10):
    obs = pd.DataFrame(index=[f"c{cell}" for cell in range(len(counts))])
    return InBlocks(open_counts(anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs)), size)


def test_with_time_enough_it_is_the_whole_check(counts):
    source = in_blocks(counts)
    found = peek(source, seconds=math.inf)
    expected = reduce_blocks(source, DoorCheck(source)).finish()
    np.testing.assert_array_equal(found.cells, np.arange(400))
    np.testing.assert_array_equal(found.counts_per_cell, expected.counts_per_cell)
    assert found.n_nonzero == expected.n_nonzero == np.count_nonzero(counts)
    assert found.report is not None
    assert found.whole(400) == 1


def test_without_time_it_is_one_block(counts):
    found = peek(in_blocks(counts), seconds=0)
    np.testing.assert_array_equal(found.cells, np.arange(10))
    np.testing.assert_array_equal(found.counts_per_cell, counts[:10].sum(axis=1))
    assert found.n_nonzero == np.count_nonzero(counts[:10])
    assert found.report is None
    assert found.whole(400) == 40


def test_what_is_no_count_is_refused_where_it_is_seen(counts):
    wrong = counts.astype(np.float64)
    wrong[5, 3] = 0.5
    with pytest.raises(InputError, match="1 fractional"):
        peek(in_blocks(wrong), seconds=0)


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 10, 97])
def test_any_number_of_blocks_is_spread_evenly(n_blocks):
    order = _spread(n_blocks)
    assert sorted(order) == list(range(n_blocks))
    assert order[0] == 0
    for n_read in range(2, n_blocks + 1):
        gaps = np.diff([*sorted(order[:n_read]), n_blocks])
        assert gaps.max() <= math.ceil(2.7 * n_blocks / n_read)
