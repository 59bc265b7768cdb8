"""Batches are averaged over states, and without one of them, as if it had never been added."""

import numpy as np
import pytest

from unbatch.core.state_moments import Together, moments_of

N_STATES, N_BATCHES = 6, 4


@pytest.fixture
def moments():
    """Of batches of other sizes, in states that not all of them have."""
    rng = np.random.default_rng(1)
    batch = np.repeat(np.arange(N_BATCHES), [400, 60, 25, 300])
    state = rng.integers(0, N_STATES, len(batch))
    state[batch == 1] = rng.integers(0, 2, 60)
    state[(batch != 3) & (state == 5)] = 4  # the last state is of one batch only
    where = rng.standard_normal((len(batch), 3)) + np.array([8, -2, 0.1])
    weights = np.eye(N_STATES)[state]
    return moments_of(where, batch, weights, levels=np.zeros(N_STATES, int), n_batches=N_BATCHES)


def averaged(moments, batches):
    """By the definition: means weighted by the shares of the batches."""
    share = moments.share[:, batches]
    total = share.sum(axis=1)
    weights = np.divide(share, total[:, None], where=total[:, None] > 0, out=np.zeros_like(share))
    chance = moments.of_mean[:, batches, None] * moments.variance[:, None, :]
    return (
        np.einsum("sk,skd->sd", weights, moments.mean[:, batches]),
        total / len(batches),
        np.einsum("sk,skd->sd", weights**2, chance),
    )


@pytest.mark.parametrize("own", range(N_BATCHES))
def test_all_but_one_are_averaged_as_if_it_were_not_there(moments, own):
    states, batches = np.arange(N_STATES), np.arange(N_BATCHES)
    together = Together.of(moments, states=states, batches=batches)
    found = together.without(moments.of(states, own)).average()
    mean, share, chance = averaged(moments, batches[batches != own])
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.share, share, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.chance, chance, rtol=1e-9)


def test_a_state_of_one_batch_is_empty_without_it(moments):
    states = np.arange(N_STATES)
    together = Together.of(moments, states=states, batches=np.arange(N_BATCHES))
    np.testing.assert_array_equal(together.here[[4, 5]], [3, 1])
    without = together.without(moments.of(states, 3)).average()
    assert without.share[5] == 0
    assert (without.share[:5] > 0).all()
    assert (without.mean[5] == 0).all()
    assert (without.chance[5] == 0).all()


def test_moments_are_those_of_the_cells(moments):
    """Variance around the means of batches, shares of the cells of a batch, and what a few cells say: nothing."""
    np.testing.assert_allclose(moments.share.sum(axis=0), 1)
    assert moments.variance[:5] == pytest.approx(1, abs=0.35)
    assert moments.spread == pytest.approx(3, rel=0.1)
    rng = np.random.default_rng(2)
    batch, weights = np.array([0] * 10 + [1] * 2), np.ones((12, 1))
    few = moments_of(rng.standard_normal((12, 2)), batch, weights, levels=np.zeros(1, int), n_batches=2)
    np.testing.assert_array_equal(few.share, [[1, 0]])
    np.testing.assert_allclose(few.of_mean, [[0.1, 0]])
