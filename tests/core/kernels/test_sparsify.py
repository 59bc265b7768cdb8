import numpy as np
import pytest
from scipy import sparse

from unbatch.core.kernels.sparsify import count_filled, sparsify


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("stored", ["f4", "f8", "i2", "u8", "?"])
@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (3, 0), (0, 3)])
def test_scipy_gives_the_same(stored, shape, order):
    dense = np.asarray(np.random.default_rng(0).poisson(0.5, shape).astype(stored), order=order)
    per_row = np.zeros(shape[0], dtype=np.int64)
    count_filled(dense, per_row)
    expected = sparse.csr_array(dense)
    assert per_row.tolist() == np.diff(expected.indptr).tolist()
    data, indices = np.empty(expected.nnz, dtype=np.float32), np.empty(expected.nnz, dtype=np.int32)
    sparsify(dense, data, indices)
    assert indices.tolist() == expected.indices.tolist()
    assert data.tolist() == expected.data.tolist()


def test_nan_is_kept():
    data, indices = np.empty(1), np.empty(1, dtype=np.int32)
    sparsify(np.array([[0.0, np.nan]]), data, indices)
    assert np.isnan(data[0])
    assert indices[0] == 1
