import numpy as np
import pytest

from unbatch.core.diagnostics.explained import explained_by_batch, permuted_batches
from unbatch.core.diagnostics.sample import as_rows


def cells(n_cells=600, *, effect=0.0, composition=False, seed=0):
    """Three states a wide way apart; two batches; the first feature has the effect."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, 3, n_cells).astype(np.int32)
    chance = np.array([0.9, 0.5, 0.2])[state] if composition else 0.5
    batch = (rng.random(n_cells) < chance).astype(np.int32)
    values = rng.standard_normal((n_cells, 4)) + 10.0 * state[:, None]
    values[:, 0] += effect * batch
    return values, batch, state


def measure(values, batch, state, *, n_permutations=20, together=None):
    n_features = values.shape[1]
    return explained_by_batch(
        as_rows(values),
        batch=batch,
        state=state,
        shape=(3, int(batch.max()) + 1),
        genes=np.arange(n_features),
        permutations=permuted_batches(batch, state, n_permutations=n_permutations, seed=0),
        together=together,
    )


def test_share_is_that_of_a_regression_on_states_and_batches():
    values, batch, state = cells(effect=1.0, composition=True)
    states, both = (np.eye(3)[state], np.column_stack([np.eye(3)[state], batch]))

    def left(design):
        return np.square(values - design @ np.linalg.lstsq(design, values, rcond=None)[0]).sum(axis=0)

    found = measure(values, batch, state)
    np.testing.assert_allclose(found.share, 1 - left(both) / left(states), atol=1e-10)
    assert found.share[0] > 0.05


def test_the_mean_of_the_null_is_that_of_many_permutations():
    values, batch, state = cells(40, composition=True)
    states = np.eye(3)[state]

    def left(values, design):
        return np.square(values - design @ np.linalg.lstsq(design, values, rcond=None)[0]).sum(axis=0)

    mixed = permuted_batches(batch, state, n_permutations=1500, seed=1)
    shares = [1 - left(values, np.column_stack([states, one])) / left(values, states) for one in mixed]
    np.testing.assert_allclose(measure(values, batch, state).null, np.mean(shares, axis=0), rtol=0.15)


def test_composition_alone_is_no_effect_and_an_effect_is_seen():
    nothing = measure(*cells(composition=True), n_permutations=100)
    assert nothing.total < nothing.total_upper
    assert nothing.total_null < nothing.total_upper < 5 * nothing.total_null
    planted = measure(*cells(effect=1.0, composition=True), n_permutations=100)
    assert planted.total > 2 * planted.total_upper
    assert (planted.share > planted.null_upper).tolist() == [True, False, False, False]


def test_states_of_one_batch_and_cells_without_state_are_left_out():
    values, batch, state = cells(effect=1.0)
    batch[state == 2] = 1
    everything = measure(values, batch, state)
    assert everything.compared == pytest.approx((state < 2).mean())
    other = np.where(state == 2, -1, state).astype(np.int32)
    np.testing.assert_array_equal(measure(values, batch, other).share, everything.share)


def test_nothing_to_compare_gives_zeros():
    values, batch, state = cells()
    found = measure(values, batch, np.where(batch == 1, 2, 0).astype(np.int32))
    assert found.compared == found.total == found.total_null == found.total_upper == 0
    assert not found.share.any()
    constant = measure(np.ones_like(values), batch, state)
    assert not constant.share.any()
    assert constant.compared == 1


def test_totals_are_of_the_features_asked_for():
    values, batch, state = cells(effect=2.0)
    assert measure(values, batch, state, together=np.array([0])).total > 0.3
    assert measure(values, batch, state, together=np.array([1, 3])).total < 0.05


def test_permutations_stay_within_states():
    _, batch, state = cells(composition=True)
    mixed = permuted_batches(batch, state, n_permutations=3, seed=4)
    for one in mixed:
        for value in range(3):
            assert (one[state == value] == 1).sum() == (batch[state == value] == 1).sum()
        assert (one != batch).mean() > 0.2
    assert (mixed[0] != mixed[1]).any()
    np.testing.assert_array_equal(mixed[0], permuted_batches(batch, state, n_permutations=1, seed=4)[0])
