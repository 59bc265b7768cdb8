"""Effects of groups of batches put together: what they expect stays, and states belong to the first group."""

from dataclasses import replace

import numpy as np

from unbatch.core.correlation import Correlation
from unbatch.core.effects import Effects

N_GENES, N_STATES = 30, 4
RNG = np.random.default_rng(0)


def effects(n_batches, states):
    there = np.isin(np.arange(N_STATES), states)
    return Effects(
        log_delta=RNG.normal(size=(N_GENES, n_batches)),
        se=RNG.uniform(0.1, 0.2, (N_GENES, n_batches)),
        prior_sd=np.full(n_batches, 0.5),
        width=np.full((N_GENES, n_batches), 0.5),
        correlation=Correlation.none(n_batches),
        scale=np.ones(n_batches),
        dispersion=np.ones(N_GENES),
        rate=there * RNG.uniform(1, 2, (N_GENES, N_STATES)) * (RNG.random((N_GENES, N_STATES)) < 0.7),
        exposure=there * RNG.uniform(10, 20, (N_GENES, N_STATES)),
        state_residual=np.ones((N_STATES, n_batches)),
        gene_residual=np.ones(N_GENES),
        objective=0.0,
    )


def test_centred_effects_expect_the_same_counts():
    found, known = effects(3, range(N_STATES)), RNG.random((N_GENES, 3)) < 0.8
    found = replace(found, log_delta=found.log_delta * known)
    centred = found.centred(known)
    np.testing.assert_allclose((centred.log_delta * known).sum(axis=1), 0, atol=1e-12)
    assert not centred.log_delta[~known].any()
    for k in range(3):
        before = found.rate * np.exp(found.log_delta[:, [k]])
        after = centred.rate * np.exp(centred.log_delta[:, [k]])
        np.testing.assert_allclose(after[known[:, k]], before[known[:, k]])
    np.testing.assert_allclose(centred.rate * centred.exposure, found.rate * found.exposure)


def test_states_that_two_groups_have_keep_the_rates_of_the_first_also_of_silent_genes():
    one, other = effects(2, [0, 1, 2]), effects(2, [2, 3])
    batches = np.array([True, True, False, False])
    nothing = effects(4, []).among(np.zeros(4, dtype=bool))
    joined = nothing.joined(one, batches).joined(other, ~batches)
    np.testing.assert_array_equal(joined.log_delta, np.hstack([one.log_delta, other.log_delta]))
    np.testing.assert_array_equal(joined.rate[:, :3], one.rate[:, :3])
    np.testing.assert_array_equal(joined.exposure[:, :3], one.exposure[:, :3])
    np.testing.assert_array_equal(joined.rate[:, 3], other.rate[:, 3])
    assert (joined.rate[:, 2] == 0).any()


def test_some_genes_keep_what_is_theirs():
    found, chosen = effects(3, range(N_STATES)), np.array([7, 2, 20])
    some = found.of_genes(chosen)
    for name in ("log_delta", "se", "width", "dispersion", "rate", "exposure", "gene_residual"):
        np.testing.assert_array_equal(getattr(some, name), getattr(found, name)[chosen], err_msg=name)
    np.testing.assert_array_equal(some.state_residual, found.state_residual)
