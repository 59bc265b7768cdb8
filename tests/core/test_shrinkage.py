"""What many states have in common is found, what chance makes is not, and what differs by state stays."""

import numpy as np
import pytest

from unbatch.core.shrinkage import shrink


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def seen(rng, truth, noise):
    chance = np.broadcast_to(np.square(noise), truth.shape)
    return truth + np.sqrt(chance) * rng.standard_normal(truth.shape), np.array(chance)


def error(found, truth):
    return np.sqrt(np.mean((found - truth) ** 2))


def test_a_common_displacement_is_known_better_than_each_state_tells(rng):
    truth = np.tile([2.0, -1.0, 0.0, 0.0], (30, 1))
    line, chance = seen(rng, truth, 0.5)
    found, common = shrink(line, chance, np.ones(30))
    assert error(found, truth) < 0.4 * error(line, truth)
    np.testing.assert_allclose(common, truth[0], atol=0.3)


def test_without_any_displacement_hardly_anything_is_left(rng):
    line, chance = seen(rng, np.zeros((30, 20)), 1.0)
    found, common = shrink(line, chance, np.ones(30))
    assert error(found, 0) < 0.25
    assert np.abs(common).mean() < 0.1


def test_displacements_of_states_are_kept_along_the_axes_that_have_any(rng):
    truth = np.zeros((40, 2))
    truth[:, 0] = rng.normal(0, 3, 40)
    line, chance = seen(rng, truth, 0.5)
    found, _ = shrink(line, chance, np.ones(40))
    assert error(found[:, 0], truth[:, 0]) < 1.1 * error(line[:, 0], truth[:, 0])
    assert error(found[:, 1], 0) < 0.5 * error(line[:, 1], 0)


def test_states_that_are_not_trusted_tell_nothing_of_what_is_common(rng):
    truth = np.ones((20, 3))
    line, chance = seen(rng, truth, 0.1)
    trust = np.ones(20)
    trust[0], line[0] = 0.0, 100.0
    _, common = shrink(line, chance, trust)
    np.testing.assert_allclose(common, shrink(line[1:], chance[1:], np.ones(19))[1])
    np.testing.assert_allclose(common, 1, atol=0.1)


@pytest.mark.parametrize("n_states", [1, 2])
def test_a_few_states_are_shrunken_by_themselves(n_states):
    line, chance = np.tile([3.0, 4.0], (n_states, 1)), np.full((n_states, 2), 2.5)
    found, common = shrink(line, chance, np.ones(n_states))
    np.testing.assert_allclose(found, 0.8 * line)  # 1 - 5 / 25
    np.testing.assert_array_equal(common, 0)
    np.testing.assert_array_equal(shrink(line, 10 * chance, np.ones(n_states))[0], 0)


def test_nothing_at_all_gives_no_nan():
    for line in (np.zeros((5, 2)), np.zeros((0, 2)), np.ones((5, 2))):
        for found in shrink(line, np.zeros_like(line), np.ones(len(line))):
            assert np.isfinite(found).all()
