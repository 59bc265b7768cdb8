import numpy as np
import pytest

from unbatch.core.diagnostics.balance import (
    measured_by_pair,
    pair_batches,
    spread_of,
    standardised_differences,
)
from unbatch.core.diagnostics.sample import as_rows


def cells(n_cells=400, n_batches=3, n_states=2, seed=0):
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, n_batches, n_cells).astype(np.int32)
    state = rng.integers(0, n_states, n_cells).astype(np.int32)
    return rng.standard_normal((n_cells, 3)) + 5.0 * state[:, None], batch, state


def differences(values, batch, state, shape):
    pairs = pair_batches(state, batch, shape=shape)
    spread = spread_of(as_rows(values), batch=batch, state=state, shape=shape)
    smd = standardised_differences(as_rows(values), pairs, batch=batch, state=state, variance=spread.of(pairs))
    return pairs, spread, smd


def oracle(values, batch, state, a, b):
    total, weights = 0.0, 0.0
    for s in np.unique(state[state >= 0]):
        own, theirs = (state == s) & (batch == a), (state == s) & ((batch == b) if b >= 0 else (batch != a))
        if own.any() and theirs.any():
            w = own.sum() * theirs.sum() / (own.sum() + theirs.sum())
            total, weights = total + w * (values[own].mean(axis=0) - values[theirs].mean(axis=0)), weights + w
    return total / weights


def test_difference_is_that_of_matched_cells_in_their_deviations():
    values, batch, state = cells()
    values[batch == 1, 0] += 0.7
    state[:9] = -1
    pairs, _, smd = differences(values, batch, state, (2, 3))
    assert list(zip(pairs.batch, pairs.other, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    for place, (a, b) in enumerate(zip(pairs.batch, pairs.other, strict=True)):
        unit = np.sqrt((values[batch == a].var(axis=0, ddof=1) + values[batch == b].var(axis=0, ddof=1)) / 2)
        np.testing.assert_allclose(smd[place], oracle(values, batch, state, a, b) / unit, rtol=1e-6)
        both = (state >= 0) & ((batch == a) | (batch == b))
        assert pairs.n_matched[place] == both.sum()


def test_composition_is_no_imbalance():
    values, batch, state = cells(3000, n_batches=2)
    state = (np.random.default_rng(1).random(3000) < np.array([0.1, 0.8])[batch]).astype(np.int32)
    values = np.random.default_rng(2).standard_normal((3000, 3)) + 5.0 * state[:, None]
    _, _, smd = differences(values, batch, state, (2, 2))
    assert np.abs(smd).max() < 0.1


def test_many_batches_are_compared_with_all_others():
    values, batch, state = cells(1200, n_batches=12)
    values[batch == 4, 1] += 2
    pairs, _, smd = differences(values, batch, state, (2, 12))
    assert pairs.other.tolist() == [-1] * 12
    assert np.abs(smd[:, 1]).argmax() == 4
    for place in (4, 7):
        np.testing.assert_allclose(np.sign(smd[place]), np.sign(oracle(values, batch, state, pairs.batch[place], -1)))
        ratio = oracle(values, batch, state, pairs.batch[place], -1) / smd[place]
        assert (ratio > 0).all()
    own = values[batch == 4].var(axis=0, ddof=1)
    sizes = np.bincount(batch)
    others = np.average(
        [values[batch == k].var(axis=0, ddof=1) for k in range(12) if k != 4], axis=0, weights=np.delete(sizes, 4)
    )
    np.testing.assert_allclose(smd[4], oracle(values, batch, state, 4, -1) / np.sqrt((own + others) / 2), rtol=1e-6)


def test_chance_is_the_variance_of_a_difference():
    found = []
    for seed in range(60):
        values, batch, state = cells(60, n_batches=2, seed=seed)
        values -= 5.0 * state[:, None]
        pairs, _, smd = differences(values, batch, state, (2, 2))
        found.append(np.square(smd).mean() / pairs.chance[0])
    assert np.mean(found) == pytest.approx(1, abs=0.25)


def test_spread_within_states_leaves_their_distance_out():
    values, batch, state = cells(3000)
    spread = spread_of(as_rows(values), batch=batch, state=state, shape=(2, 3))
    np.testing.assert_allclose(spread.within, 1, atol=0.1)
    np.testing.assert_allclose(spread.variance, 1 + 25 / 4, atol=0.5)


def test_spread_within_is_that_of_cells_about_the_mean_of_their_batch_and_state():
    values, batch, state = cells(300, n_states=7)
    state[:5] = -1
    spread = spread_of(as_rows(values), batch=batch, state=state, shape=(7, 3))
    groups = [values[(batch == k) & (state == s)] for k in range(3) for s in range(7)]
    squares = sum(((group - group.mean(axis=0)) ** 2).sum(axis=0) for group in groups)
    np.testing.assert_allclose(spread.within, squares / sum(len(group) - 1 for group in groups), rtol=1e-6)


def test_flat_features_and_batches_of_one_cell():
    values, batch, state = cells(50, n_batches=2)
    batch[:] = 0
    batch[3] = 1
    values[:, 0], values[:, 1] = 1.0, np.where(batch == 1, 3.0, 1.0)
    _, _, smd = differences(values, batch, state, (2, 2))
    assert smd[0, :2].tolist() == [0, -2]
    assert np.isfinite(smd).all()


def test_batches_without_a_common_state_are_no_pair():
    values, batch, _ = cells(n_batches=2)
    pairs, _, smd = differences(values, batch, batch, (2, 2))
    assert len(pairs.batch) == 0
    assert smd.shape == (0, 3)
    assert measured_by_pair(pairs, np.ones((3, 2), dtype=bool)).shape == (0, 3)


def test_a_pair_has_measured_what_both_have():
    _, batch, state = cells()
    measured = np.array([[True, True, True], [True, False, True], [False, True, True]])
    pairs = pair_batches(state, batch, shape=(2, 3))
    assert measured_by_pair(pairs, measured).tolist() == [
        [True, False, False],
        [True, True, False],
        [True, False, True],
    ]
