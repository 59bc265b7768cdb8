"""Cells of few genes are shared out to states: effects come out as if these were known, and errors tell the price."""

import numpy as np
import pytest
from scipy import sparse, stats

from unbatch.core.uncertain_states import UncertainStates


def simulated(*, n_genes=30, depth=25.0, n_cells=2000, weight=(0.7, 0.1, 0.1, 0.1), apart=0.7, seed=0):
    """Cells of four states, most of them of the first; rates known as from many cells."""
    rng = np.random.default_rng(seed)
    rate = rng.lognormal(sigma=0.5, size=(n_genes, 1)) * rng.lognormal(sigma=apart, size=(n_genes, len(weight)))
    rate /= rate.sum(axis=0)
    log_delta = 0.5 * rng.standard_normal(n_genes)
    state = rng.choice(len(weight), n_cells, p=weight)
    mean = (rate * np.exp(log_delta)[:, None])[:, state].T
    counts = rng.poisson(depth * rng.lognormal(sigma=0.2, size=(n_cells, 1)) * mean)
    return sparse.csr_array(counts.astype(np.float64)), rate, log_delta, state


def mixture(counts, rate):
    return UncertainStates.of(
        counts, rate, np.full(rate.shape, 1e7), np.ones((counts.shape[0], rate.shape[1]), dtype=bool)
    )


def spread(values, weights):
    return float(np.sqrt(np.average((values - np.average(values, weights=weights)) ** 2, weights=weights)))


def hard(counts, rate, log_delta):
    """Classification: every cell in its likeliest state, in turns with effects."""
    for _ in range(60):
        mean = rate * np.exp(log_delta)[:, None]
        share = mean / mean.sum(axis=0)
        state = np.asarray(counts @ np.log(share)).argmax(axis=1)
        size = np.asarray(counts.sum(axis=1)).ravel() / mean.sum(axis=0)[state]
        log_delta = np.log(counts.sum(axis=0) / (rate[:, state] @ size))
    return log_delta


@pytest.mark.parametrize("seed", range(3))
def test_effects_are_found_though_states_are_not(seed):
    counts, rate, truth, _ = simulated(seed=seed)
    found, _ = mixture(counts, rate).settle(np.zeros(len(truth)))
    seen = np.asarray(counts.sum(axis=0)).ravel()
    assert spread(found - truth, seen) < 0.05
    assert spread(hard(counts, rate, np.zeros(len(truth))) - truth, seen) > 1.4 * spread(found - truth, seen)


def test_shares_are_posterior_probabilities():
    counts, rate, truth, _ = simulated(n_cells=50)
    one, weight = mixture(counts, rate), np.array([0.4, 0.3, 0.2, 0.1])
    share, likelihood = one.shares(truth, weight)
    part = one.rate * np.exp(truth)[:, None]
    part = part / part.sum(axis=0)
    rows = counts.toarray()
    chance = np.array([[stats.multinomial.pmf(y, int(y.sum()), p) for p in part.T] for y in rows]) * weight
    np.testing.assert_allclose(share, chance / chance.sum(axis=1, keepdims=True), rtol=1e-8)
    same = np.array([stats.multinomial.logpmf(y, int(y.sum()), part[:, 0]) for y in rows]).sum()
    same -= float((rows * np.log(part[:, 0])).sum())
    assert likelihood == pytest.approx(np.log(chance.sum(axis=1)).sum() - same)


def test_a_cell_is_only_of_states_that_it_may_be_of():
    counts, rate, truth, _ = simulated(n_cells=50)
    allowed = np.ones((50, 4), dtype=bool)
    allowed[:25, 0], allowed[0] = False, False
    share, likelihood = UncertainStates.of(counts, rate, np.full(rate.shape, 1e7), allowed).shares(truth, np.ones(4))
    assert not share[~allowed].any()
    np.testing.assert_allclose(share[1:].sum(axis=1), 1)
    assert np.isfinite(likelihood)


def test_sums_count_every_cell_once():
    counts, rate, truth, _ = simulated(n_cells=300)
    one = mixture(counts, rate)
    share, other = one.weighed(truth), sparse.hstack([counts, counts[:, :3]]).tocsr()
    table = one.table(other, truth, share)
    np.testing.assert_allclose(table.counts.sum(axis=(1, 2)), np.asarray(other.sum(axis=0)).ravel())
    assert table.cells.sum() == pytest.approx(300)
    np.testing.assert_allclose(table.exposure[:, 0], (share * one.sizes(truth)).sum(axis=0))
    expected = (other.toarray()[:, :, None] ** 2 * (share / one.sizes(truth))[:, None, :]).sum(axis=0)
    np.testing.assert_allclose(table.squares[:, :, 0], expected)


def test_errors_grow_by_what_is_lost_with_the_states():
    z2, plain = [], []
    for seed in range(12):
        counts, rate, truth, _ = simulated(seed=seed, apart=0.2, n_cells=800)
        one = mixture(counts, rate)
        found, _ = one.settle(np.zeros(len(truth)))
        seen = np.asarray(counts.sum(axis=0)).ravel()
        factor = one.inflation(found, one.weighed(found), dispersion=np.ones(30), width=np.full(30, 0.5))
        off = found - truth - np.average(found - truth, weights=seen)
        z2.append(off**2 * seen / factor)
        plain.append(off**2 * seen)
        assert (factor >= 1).all()
    assert np.mean(plain) > 1.4
    assert 0.6 < np.mean(z2) < 1.2


@pytest.mark.parametrize(("n_genes", "depth", "is_open"), [(30, 25.0, True), (300, 500.0, False)])
def test_states_are_open_where_counts_do_not_tell_them(n_genes, depth, is_open):
    counts, rate, truth, _ = simulated(n_genes=n_genes, depth=depth, apart=0.2, n_cells=500)
    one = mixture(counts, rate)
    assert one.are_open(truth, np.ones(n_genes)) is is_open


def test_rates_of_few_counts_are_drawn_to_the_usual():
    exposure = np.array([[10.0, 1e6]])
    one = UncertainStates.of(sparse.csr_array(np.ones((1, 1))), np.array([[0.0, 0.5]]), exposure, np.ones((1, 2), bool))
    usual = 5e5 / (1e6 + 10)
    np.testing.assert_allclose(one.rate, [[1 / (10 + 1 / usual), (5e5 + 1) / (1e6 + 1 / usual)]])


def test_no_cell_is_no_error():
    counts, rate, truth, _ = simulated(n_cells=20)
    none = mixture(counts, rate).among(np.zeros(0, dtype=np.int64), np.ones(4, dtype=bool))
    share = none.weighed(truth)
    assert not none.table(counts[:0], truth, share).counts.any()
    factor = none.inflation(truth, share, dispersion=np.ones(30), width=np.ones(30))
    np.testing.assert_array_equal(factor, 1.0)
