"""Composition of a continuum is told from effects on single states, whatever the depth, the noise and the batches."""

import numpy as np
import pytest

from unbatch.core.alignment import alignment

N_GENES, N_STATES = 300, 30


def table(seed, *, kind, n_batches=2, depth=None, dispersion=0.0, counts_per_cell=3000.0):
    """Make sums by state and batch: batches differ inside states along the factors, or at random, or not at all."""
    rng = np.random.default_rng(seed)
    factors = rng.gamma(0.5, size=(5, N_GENES))
    factors = factors / factors.sum(axis=1, keepdims=True)
    activity = rng.dirichlet(np.full(5, 0.5), size=N_STATES)[:, None, :] * np.ones((1, n_batches, 1))
    if kind == "composition":
        activity = activity * rng.gamma(4.0, 0.25, size=activity.shape)
    rate = activity / activity.sum(axis=2, keepdims=True) @ factors
    if kind == "states":
        rate = rate * np.exp(0.3 * rng.standard_normal(rate.shape))
    delta = np.exp(0.5 * rng.standard_normal((N_GENES, n_batches)))
    cells = rng.integers(20, 60, size=(N_STATES, n_batches)).astype(float)
    exposure = cells * counts_per_cell * (np.ones(n_batches) if depth is None else np.asarray(depth))
    mean = exposure[..., None] * rate * delta.T
    if dispersion:
        mean = mean * rng.gamma(1 / dispersion, dispersion, size=mean.shape)
    return rng.poisson(mean).transpose(2, 0, 1).astype(float), exposure, cells, delta


def measured(counts, exposure, cells, delta, *, seed=0, share=0.7):
    seen = np.random.default_rng(seed).binomial(counts.astype(int), share).astype(float)
    return alignment((seen, counts - seen), (exposure * share, exposure * (1 - share)), cells, delta)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "options", [{}, {"n_batches": 5}, {"depth": (8.0, 1.0)}, {"dispersion": 0.02}, {"counts_per_cell": 300.0}]
)
def test_composition_is_aligned_and_effects_on_states_are_not(seed, options):
    assert 0.65 < measured(*table(seed, kind="composition", **options)) < 1.35
    assert abs(measured(*table(seed, kind="states", **options))) < 0.3


@pytest.mark.parametrize("kind", ["composition", "states"])
@pytest.mark.parametrize("seed", range(3))
def test_splitting_a_batch_at_random_changes_little(seed, kind):
    counts, exposure, cells, delta = table(seed, kind=kind)
    rng = np.random.default_rng(seed)
    part = rng.binomial(counts[:, :, 0].astype(int), 0.5).astype(float)
    split = np.stack([part, counts[:, :, 0] - part, counts[:, :, 1]], axis=2)
    halves = [np.column_stack([of[:, 0] / 2, of[:, 0] / 2, of[:, 1]]) for of in (exposure, cells)]
    whole = measured(counts, exposure, cells, delta)
    assert measured(split, *halves, delta[:, [0, 0, 1]]) == pytest.approx(whole, abs=0.12)


def test_noise_alone_is_aligned_with_nothing_on_average():
    found = [measured(*table(seed, kind="none", dispersion=0.1)) for seed in range(12)]
    assert abs(np.mean(found)) < 0.2


def test_nothing_depends_on_the_order_of_genes_and_batches():
    counts, exposure, cells, delta = table(0, kind="composition", n_batches=4)
    seen = np.random.default_rng(1).binomial(counts.astype(int), 0.7).astype(float)
    turn, gene = np.array([2, 0, 3, 1]), np.random.default_rng(2).permutation(N_GENES)
    values = [
        alignment(
            tuple(part[genes][:, :, batches] for part in (seen, counts - seen)),
            (exposure[:, batches] * 0.7, exposure[:, batches] * 0.3),
            cells[:, batches],
            delta[genes][:, batches],
        )
        for genes, batches in ((np.arange(N_GENES), np.arange(4)), (gene, turn))
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


@pytest.mark.parametrize("n_states", [0, 1, 2])
def test_too_few_states_tell_nothing(n_states):
    counts, exposure, cells, delta = table(0, kind="composition")
    assert measured(counts[:, :n_states], exposure[:n_states], cells[:n_states], delta) == 0.0


def test_batches_without_a_common_state_tell_nothing():
    counts, exposure, cells, delta = table(0, kind="composition")
    for array in (exposure, cells):
        array[:15, 0] = array[15:, 1] = 0
    counts[:, :15, 0] = counts[:, 15:, 1] = 0
    assert measured(counts, exposure, cells, delta) == 0.0


def test_genes_without_counts_change_nothing():
    counts, exposure, cells, delta = table(0, kind="composition")
    silent = np.zeros((7, *counts.shape[1:]))
    seen = np.random.default_rng(1).binomial(counts.astype(int), 0.5).astype(float)
    values = [
        alignment(parts, (exposure / 2, exposure / 2), cells, effects)
        for parts, effects in (
            ((seen, counts - seen), delta),
            (
                tuple(np.concatenate([part, silent]) for part in (seen, counts - seen)),
                np.vstack([delta, np.ones((7, 2))]),
            ),
        )
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)
