"""Groups are found, weights and starts are heeded, and coinciding points raise nothing."""

import numba
import numpy as np
import pytest
from sklearn.cluster import KMeans

from unbatch.core.clustering import k_means

RNG = np.random.default_rng(0)
CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
TRUTH = RNG.integers(0, 3, 200)
POINTS = CENTRES[TRUTH] + RNG.normal(size=(200, 2))


def partition(code):
    return {tuple(np.flatnonzero(code == name)) for name in np.unique(code)}


def test_separate_groups_are_found():
    code = k_means(POINTS, 3, n_starts=3, seed=0)
    assert code.dtype == np.int32
    assert partition(code) == partition(TRUTH)


def test_given_centres_keep_their_numbers():
    np.testing.assert_array_equal(k_means(POINTS, 3, start=CENTRES[[2, 0, 1]], seed=0), np.array([1, 2, 0])[TRUTH])


def test_weighted_points_count_as_often():
    points = np.array([[0.0], [1.0], [5.0], [6.5]])
    assert partition(k_means(points, 2, n_starts=5, seed=0)) == {(0, 1), (2, 3)}
    weight = np.array([500.0, 500.0, 0.1, 0.1])
    assert partition(k_means(points, 2, n_starts=5, weight=weight, seed=0)) == {(0,), (1, 2, 3)}


def test_the_seed_decides():
    points = np.random.default_rng(1).normal(size=(300, 5))
    np.testing.assert_array_equal(k_means(points, 8, seed=3), k_means(points, 8, seed=3))
    assert any(not np.array_equal(k_means(points, 8, seed=3), k_means(points, 8, seed=seed)) for seed in (4, 5))


@pytest.mark.parametrize("n_distinct", [1, 2])
def test_coinciding_points_leave_groups_empty(n_distinct):
    points = np.repeat(np.arange(n_distinct, dtype=float), 5)[:, None]
    code = k_means(points, 4, seed=0)
    assert partition(code) == {tuple(range(5 * d, 5 * d + 5)) for d in range(n_distinct)}


def test_points_in_another_order_get_the_same_groups_by_their_keys():
    rng = np.random.default_rng(2)
    points, keys, order = (
        rng.normal(size=(500, 4)),
        rng.integers(2**63, size=500).astype(np.uint64),
        rng.permutation(500),
    )
    code = k_means(points, 12, keys=keys, seed=0)
    assert len(np.unique(code)) == 12
    np.testing.assert_array_equal(k_means(points[order], 12, keys=keys[order], seed=0), code[order])


def test_groups_are_as_tight_as_those_of_scikit_learn():
    points = np.random.default_rng(3).normal(size=(600, 3)) * [3.0, 1.0, 1.0]

    def scatter(code):
        return sum(
            np.square(points[code == name] - points[code == name].mean(axis=0)).sum() for name in np.unique(code)
        )

    ours = [scatter(k_means(points, 9, seed=seed)) for seed in range(12)]
    theirs = [scatter(KMeans(9, n_init=1, random_state=seed).fit_predict(points)) for seed in range(12)]
    assert np.mean(ours) < 1.02 * np.mean(theirs)
    assert scatter(k_means(points, 9, n_starts=12, seed=0)) < 1.02 * min(theirs)


def test_threads_change_no_bit():
    points, before = np.random.default_rng(4).normal(size=(5000, 6)), numba.get_num_threads()
    try:
        codes = []
        for n_threads in (1, before):
            numba.set_num_threads(n_threads)
            codes.append(k_means(points, 10, seed=0))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(*codes)
