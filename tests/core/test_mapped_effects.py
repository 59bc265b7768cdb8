"""Effects of one batch against fixed rates: truth, an independent solver, calibration, and what the rates rest on."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from unbatch.core.contrasts import quasi_variances
from unbatch.core.mapped_effects import fit_against
from unbatch.core.rates import Rates
from unbatch.core.state_table import StateTable

N_GENES, N_STATES = 600, 6


def problem(seed, *, exposure=400.0, size=60.0, sd=0.5, affected=1.0, n_batches=3):
    """Counts of a reference and of a new batch whose effects are known, those of a share of the genes."""
    rng = np.random.default_rng(seed)
    mu = rng.lognormal(-1.5, 1.2, size=(N_GENES, 1)) * rng.lognormal(0, 0.7, size=(N_GENES, N_STATES))
    effect = rng.normal(0, sd, N_GENES) * (np.random.default_rng(seed + 50).random(N_GENES) < affected)
    theirs = rng.poisson(mu * exposure).astype(float)
    sizes = size * rng.uniform(0.2, 1.8, N_STATES)
    cells = np.maximum(np.rint(sizes), 1)
    own = rng.poisson(mu * np.exp(effect)[:, None] * sizes).astype(float)
    squares = own + own**2 / sizes  # summed over Poisson cells of size 1, on average
    table = StateTable(
        counts=own[:, :, None], squares=squares[:, :, None], exposure=sizes[:, None], cells=cells[:, None]
    )
    rates = Rates(
        rate=theirs / exposure,
        exposure=np.full_like(mu, exposure),
        dispersion=np.ones(N_GENES),
        log_delta=np.zeros((N_GENES, n_batches)),
        se=np.full((N_GENES, n_batches), 1e-3),
        sizes=np.full((N_STATES, n_batches), exposure / n_batches),
    )
    return table, rates, effect


def centred(values):
    return values - np.median(values)


def everything(rates):
    return np.ones(len(rates.rate), dtype=bool)


def test_planted_effects_are_found_and_the_intervals_hold_them():
    inside = []
    for seed in range(3):
        table, rates, effect = problem(seed)
        found = fit_against(table, rates, measured=everything(rates))
        error = centred(found.log_delta) - centred(effect)
        assert found.prior_sd == pytest.approx(0.5, abs=0.08)
        inside.append(np.mean(np.abs(error) < 1.96 * found.se))
        assert np.std(error) < 0.9 * np.sqrt(np.mean(found.se**2)) * 1.2
    assert 0.93 < np.mean(inside) < 0.975


def test_the_mode_is_that_of_a_slow_search():
    table, rates, _ = problem(0)
    found = fit_against(table, rates, measured=everything(rates))
    for gene in range(0, N_GENES, 97):
        own, theirs = table.counts[gene, :, 0], rates.rate[gene] * rates.exposure[gene]

        def loss(b, own=own, theirs=theirs, gene=gene):
            expected = table.exposure[:, 0] * np.exp(b + found.shift)
            share = expected / (rates.exposure[gene] + expected)
            likelihood = (own * np.log(share) + theirs * np.log1p(-share)).sum() / found.dispersion[gene]
            return b**2 / (2 * found.width[gene] ** 2) - likelihood

        best = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-8})
        assert found.log_delta[gene] == pytest.approx(best.x, abs=1e-4)


def test_large_effects_of_few_genes_are_kept_and_the_others_shrunk():
    table, rates, effect = problem(6, sd=1.0, affected=0.1)
    found = fit_against(table, rates, measured=everything(rates))
    large, none = np.abs(effect) > 0.5, effect == 0
    assert (found.log_delta[large] @ effect[large]) / (effect[large] @ effect[large]) > 0.9
    assert np.median(found.width[none]) < found.prior_sd / 2
    assert np.median(found.width[large]) > found.prior_sd
    assert np.mean(np.abs(found.log_delta - effect) < 1.96 * found.se) > 0.93


def test_no_effect_is_found_where_there_is_none():
    table, rates, _ = problem(1, sd=0.0)
    found = fit_against(table, rates, measured=everything(rates))
    assert np.abs(found.log_delta).max() < 0.05
    assert found.prior_sd < 0.05


def test_errors_know_that_the_rates_are_measured_too():
    sharp, blunt = problem(2, exposure=4000.0), problem(2, exposure=30.0)
    errors = []
    for table, rates, effect in (sharp, blunt):
        found = fit_against(table, rates, measured=everything(rates))
        z = (centred(found.log_delta) - centred(effect)) / found.se
        assert 0.85 < np.std(z) < 1.2
        errors.append(np.median(found.se))
    assert errors[1] > 1.2 * errors[0]


def test_errors_know_by_which_batch_a_rate_is_known():
    table, rates, _ = problem(3)
    even = replace(rates, se=np.full((N_GENES, 3), 0.2))
    sizes = np.full((N_STATES, 3), 1e-3)
    sizes[:, 1] = 400.0
    one = replace(even, sizes=sizes)
    weight = np.ones((N_GENES, N_STATES))
    np.testing.assert_allclose(even.variances(weight), 0, atol=1e-12)
    np.testing.assert_allclose(one.variances(weight), 0.2**2, rtol=1e-3)
    np.testing.assert_allclose(replace(one, relative_to=1).variances(weight), 0, atol=1e-4)
    np.testing.assert_allclose(replace(one, relative_to=0).variances(weight), 2 * 0.06, rtol=1e-3)
    loud = table.counts.sum(axis=(1, 2)) > 300
    plain = fit_against(table, even, measured=everything(rates)).se
    wider = fit_against(table, one, measured=everything(rates)).se
    np.testing.assert_allclose(wider[loud] ** 2 - plain[loud] ** 2, 0.2**2, rtol=0.1)


def test_errors_of_the_reference_are_those_of_the_weighted_mean_less_the_mean_over_batches():
    _, rates, _ = problem(3, n_batches=5)
    rng = np.random.default_rng(0)
    se, weight = rng.uniform(0.05, 0.5, (N_GENES, 5)), rng.random((N_GENES, N_STATES))
    se[:9, 1:], sizes = np.inf, rng.uniform(1, 9, (N_STATES, 5))
    share = weight @ (sizes / sizes.sum(axis=1, keepdims=True))
    parts = np.maximum(quasi_variances(se[9:]), 0)  # below 0 for batches whose errors go with those of others
    assert (parts == 0).any()
    for relative_to, target in ((-1, np.full(5, 0.2)), (2, np.eye(5)[2])):
        found = replace(rates, se=se, sizes=sizes, relative_to=relative_to).variances(weight)
        off = share[9:] / share[9:].sum(axis=1, keepdims=True) - target
        np.testing.assert_allclose(found[9:], (parts * off**2).sum(axis=1))
    nowhere = replace(rates, se=se, sizes=sizes * [0, 1, 1, 1, 1]).variances(weight)
    assert not nowhere[:9].any()  # of one batch nothing is known but itself


def test_genes_that_either_side_lacks_are_unknown():
    table, rates, _ = problem(4)
    measured = everything(rates)
    measured[:50] = False
    rates = replace(rates, se=np.where(np.arange(N_GENES)[:, None] < 100, np.inf, rates.se))
    found = fit_against(table, rates, measured=measured)
    assert np.isinf(found.se[:100]).all()
    assert (found.log_delta[:100] == 0).all()
    assert np.isfinite(found.se[100:]).all()
    lacking = rates.of_genes(np.array([-1, 200]))
    assert lacking.known.tolist() == [False, True]


def test_genes_without_a_count_on_either_side_are_unknown():
    table, rates, _ = problem(4)
    table.counts[7], rates.rate[7] = 0, 0
    found = fit_against(table, rates, measured=everything(rates))
    assert np.flatnonzero(np.isinf(found.se)).tolist() == [7]
    assert found.log_delta[7] == 0


def test_a_state_that_the_reference_has_not_says_nothing():
    table, rates, _ = problem(5)
    without = replace(rates, exposure=np.where(np.arange(N_STATES) == 2, 0.0, rates.exposure))
    spoilt = table.counts.copy()
    spoilt[:, 2] *= 50
    right = fit_against(table, without, measured=everything(rates))
    found = fit_against(replace(table, counts=spoilt), without, measured=everything(rates))
    np.testing.assert_allclose(found.log_delta, right.log_delta, atol=0.02)


def test_a_factor_on_the_exposure_is_taken_into_account():
    table, rates, effect = problem(6)
    factor = np.exp(np.random.default_rng(0).normal(0, 1, (N_GENES, N_STATES)))
    moved = np.random.default_rng(1).poisson(rates.rate * factor * np.exp(effect)[:, None] * table.exposure[:, 0])
    changed = replace(table, counts=moved[:, :, None].astype(float))
    found = fit_against(changed, rates, measured=everything(rates), composition=factor)
    ignored = fit_against(changed, rates, measured=everything(rates))
    assert np.std(found.log_delta - effect) < 0.5 * np.std(ignored.log_delta - effect)


def test_fits_that_differ_widen_the_errors():
    table, rates, _ = problem(7)
    found = fit_against(table, rates, measured=everything(rates))
    same = found.averaged([found.log_delta, found.log_delta])
    np.testing.assert_array_equal(same.se, found.se)
    rng = np.random.default_rng(0)
    others = [found.log_delta + rng.normal(0, found.se) for _ in range(40)]
    np.testing.assert_allclose(found.averaged(others).se / found.se, np.sqrt(2), rtol=0.05)
    two = found.averaged(others[:1])
    sharp = found.se < found.prior_sd / 3
    extra = np.mean((others[0] - found.log_delta)[sharp] ** 2 / 2 / found.se[sharp] ** 2)
    np.testing.assert_allclose(two.se, found.se * np.sqrt(1 + extra))
    np.testing.assert_allclose(two.log_delta, (found.log_delta + others[0]) / 2)


def test_errors_know_how_cells_scatter():
    table, rates, _ = problem(8)
    loud = table.counts.sum(axis=(1, 2)) > 200
    plain = fit_against(table, rates, measured=everything(rates))
    scattered = fit_against(replace(table, squares=table.squares + 3 * table.counts), rates, measured=everything(rates))
    np.testing.assert_allclose(np.median((scattered.dispersion / plain.dispersion)[loud]), 4, rtol=0.2)
    np.testing.assert_allclose(np.median((scattered.se / plain.se)[loud]), 2, rtol=0.2)


def test_errors_know_how_states_scatter():
    table, rates, effect = problem(9, exposure=4000.0, size=400.0)
    rng = np.random.default_rng(0)
    moved = rng.poisson(table.counts[:, :, 0] * rng.lognormal(0, 0.4, (N_GENES, N_STATES)))[:, :, None]
    found = fit_against(replace(table, counts=moved.astype(float)), rates, measured=everything(rates))
    plain = fit_against(table, rates, measured=everything(rates))
    wrong = centred(found.log_delta) - centred(effect)
    assert np.std(wrong / found.se) < 0.5 * np.std(wrong / plain.se)
    assert np.median(found.se) > 2 * np.median(plain.se)
    assert found.state_residual.mean() > 3 * plain.state_residual.mean()


def test_a_state_too_small_to_be_judged_has_no_residual():
    table, rates, _ = problem(11)
    sizes = np.where(np.arange(N_STATES) == 2, 1e-6, 1.0)
    small = replace(table, counts=np.rint(table.counts * sizes[:, None]), exposure=table.exposure * sizes[:, None])
    residual = fit_against(small, rates, measured=everything(rates)).state_residual
    assert residual[2] == 0
    assert np.delete(residual, 2).all()


def test_a_batch_without_counts_says_nothing():
    table, rates, _ = problem(11)
    empty = replace(table, counts=table.counts * 0, squares=table.squares * 0)
    found = fit_against(empty, rates, measured=everything(rates))
    assert np.isfinite(found.log_delta).all()
    assert np.isfinite(found.shift)


def test_states_that_do_not_scatter_have_a_residual_near_one_also_where_the_batch_is_as_large_as_the_reference():
    table, rates, _ = problem(10, exposure=400.0, size=400.0)
    found = fit_against(table, rates, measured=everything(rates))
    one_effect_per_gene = (N_STATES - 1) / N_STATES
    np.testing.assert_allclose(found.state_residual.mean(), one_effect_per_gene, rtol=0.1)


def test_what_batches_of_the_reference_like_it_had_helps_and_nothing_else_does():
    table, rates, effect = problem(21, size=15.0)
    rng = np.random.default_rng(121)
    like = np.column_stack([effect + 0.15 * rng.standard_normal(N_GENES), 0.5 * rng.standard_normal((N_GENES, 2))])
    alone, informed, misled = (
        fit_against(table, replace(rates, log_delta=known), measured=everything(rates))
        for known in (rates.log_delta, like, 0.5 * rng.standard_normal((N_GENES, 3)))
    )
    error = [np.sqrt(np.mean((centred(found.log_delta) - centred(effect)) ** 2)) for found in (alone, informed, misled)]
    assert error[1] < 0.75 * error[0]
    assert error[2] < 1.02 * error[0]
    assert informed.prior_sd < 0.6 * alone.prior_sd
    assert np.mean(np.abs(centred(informed.log_delta) - centred(effect)) < 1.96 * informed.se) > 0.93


def test_genes_that_the_batch_did_not_measure_tell_nothing_of_what_it_resembles():
    table, rates, effect = problem(21, size=15.0)
    like = (effect + 0.15 * np.random.default_rng(121).standard_normal(N_GENES))[:, None] * [1.0, 0.5, 0.0]
    measured = np.arange(N_GENES) >= N_GENES // 2
    with_them, without = (
        fit_against(table, replace(rates, log_delta=known), measured=measured)
        for known in (like, np.where(measured[:, None], like, 0.0))
    )
    np.testing.assert_array_equal(with_them.log_delta, without.log_delta)
    assert not with_them.log_delta[~measured].any()
    alone = fit_against(table, rates, measured=measured)
    error = [np.std((found.log_delta - effect)[measured]) for found in (with_them, alone)]
    assert error[0] < 0.8 * error[1]
