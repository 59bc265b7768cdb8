"""What a reference tells of a batch that resembles some of its batches, and that it tells nothing of any other."""

from dataclasses import replace

import numpy as np
import pytest

from unbatch.core.expected_effects import ExpectedEffects

N_GENES, N_BATCHES, NOISE = 600, 5, 0.3
SLOPE = np.array([0.9, -0.4, 0.0, 0.0, 0.0])


def reference(rng):
    return 0.5 * rng.standard_normal((N_GENES, N_BATCHES))


def settled(known, effects, rng, *, prior_sd, rounds=10):
    """Expectations from effects seen with noise, found in turns with their posterior."""
    observed = effects + NOISE * rng.standard_normal(N_GENES)
    variance = np.full(N_GENES, 1 / (1 / NOISE**2 + 1 / prior_sd**2))
    expected = ExpectedEffects.none(N_GENES)
    for _ in range(rounds):
        modes = variance * (observed / NOISE**2 + expected.mean / prior_sd**2)
        expected = expected.next(known, modes, variance, prior_sd)
    return expected


@pytest.mark.parametrize("prior_sd", [0.1, 0.5])
def test_a_batch_that_goes_along_with_others_is_expected_to(prior_sd):
    rng = np.random.default_rng(0)
    known = reference(rng)
    expected = settled(known, known @ SLOPE + 0.1 * rng.standard_normal(N_GENES), rng, prior_sd=prior_sd)
    error = expected.mean - known @ SLOPE
    assert np.sqrt(np.mean(error**2)) < 0.25 * np.std(known @ SLOPE)
    assert 1 < expected.n_used <= N_BATCHES + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_of_a_batch_of_its_own_nothing_is_expected(seed):
    rng = np.random.default_rng(seed)
    expected = settled(reference(rng), 0.5 * rng.standard_normal(N_GENES), rng, prior_sd=0.5)
    assert np.sqrt(np.mean(expected.mean**2)) < 0.04
    assert expected.n_used < 2.5


def test_the_same_again_from_what_it_was_expected_to_be():
    """Modes hold what was expected before, which is taken off: it does not confirm itself."""
    rng = np.random.default_rng(1)
    known = reference(rng)
    effects, noise = known @ SLOPE, NOISE * rng.standard_normal(N_GENES)
    variance = np.full(N_GENES, 1 / (1 / NOISE**2 + 4))
    found = []
    for before in (ExpectedEffects.none(N_GENES), replace(ExpectedEffects.none(N_GENES), mean=known @ SLOPE[::-1])):
        modes = variance * ((effects + noise) / NOISE**2 + before.mean * 4)
        found.append(before.next(known, modes, variance, 0.5).mean)
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)


def test_a_reference_without_effects_tells_nothing():
    rng = np.random.default_rng(2)
    expected = settled(np.zeros((N_GENES, N_BATCHES)), rng.standard_normal(N_GENES), rng, prior_sd=0.5)
    assert not expected.mean.any()
    assert expected.n_used == 0
    only = settled(np.pad(reference(rng)[:, :1], ((0, 0), (0, 2))), rng.standard_normal(N_GENES), rng, prior_sd=0.5)
    assert np.isfinite(only.mean).all()
