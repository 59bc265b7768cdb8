import numpy as np
import pytest

from unbatch.core.kernels.division import divide

from .offsets import FORMS, parts, small_counts


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", [divide, divide.py_func])
def test_counts_are_divided_in_float64_and_rounded_once(form, leaf):
    rng = np.random.default_rng(1)
    dense, batch, divisors = small_counts(), rng.integers(-1, 3, 40).astype(np.int32), rng.lognormal(size=(3, 30))
    data, indices, indptr = parts(dense, form)
    out = np.empty(len(data), dtype=np.float32)
    leaf(data, indices, indptr, batch, divisors, out)
    by_row = np.where(batch[:, None] >= 0, divisors[batch], 1.0)
    np.testing.assert_array_equal(out, (dense / by_row).astype(np.float32)[dense > 0])
