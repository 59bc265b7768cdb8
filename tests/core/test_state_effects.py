"""Effects of states: found where they are, nothing where they are not, and what answers to something else is kept."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from scipy import stats

from unbatch.core.kernels.state_effects import fit_margins
from unbatch.core.narrow_sums import NarrowSums
from unbatch.core.state_effects import StateEffects, _Scatter, fit_state_effects
from unbatch.core.state_table import StateTable

N_GENES, N_STATES, N_BATCHES = 400, 12, 4


def planted(log_rho, *, seed=0, depth=60.0, dispersion=1.0, exposure=None):
    """Sums of states and batches with effects of batches, of states, and as many counts as `depth` says."""
    rng = np.random.default_rng(seed)
    if exposure is None:
        exposure = rng.uniform(0.3, 2.0, (N_STATES, N_BATCHES))
    rate, log_delta = rng.lognormal(0, 1, (N_GENES, N_STATES, 1)), rng.normal(0, 0.4, (N_GENES, 1, N_BATCHES))
    mean = depth * exposure * rate * np.exp(log_delta + log_rho)
    counts = rng.poisson(mean / dispersion) * dispersion
    table = StateTable(counts=counts, squares=counts, exposure=exposure, cells=np.full(exposure.shape, 50.0))
    return table, log_delta[:, 0]


def fit(table, log_delta, *, dispersion=1.0, support=None, composition=None):
    return fit_state_effects(
        table,
        log_delta=log_delta,
        dispersion=np.full(N_GENES, dispersion),
        support=np.ones((N_STATES, N_BATCHES), dtype=bool) if support is None else support,
        composition=composition,
    )


def gamma(variance, *, seed=1):
    return np.log(np.random.default_rng(seed).gamma(1 / variance, variance, (N_GENES, N_STATES, N_BATCHES)))


def test_sums_in_single_precision_give_the_same():
    table, log_delta = planted(gamma(0.09), depth=300.0)
    counts, squares = (NarrowSums(sums.astype(np.float32)) for sums in (table.counts, table.squares))
    wide, narrow = fit(table, log_delta), fit(replace(table, counts=counts, squares=squares), log_delta)
    assert narrow.sd == pytest.approx(wide.sd, rel=1e-6)
    assert wide.sd > 0.2
    assert (narrow.steps != wide.steps).mean() < 1e-3


@pytest.mark.parametrize("dispersion", [1.0, 2.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_where_states_do_not_differ_rho_stays_one(seed, dispersion):
    found = fit(*planted(np.zeros((1, 1, 1)), seed=seed, dispersion=dispersion), dispersion=dispersion)
    assert found.sd < 0.04
    assert np.abs(found.log_rho).max() < 0.08
    assert np.sqrt((found.log_rho**2).mean()) < 0.005


@pytest.mark.parametrize("sd", [0.15, 0.3])
def test_planted_effects_of_states_are_found(sd):
    truth = gamma(sd**2)
    table, log_delta = planted(truth, depth=300.0)
    found = fit(table, log_delta)
    assert found.sd == pytest.approx(sd, rel=0.15)
    # what is common to a batch or a state is no effect of a state
    loud = (table.counts > 100).all(axis=(1, 2))
    centred = truth - truth.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=2, keepdims=True)
    error = found.log_rho.transpose(2, 0, 1)[loud] - centred[loud]
    assert np.sqrt((error**2).mean()) < 0.5 * np.sqrt((centred[loud] ** 2).mean())


def test_thin_support_shrinks_to_the_effect_on_all_states():
    exposure = np.ones((N_STATES, N_BATCHES))
    exposure[0] = 0.001
    found = fit(*planted(gamma(0.09), depth=300.0, exposure=exposure)).log_rho
    assert np.abs(found[0]).mean() < 0.15 * np.abs(found[1:]).mean()


def test_one_state_that_answers_in_some_genes_keeps_its_answer():
    """The response of one type to a condition that two of the batches have in common."""
    answers = np.zeros((N_GENES, N_STATES, N_BATCHES))
    answers[:40, 3, 2:] = np.log(3.0)
    table, log_delta = planted(answers, depth=300.0)
    found = fit(table, log_delta)
    kept = 1 - (found.log_rho[3, 2:, :40].mean() - found.log_rho[3, :2, :40].mean()) / np.log(3.0)
    assert found.sd < 0.05
    assert kept > 0.9


def test_no_effect_of_a_state_exceeds_two_standard_deviations():
    table, log_delta = planted(gamma(0.04), depth=300.0)
    table.counts[:20, 0, 0] *= 100
    found = fit(table, log_delta)
    assert np.abs(found.log_rho).max() == pytest.approx(2 * found.sd)
    assert found.log_rho[0, 0, :20].mean() > 0


def test_on_average_over_the_counts_of_a_batch_rho_is_one():
    truth = gamma(0.04)
    truth[:, :4, 0] += 1.0  # beyond the limit, which alone would leave the average below 1
    table, log_delta = planted(truth, depth=300.0)
    rho = np.exp(fit(table, log_delta).log_rho).transpose(2, 0, 1)
    for gene in range(N_GENES):
        mean = table.exposure.copy()
        fit_margins(table.counts[gene], 30, mean)
        average = (mean * rho[gene]).sum(axis=0) / mean.sum(axis=0)
        assert np.abs(average - 1).max() < 0.01


def test_batches_that_take_no_part_and_states_of_one_batch_have_no_effect():
    support = np.ones((N_STATES, N_BATCHES), dtype=bool)
    support[0, 1:] = False
    support[1, 2] = False
    steps = fit(*planted(gamma(0.09), depth=300.0), support=support).steps
    assert not steps[0].any()
    assert not steps[1, 2].any()
    assert steps[1, 0].any()


def test_what_composition_explains_is_no_effect_of_a_state():
    composition = np.exp(gamma(0.09, seed=5))
    table, log_delta = planted(np.log(composition), depth=300.0)
    assert fit(table, log_delta).sd > 0.2
    assert fit(table, log_delta, composition=composition).sd < 0.05


def test_a_batch_that_did_not_measure_a_gene_has_no_effect_on_it():
    composition = np.ones((N_GENES, 1, N_BATCHES))
    composition[:100, :, 3] = 0
    table, log_delta = planted(gamma(0.09), depth=300.0)
    table.counts[:100, :, 3] = 0
    found = fit(table, log_delta, composition=composition)
    assert not found.steps[:, 3, :100].any()
    assert found.steps[:, 3, 100:].any()
    assert found.sd == pytest.approx(0.3, rel=0.2)


def test_genes_without_counts_and_no_data_at_all_give_nothing():
    table, log_delta = planted(gamma(0.09))
    table.counts[:50] = 0
    assert not fit(table, log_delta).steps[:, :, :50].any()
    table.counts[:] = 0
    assert fit(table, log_delta).sd == 0


def test_threads_do_not_change_a_bit():
    data, before = planted(gamma(0.09)), numba.get_num_threads()
    found = []
    for n in (1, before):
        numba.set_num_threads(n)
        found.append(fit(*data).steps)
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_steps_are_factors_and_find_their_places():
    states = StateEffects(np.array([[[-127, 0, 127]]], dtype=np.int8), unit=0.01, sd=0.5)
    np.testing.assert_allclose(states.log_rho, [[[-1.27, 0, 1.27]]])
    assert states.factors.shape == (255,)
    np.testing.assert_allclose(states.factors[[0, 127, 254]], np.exp([-1.27, 0, 1.27]))
    assert states.of_genes(np.array([2, 0])).steps.tolist() == [[[127, -127]]]
    wide = states.among_batches(np.array([2]), 4)
    assert wide.steps.shape == (1, 4, 3)
    assert wide.steps[0, 2].tolist() == [-127, 0, 127]
    assert not wide.steps[0, [0, 1, 3]].any()


def test_the_usual_variance_is_where_half_of_what_genes_can_say_lies_above():
    rng = np.random.default_rng(0)
    free, gain = rng.uniform(2, 30, 501), rng.lognormal(5, 1.5, 501)
    noise = free * rng.uniform(1, 3, 501)
    variance = np.where(gain > 200, 0.05, 0.5)  # those that can say little say something else
    squares = (noise + variance * gain * rng.lognormal(0, 0.8, 501)) * rng.chisquare(free) / free
    found = _Scatter(squares, noise, free, gain).usual_variance()
    # a gene counts by its degrees of freedom times the square of the share that a notable variance has in its scatter
    weight = free * (0.01 * gain / (noise + 0.01 * gain)) ** 2
    shares = []
    for variance in (found * (1 - 1e-6), found * (1 + 1e-6)):
        above = squares > (noise + variance * gain) * stats.chi2.median(free) / free
        shares.append(weight[above].sum() / weight.sum())
    assert shares[0] >= 0.5 >= shares[1]


def test_relative_to_a_batch_it_has_none_and_the_others_the_ratio():
    steps = np.random.default_rng(0).integers(-60, 61, (3, 4, 5)).astype(np.int8)
    found = StateEffects(steps, 0.01, 0.2).relative_to(1)
    np.testing.assert_allclose(found.log_rho, 0.01 * (steps - steps[:, [1]].astype(float)), atol=1e-12)
    assert not found.steps[:, 1].any()
    wide = StateEffects(np.array([[[120], [-100]]], dtype=np.int8), 0.01, 0.2).relative_to(1)
    np.testing.assert_allclose(wide.log_rho.ravel(), [2.2, 0.0])


def test_what_is_not_known_has_no_effects_of_states():
    steps = np.full((2, 3, 4), 7, dtype=np.int8)
    known = np.random.default_rng(0).random((4, 3)) < 0.5
    found = StateEffects(steps, 0.01, 0.2).of_known(known)
    assert found.steps.dtype == np.int8
    np.testing.assert_array_equal(found.steps, np.where(known.T, 7, 0) * np.ones((2, 1, 1)))
