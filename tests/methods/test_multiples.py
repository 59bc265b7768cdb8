"""Counts that were multiplied are noticed."""

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch import InputWarning
from unbatch.methods.multiples import common_divisors, warn_of_multiples


def test_divisors_are_those_of_all_counts_of_a_batch():
    counts = np.random.default_rng(0).poisson(2.0, (60, 40))
    batch = np.repeat(np.arange(3), 20).astype(np.int32)
    counts[batch == 1] *= 3
    counts[batch == 2] *= 4
    assert common_divisors(sparse.csr_array(counts), batch, n_batches=3).tolist() == [1, 3, 4]
    counts[25, 3] += 1
    assert common_divisors(sparse.csr_array(counts), batch, n_batches=4).tolist() == [1, 1, 4, 1]


def test_few_counts_may_be_multiples_by_chance():
    counts = np.full((1, 200), 2)
    assert common_divisors(sparse.csr_array(counts), np.zeros(1, dtype=np.int32), n_batches=1).tolist() == [2]
    counts[0, 0] = 0
    assert common_divisors(sparse.csr_array(counts), np.zeros(1, dtype=np.int32), n_batches=1).tolist() == [1]


@pytest.mark.parametrize(
    ("divisor", "said"), [([1, 2, 1], r"'b' are multiples of 2: "), ([3, 2, 1], r"'a' are multiples of 3, and .* 1 ot")]
)
def test_the_first_batch_is_named(divisor, said):
    with pytest.warns(InputWarning, match=said):
        warn_of_multiples(np.array(divisor), batches=["a", "b", "c"])


def test_a_fit_says_so():
    adata = ub.simulate(n_cells=200, n_genes=60, seed=1)
    mine = np.array(adata.obs["batch"] == adata.obs["batch"].iloc[0])
    adata.X = sparse.csr_matrix(adata.X.multiply(np.where(mine, 2, 1)[:, None]))
    with pytest.warns(InputWarning, match="all counts of batch 'batch_1' are multiples of 2"):
        ub.BatchModel().fit(adata.X, adata.obs["batch"])
