"""Rows in few bytes are the rows that were given, to the last bit, whatever their values."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.io.narrow_rows import NarrowRows


def whole(rows):
    shape = (len(rows.indptr) - 1, rows.n_columns)
    return sparse.csr_array((rows.data.astype(rows.dtype), rows.indices.astype(np.int64), rows.indptr), shape=shape)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 255], np.uint8),
        ([1, 256], np.uint16),
        ([1, 65_535], np.uint16),
        ([1, 65_536], None),
        ([1, 2.5], None),
        ([-1, 2], None),
        ([1, np.nan], None),
        ([1, np.inf], None),
        ([], np.uint8),
    ],
)
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_values_take_the_narrowest_type_that_holds_them(values, kind, given):
    values = np.array(values, dtype=given)
    counts = sparse.csr_array((values, np.arange(len(values)), np.array([0, len(values)])), shape=(1, 4))
    rows = NarrowRows.of(counts)
    assert rows.data.dtype == (kind or given)
    np.testing.assert_array_equal(rows.data, values)
    assert rows.dtype == given


@pytest.mark.parametrize(
    ("n_genes", "kind"), [(255, np.uint8), (20_000, np.uint16), (65_535, np.uint16), (70_000, None)]
)
def test_columns_take_the_narrowest_type_for_so_many_genes(n_genes, kind):
    counts = sparse.csr_array((np.ones(2), np.array([3, n_genes - 1]), np.array([0, 2])), shape=(1, n_genes))
    rows = NarrowRows.of(counts)
    assert rows.indices.dtype == (kind or counts.indices.dtype)
    np.testing.assert_array_equal(rows.indices, [3, n_genes - 1])


def test_some_rows_are_those_of_the_matrix():
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(0.5, (50, 12)).astype(np.float32))
    keep = rng.random(50) < 0.4
    np.testing.assert_array_equal(whole(NarrowRows.of(counts).only(keep)).toarray(), counts.toarray()[keep])
    nothing = NarrowRows.of(counts).only(np.zeros(50, dtype=bool))
    assert (nothing.nnz, nothing.indptr.tolist()) == (0, [0])
