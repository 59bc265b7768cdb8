import numpy as np
import pytest

from unbatch.core.kernels.exact_sums import add_exactly

from .offsets import FORMS, parts, small_counts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", [add_exactly, add_exactly.py_func])
def test_counts_and_squares_of_some_cells(form, leaf):
    dense, cells = small_counts(), np.array([1, 5, 3, 30])
    per_size = np.random.default_rng(0).lognormal(3, 1, 40)
    moments = np.ones((30, 2), dtype=np.int64)
    leaf(*parts(dense, form), cells, per_size, moments)
    np.testing.assert_array_equal(moments[:, 0] - 1, dense[cells].sum(axis=0))
    rounded = np.floor(dense[cells] ** 2 * per_size[cells, None] + 0.5)
    np.testing.assert_array_equal(moments[:, 1] - 1, rounded.sum(axis=0))
