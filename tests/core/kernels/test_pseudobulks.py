"""Sums by group equal those of dense algebra."""

import numpy as np
from scipy import sparse

from unbatch.core.kernels.pseudobulks import add_groups


def test_sums_equal_a_product_with_the_members():
    rng = np.random.default_rng(0)
    counts, group = rng.poisson(0.5, (30, 12)), rng.integers(0, 4, 30).astype(np.int32)
    cells, sums = np.arange(5, 30), np.ones((4, 12), dtype=np.int64)
    given = sparse.csr_array(counts.astype(float))
    add_groups(given.data, given.indices, given.indptr, cells, group, sums)
    member = group[cells] == np.arange(4)[:, None]
    np.testing.assert_array_equal(sums, 1 + member @ counts[cells])


def test_rows_from_the_middle_are_summed_as_they_are_among_all():
    rng = np.random.default_rng(0)
    counts, group = rng.poisson(0.5, (30, 12)), rng.integers(0, 4, 10).astype(np.int32)
    given, sums = sparse.csr_array(counts.astype(float)), np.zeros((4, 12), dtype=np.int64)
    part, indptr = slice(given.indptr[11], given.indptr[21]), given.indptr[11:22]
    add_groups(given.data[part], given.indices[part], indptr, np.arange(10), group, sums)
    np.testing.assert_array_equal(sums, (group == np.arange(4)[:, None]) @ counts[11:21])
