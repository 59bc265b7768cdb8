"""A mixture of states finds rates, shares and effects together, and adds cells up by their shares."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse, stats

from unbatch.core.state_mixture import Guess, StateMixture


def made(*, n_cells=1200, n_genes=40, depth=60, seed=0):
    """Cells of three states in two batches of other composition, which one of the batches affects."""
    rng = np.random.default_rng(seed)
    rate = rng.dirichlet(np.ones(n_genes), size=3).T
    log_delta = np.stack([np.zeros(n_genes), 0.5 * rng.standard_normal(n_genes)], axis=1)
    batch = (np.arange(n_cells) % 2).astype(np.int32)
    state = np.where(rng.random(n_cells) < np.array([0.8, 0.2])[batch], 0, rng.integers(1, 3, n_cells))
    mean = rate[:, state] * np.exp(log_delta)[:, batch]
    counts = sparse.csr_array(rng.poisson(depth * mean.T).astype(np.float64))
    mixture = StateMixture(counts, batch, np.zeros_like(batch), 2, np.arange(n_cells), np.arange(n_genes))
    return mixture, state, rate, log_delta


ALIKE = np.zeros(3, dtype=np.int32)


def guess_of(rate, log_delta):
    return Guess(rate, log_delta, np.full((3, 2), 1 / 3), ALIKE)


def test_shares_are_posterior_probabilities():
    mixture, _, rate, log_delta = made(n_cells=40)
    rng = np.random.default_rng(1)
    guess = replace(guess_of(rate, log_delta), weight=rng.dirichlet(np.ones(3), size=2).T)
    share, likelihood = mixture.shares(guess)
    part = rate[:, None, :] * np.exp(log_delta)[:, :, None]
    part = part / part.sum(axis=0)
    rows, batch = mixture.counts.toarray(), mixture.batch
    for j in range(40):
        p = part[:, batch[j]]
        chance = guess.weight[:, batch[j]] * np.exp(rows[j] @ np.log(p))
        np.testing.assert_allclose(share[j], chance / chance.sum(), rtol=1e-8)
        np.testing.assert_allclose(likelihood[j], np.log(chance.sum()), rtol=1e-8)


def test_effects_and_states_are_found_from_a_poor_start():
    mixture, state, rate, log_delta = made()
    rng = np.random.default_rng(2)
    wrong = np.where(rng.random(len(state)) < 0.4, rng.integers(0, 3, len(state)), state)
    guess = mixture.settle(mixture.begin(wrong, ALIKE, np.zeros_like(log_delta)), most=60)
    contrast = guess.log_delta[:, 1] - guess.log_delta[:, 0]
    error = contrast - log_delta[:, 1]
    error -= np.median(error)
    assert np.average(error**2, weights=rate.sum(axis=1)) ** 0.5 < 0.08
    assert np.mean(mixture.shares(guess)[0].argmax(axis=1) == state) > 0.95
    np.testing.assert_allclose(guess.weight[0], [0.8, 0.2], atol=0.05)
    np.testing.assert_allclose(guess.rate.sum(axis=0), 1.0)


def test_held_effects_stay():
    mixture, state, _, log_delta = made(n_cells=300)
    begun = mixture.begin(state, ALIKE, log_delta)
    np.testing.assert_array_equal(mixture.settle(begun, most=5, fixed=True).log_delta, log_delta)


def test_steps_make_cells_likelier():
    mixture, state, _, log_delta = made(n_cells=600)
    guess = mixture.begin(np.roll(state, 1), ALIKE, np.zeros_like(log_delta))
    likelihoods = []
    for _ in range(8):
        guess = mixture.settle(guess, most=1)
        likelihoods.append(mixture.shares(guess)[1].sum())
    assert (np.diff(likelihoods) > -1e-6 * abs(likelihoods[0])).all()
    assert likelihoods[-1] > likelihoods[0]


def test_sums_by_shares_are_those_of_a_table():
    mixture, _, rate, log_delta = made(n_cells=90)
    mixture = replace(mixture, cells=np.arange(5, 80), genes=np.arange(0, 40, 2))
    rate, log_delta = rate[::2] / rate[::2].sum(axis=0), log_delta[::2]
    guess = guess_of(rate, log_delta)
    share, _ = mixture.shares(guess)
    table = mixture.table(guess, share)
    rows, batch = mixture.counts.toarray()[5:80], mixture.batch[5:80]
    size = rows[:, ::2].sum(axis=1)[:, None] / (np.exp(log_delta).T @ rate)[batch]
    np.testing.assert_allclose(mixture.sizes(guess), size)
    for k in range(2):
        mine = batch == k
        np.testing.assert_allclose(table.counts[:, :, k], rows[mine].T @ share[mine])
        np.testing.assert_allclose(table.squares[:, :, k], (rows[mine] ** 2).T @ (share / size)[mine])
        np.testing.assert_allclose(table.exposure[:, k], (share * size)[mine].sum(axis=0))
        np.testing.assert_allclose(table.cells[:, k], share[mine].sum(axis=0))


def test_sums_of_the_genes_that_are_looked_at_are_those_of_all():
    mixture, _, rate, log_delta = made(n_cells=90)
    looked_at = np.arange(0, 40, 3)
    mixture = replace(mixture, genes=looked_at)
    guess = guess_of(rate[looked_at] / rate[looked_at].sum(axis=0), log_delta[looked_at])
    share, _ = mixture.shares(guess)
    whole, some = mixture.table(guess, share), mixture.table(guess, share, whole=False)
    np.testing.assert_array_equal(some.counts, whole.counts[looked_at])
    np.testing.assert_array_equal(some.squares, whole.squares[looked_at])
    np.testing.assert_array_equal(some.exposure, whole.exposure)


def test_with_known_states_sums_are_those_of_cells():
    mixture, state, _, log_delta = made(n_cells=200, depth=5000)
    guess = mixture.settle(mixture.begin(state, ALIKE, log_delta), most=3)
    table = mixture.table(guess, mixture.shares(guess)[0])
    by_state = np.array([[mixture.counts[(state == s) & (mixture.batch == k)].sum() for k in (0, 1)] for s in range(3)])
    np.testing.assert_allclose(table.counts.sum(axis=0), by_state, rtol=1e-6)


def test_cells_are_of_states_of_their_level():
    mixture, state, _, log_delta = made(n_cells=200)
    level = (np.arange(200) // 2 % 2).astype(np.int32)
    code, of_level = state + 3 * level, np.repeat(np.array([0, 1], dtype=np.int32), 3)
    mixture = replace(mixture, level=level)
    share, _ = mixture.shares(mixture.begin(code, of_level, log_delta))
    assert (share[level == 0, 3:] == 0).all()
    assert (share[level == 1, :3] == 0).all()
    np.testing.assert_allclose(share.sum(axis=1), 1.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_bit(threads):
    import numba

    mixture, state, _, log_delta = made(n_cells=3000)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        found = mixture.settle(mixture.begin(state, ALIKE, log_delta), most=3).rate
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(found, mixture.settle(mixture.begin(state, ALIKE, log_delta), most=3).rate)


def test_multinomial_of_the_first_state():
    """The likelihood of cells of one state alone is that of scipy, without the coefficient."""
    mixture, _, rate, _ = made(n_cells=30)
    guess = Guess(rate[:, :1], np.zeros((40, 2)), np.ones((1, 2)), ALIKE[:1])
    rows = mixture.counts.toarray()
    whole = np.array([stats.multinomial.logpmf(y, int(y.sum()), rate[:, 0]) for y in rows])
    coefficient = np.array([stats.multinomial.logpmf(y, int(y.sum()), np.full(40, 1 / 40)) for y in rows])
    coefficient += rows.sum(axis=1) * np.log(40)
    np.testing.assert_allclose(mixture.shares(guess)[1], whole - coefficient, rtol=1e-8)
