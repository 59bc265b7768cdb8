import numpy as np
from scipy import sparse

from unbatch.core.rows import rows_of


def test_some_rows_are_views_that_begin_at_their_first_value():
    counts = sparse.csr_array(np.random.default_rng(0).poisson(1, (9, 5)).astype(np.float32))
    data, indices, indptr = rows_of(counts, 3, 7)
    same = sparse.csr_array((data, indices, indptr - indptr[0]), shape=(4, 5))
    np.testing.assert_array_equal(same.toarray(), counts.toarray()[3:7])
    assert np.shares_memory(data, counts.data)
    assert np.shares_memory(indices, counts.indices)
