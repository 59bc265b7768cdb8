import numpy as np
import pytest

from unbatch.core.kernels.centres import nearest_centre

LEAVES = [nearest_centre, nearest_centre.py_func]


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_nearest_of_the_own_level_is_found(leaf):
    rng = np.random.default_rng(0)
    where, centres = rng.normal(size=(50, 4)), rng.normal(size=(9, 4))
    level, centre_level = rng.integers(0, 3, 50).astype(np.int32), np.repeat([0, 1, 2], 3).astype(np.int32)
    code = np.empty(50, dtype=np.int32)
    leaf(where, level, centres, centre_level, code)
    squared = ((where[:, None] - centres) ** 2).sum(axis=2)
    squared[level[:, None] != centre_level] = np.inf
    np.testing.assert_array_equal(code, squared.argmin(axis=1))


@pytest.mark.parametrize("leaf", LEAVES)
def test_of_equally_near_ones_the_first_and_none_where_there_is_none(leaf):
    code = np.empty(2, dtype=np.int32)
    centres = np.array([[9.0], [1.0], [-1.0]])
    leaf(np.zeros((2, 1)), np.array([0, 5], dtype=np.int32), centres, np.zeros(3, dtype=np.int32), code)
    assert code.tolist() == [1, -1]
