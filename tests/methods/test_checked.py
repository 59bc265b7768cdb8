"""The cells by which a fit is judged."""

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch._check import InputWarning
from unbatch._progress import Silent
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.methods import METHODS
from unbatch.methods.checked import checked_rows


def test_cells_are_even_over_batches_and_small_ones_whole():
    batch = np.repeat(np.arange(3, dtype=np.int32), [20, 6000, 9000])
    rows = checked_rows(batch, seed=0)
    assert np.bincount(batch[rows]).tolist() == [20, 2490, 2490]
    assert (np.diff(rows) > 0).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_they_keep_the_counts_that_were_read_and_none_is_without(method):
    adata = ub.simulate(n_cells=400, n_genes=300, n_batches=3, seed=1)
    with_counts = np.arange(400) != 7
    adata.X = sparse.csr_array(sparse.diags_array(with_counts.astype(np.float32)) @ adata.X)
    source = open_counts(adata)
    batches = read_batches(source, "batch")
    with pytest.warns(InputWarning, match="1 of 400 cells have no counts"):
        found = method.fit(source, batches, method.options(), seed=0, progress=Silent())
    assert found.checked.rows.tolist() == np.flatnonzero(with_counts).tolist()
    assert (found.checked.counts != adata.X[found.checked.rows]).nnz == 0
