import numba
import numpy as np
import pytest

from unbatch.core.diagnostics import same_batch_share
from unbatch.core.diagnostics.matches import expected_same, find_matches, share_among_neighbors, share_elsewhere


def points(n=300, seed=0, n_batches=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)), rng.integers(0, n_batches, n).astype(np.int32)


def test_neighbours_and_nearest_equal_their_definition():
    where, batch = points()
    distance = np.sqrt(((where[:, None] - where) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    found = find_matches(where, batch, n_batches=4)
    for k in range(3):
        np.testing.assert_allclose(found.nearest[:, k], distance[:, batch == k].min(axis=1), rtol=1e-6)
    assert np.isinf(found.nearest[:, 3]).all()
    near = np.argsort(distance, axis=1)[:, :15]
    np.testing.assert_allclose(found.same(batch), (batch[near] == batch[:, None]).mean(axis=1))
    assert found.same(batch).mean() == pytest.approx(same_batch_share(where, batch))


def test_equally_near_cells_count_in_equal_parts():
    where, batch = np.zeros((20, 2)), np.repeat(np.array([0, 1], dtype=np.int32), 10)
    found = find_matches(where, batch, n_batches=2, n_neighbors=5)
    np.testing.assert_allclose(found.same(batch), 9 / 19)
    np.testing.assert_allclose(found.ratios(batch), 1)


def test_ratio_is_near_one_for_mixed_batches_and_large_for_one_apart():
    where, batch = points(900)
    mixed = find_matches(where, batch, n_batches=3).ratios(batch)
    assert np.median(mixed) == pytest.approx(1, abs=0.1)
    where[batch == 2] += 20
    apart = find_matches(where, batch, n_batches=3).ratios(batch)
    assert np.median(apart[batch == 0, 2]) > 20
    assert (apart[batch == 2, 2] == 1).all()


def test_ratios_have_no_unit():
    where, batch = points()
    ratios = [find_matches(scale * where, batch, n_batches=3).ratios(batch) for scale in (1.0, 1e3)]
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-6)


def test_a_cell_alone_in_its_batch_has_finite_ratios():
    where, batch = points(50, n_batches=2)
    batch[7] = 3
    ratio = find_matches(where, batch, n_batches=5).ratios(batch)
    assert np.isfinite(ratio).all()
    assert (ratio[:, 4] == 0).all()
    assert ratio[7, 0] > 0


def test_two_cells_and_one():
    for n in (1, 2):
        found = find_matches(np.zeros((n, 3)), np.arange(n, dtype=np.int32), n_batches=n)
        assert (found.same(np.arange(n, dtype=np.int32)) == 0).all()
        assert np.isfinite(found.ratios(np.arange(n, dtype=np.int32))).all()


def test_threads_change_no_bit():
    where, batch = points(700)
    before = numba.get_num_threads()
    found = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            found.append(find_matches(where, batch, n_batches=3))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(found[0].nearest, found[1].nearest)
    np.testing.assert_array_equal(found[0].shares, found[1].shares)


def test_expected_share_is_the_chance_of_a_pair_within_a_state():
    batch = np.array([0, 0, 0, 1, 1, 0, 1], dtype=np.int32)
    state = np.array([0, 0, 0, 0, 1, 2, -1], dtype=np.int32)
    overall = {0: 3 / 6, 1: 2 / 6}
    expected = [2 / 3, 2 / 3, 2 / 3, 0, overall[1], overall[0], overall[1]]
    np.testing.assert_allclose(expected_same(batch, state), expected)


def test_share_elsewhere_is_that_among_neighbours_of_cells_of_other_batches_in_the_state():
    rng = np.random.default_rng(0)
    batch = np.array([0, 0, 0, 1, 1, 0, 1, 2, 2], dtype=np.int32)
    state = np.array([0, 0, 0, 0, 0, 1, -1, 2, 2], dtype=np.int32)
    shares = rng.dirichlet(np.ones(3), size=9)
    found = share_elsewhere(shares, batch, state)
    for cell in range(9):
        own = batch == batch[cell]
        here = (state == state[cell]) & (state >= 0)
        here = here if (here & ~own).any() else np.ones(9, bool)
        n = (here & own).sum()
        assert found[cell] == pytest.approx((n - 1) / n * shares[here & ~own, batch[cell]].mean())


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_batches_of_unequal_noise_are_mixed_if_their_centres_are_one(apart):
    """Neighbours of everybody are of the tight batch; whether they are so of its own cells more is another matter."""
    rng = np.random.default_rng(1)
    batch = np.repeat(np.array([0, 1], dtype=np.int32), 400)
    where = rng.normal(size=(800, 10)) * np.where(batch, 1.0, 0.7)[:, None]
    where[batch == 1, 0] += apart
    shares, state = find_matches(where, batch, n_batches=2).shares, np.zeros(800, dtype=np.int32)
    tight = batch == 0
    assert shares[tight, 0].mean() > 0.7
    excess = (shares[tight, 0] - share_elsewhere(shares, batch, state)[tight]).mean()
    assert (excess > 0.2) == bool(apart)


def test_share_among_neighbours_counts_others_only():
    where = np.arange(6.0)[:, None]
    asked, counted = np.array([1, 0, 0, 0, 0, 0], bool), np.array([1, 1, 0, 1, 0, 0], bool)
    assert share_among_neighbors(where, asked=asked, counted=counted, n_neighbors=2) == 0.5
    assert share_among_neighbors(where, asked=~asked & False, counted=counted) == 0
    copies = np.zeros((30, 1))
    first = np.arange(30) < 15
    assert share_among_neighbors(copies, asked=first, counted=~first, n_neighbors=29) == pytest.approx(15 / 29)
    # of five found for each copy, four count: the first four where the cell itself is not among them
    fourth, fifth = (np.arange(30) == at for at in (3, 4))
    assert share_among_neighbors(copies, asked=~first, counted=fourth, n_neighbors=4) == 1 / 4
    assert share_among_neighbors(copies, asked=~first, counted=fifth, n_neighbors=4) == 0
