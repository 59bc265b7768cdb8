import numpy as np
import pytest

from unbatch.core.kernels.clustering import assign, squares

RNG = np.random.default_rng(0)
POINTS, CENTRES = RNG.normal(size=(60, 4)), RNG.normal(size=(7, 4))
SQUARED = ((POINTS[:, None] - CENTRES) ** 2).sum(axis=2)


@pytest.mark.parametrize("leaf", [assign, assign.py_func])
def test_the_nearest_centre_is_found_and_of_equally_near_ones_the_first(leaf):
    code = np.empty(60, dtype=np.int32)
    leaf(POINTS, np.ascontiguousarray(CENTRES.T), np.square(CENTRES).sum(axis=1) / 2, np.empty(7), code)
    np.testing.assert_array_equal(code, SQUARED.argmin(axis=1))
    leaf(np.zeros((2, 1)), np.array([[9.0, 1.0, -1.0]]), np.array([40.5, 0.5, 0.5]), np.empty(3), code[:2])
    assert code[:2].tolist() == [1, 1]


@pytest.mark.parametrize("leaf", [squares, squares.py_func])
def test_squares_are_those_of_distances(leaf):
    found = np.empty((7, 60))
    leaf(POINTS, CENTRES, found)
    np.testing.assert_allclose(found, SQUARED.T)
