"""What many batches have in common is found, and nothing where they have nothing in common."""

import numpy as np
import pytest

from unbatch.core.loadings import find_loadings

N_GENES = 3000


def observed(effects, told, rng):
    """Modes by a prior of standard deviation 1, of which counts take away the share `told` of the variance.

    What batches have in common is none of the effects that a fit finds, nor of their size.
    """
    effects = effects - effects.mean(axis=1, keepdims=True)
    effects /= np.sqrt(np.mean(effects**2))
    noise = rng.standard_normal(effects.shape) * np.sqrt((1 - told) / told)
    return told * (effects + noise), np.broadcast_to(told, effects.shape)


@pytest.mark.parametrize("told", [0.3, 0.9])
def test_kinds_of_batches_are_found(told):
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [40, 30, 30])
    effects = np.sqrt(0.8) * rng.standard_normal((N_GENES, 3))[:, kind] + np.sqrt(0.2) * rng.standard_normal(
        (N_GENES, 100)
    )
    loadings = find_loadings(*observed(effects, np.full(100, told), rng))
    found, alike = loadings @ loadings.T, np.equal.outer(kind, kind) & ~np.eye(100, dtype=bool)
    assert 2 <= loadings.shape[1] <= 3  # three kinds differ in two directions, whose mean tells nothing
    mean = 0.8 * (40 * 39 + 2 * 30 * 29) / (100 * 99)  # which is taken off
    assert found[alike].mean() == pytest.approx((0.8 - mean) / (1 - mean), abs=0.15)
    assert found[~np.equal.outer(kind, kind)].mean() == pytest.approx(-mean / (1 - mean), abs=0.15)
    assert (np.square(loadings).sum(axis=1) < 1).all()


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_batches_that_have_nothing_in_common_have_no_factors(heavy, seed):
    rng = np.random.default_rng(seed)
    effects = rng.standard_normal((N_GENES, 120))
    if heavy:  # few genes are affected much, the same in all batches
        effects *= np.where(rng.random(N_GENES) < 0.05, 4.0, 0.4)[:, None]
    told = rng.uniform(0.05, 0.95, 120)
    assert find_loadings(*observed(effects, told, rng)).shape == (120, 0)


def test_what_all_batches_have_in_common_alike_tells_nothing():
    rng = np.random.default_rng(1)
    effects = np.sqrt(0.5) * rng.standard_normal((N_GENES, 1)) + np.sqrt(0.5) * rng.standard_normal((N_GENES, 80))
    assert find_loadings(*observed(effects, np.full(80, 0.8), rng)).shape[1] == 0


@pytest.mark.parametrize("seed", range(10))
def test_few_genes_have_no_factors_by_chance(seed):
    rng = np.random.default_rng(seed)
    effects = rng.standard_normal((120, 90))
    assert find_loadings(*observed(effects, np.full(90, 0.95), rng)).shape == (90, 0)


def test_what_all_genes_of_a_batch_have_in_common_tells_nothing():
    rng = np.random.default_rng(3)
    effects = rng.standard_normal((N_GENES, 80)) + rng.normal(0, 0.5, 80)
    assert find_loadings(*observed(effects, np.full(80, 0.8), rng)).shape[1] == 0


def test_nothing_told_is_nothing_found():
    assert find_loadings(np.zeros((50, 70)), np.zeros((50, 70))).shape == (70, 0)
