"""A batch that has no count of many genes is named; few of them, rare ones and those known to be unmeasured are not."""

import warnings

import anndata
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch.methods.absent import absent_genes, warn_of_absent

NAMES = [f"g{gene}" for gene in range(200)]


def counts(seed=0, *, n_cells=300):
    rate = np.concatenate([np.full(150, 2.0), np.full(50, 0.001)])
    return np.random.default_rng(seed).poisson(rate, size=(n_cells, 200)).astype(float)


def test_genes_with_counts_to_be_expected_are_absent_and_others_are_not():
    values, batch = counts(), np.repeat([0, 1, 2], 100).astype(np.int32)
    values[batch == 1, 3:20] = 0
    values[:, 30] = 0
    absent = absent_genes(sparse.csr_array(values), batch, measured=np.ones((200, 3), dtype=bool))
    expected = np.zeros((200, 3), dtype=bool)
    expected[3:20, 1] = True
    np.testing.assert_array_equal(absent, expected)
    measured = np.ones((200, 3), dtype=bool)
    measured[3:20, 1] = False
    assert not absent_genes(sparse.csr_array(values), batch, measured=measured).any()


def test_the_worst_batch_is_named_if_there_are_many_genes():
    absent = np.zeros((200, 3), dtype=bool)
    absent[5:14, 2] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_absent(absent, genes=NAMES, batches=["a", "b", "c"])
    absent[5:16, 2] = absent[5:15, 0] = True
    with pytest.warns(ub.InputWarning, match=r"11 genes .* batch 'c', .*'g5'\), and of 1 other batches likewise: if"):
        warn_of_absent(absent, genes=NAMES, batches=["a", "b", "c"])


@pytest.mark.filterwarnings("ignore::unbatch.InputWarning")
def test_an_outer_join_is_noticed():
    adata = ub.simulate(n_cells=900, n_genes=200, n_batches=3, n_types=3, median_depth=2000, seed=1)
    parts = [adata[adata.obs["batch"] == name].copy() for name in ("batch_1", "batch_2", "batch_3")]
    joined = anndata.concat([parts[0], parts[1][:, 40:].copy(), parts[2]], join="outer", fill_value=0)
    with pytest.warns(ub.InputWarning, match="have no count at all in batch 'batch_2'"):
        ub.tl.batch_effects(joined, batch_key="batch")
