"""Sums and quotients of 200 random small inputs against slow numpy: integers to the bit, floats to 1e-5."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from unbatch.core.adjust import Adjuster, AdjustOptions
from unbatch.io.door import DoorCheck
from unbatch.io.source import open_counts

INPUTS = 200
pytestmark = pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")


def _draw(seed):
    """A small matrix of any depth, from one count per cell to 2^40, with empty rows and columns."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2))
    rates = rng.lognormal(0, 2, shape) * 10.0 ** rng.uniform(-1, 12)
    counts = rng.poisson(np.minimum(rates, 2.0**40)) * (rng.random(shape) < 0.6)
    counts[0, 0] = max(counts[0, 0], 1)
    return counts.astype(np.float64), rng


def test_sums_are_exact_whatever_the_blocks():
    for seed in range(INPUTS):
        counts, rng = _draw(seed)
        source = open_counts(AnnData(sparse.csr_matrix(counts)))
        check = DoorCheck(source)
        for block in source.blocks(int(rng.integers(1, 5))):
            check.add(block)
        report = check.finish()
        whole = [[int(count) for count in row] for row in counts]  # Python's integers know no overflow
        assert report.counts_per_cell.tolist() == [sum(row) for row in whole]
        assert report.counts_per_gene.tolist() == [sum(column) for column in zip(*whole, strict=True)]
        assert report.n_nonzero == np.count_nonzero(counts)


def test_adjusted_counts_are_the_quotient_to_a_hundred_thousandth():
    for seed in range(INPUTS):
        counts, rng = _draw(seed)
        n_cells, n_genes = counts.shape
        n_batches = int(rng.integers(1, 4))
        delta = rng.lognormal(0, 1, (n_genes, n_batches))
        codes = rng.integers(0, n_batches, n_cells).astype(np.int32)
        keep = bool(rng.random() < 0.5)
        options = AdjustOptions(keep_library_size=keep, max_factor=1e6)
        adjuster = Adjuster(delta, np.ones(delta.shape, dtype=bool), options)
        found = adjuster.adjust(sparse.csr_array(counts), codes).counts.toarray()
        expected = counts / delta[:, codes].T
        if keep:
            sums = expected.sum(axis=1, keepdims=True)
            expected *= np.divide(counts.sum(axis=1, keepdims=True), sums, out=np.ones_like(sums), where=sums > 0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=str(pd.DataFrame(counts)))
