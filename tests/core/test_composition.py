"""Graded states are corrected where that lowers the error, and separate ones are left alone."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch.core import composition, matched, rounds
from unbatch.core.composition import NO_COMPOSITION, CompositionChoice, choose_composition, composition_ratio
from unbatch.core.effects import Effects
from unbatch.core.log_counts import LogCounts
from unbatch.core.loglinear import fit_effects
from unbatch.core.state_table import StateTable


def ratio_of(table, effects, choice, **options):
    return composition_ratio(table, effects.log_delta, choice, prior_sd=effects.prior_sd, **options)


class Fitted(NamedTuple):
    table: StateTable
    effects: Effects
    truth: np.ndarray
    genes: np.ndarray


def fitted(**options):
    """States and effects as the estimator finds them without any correction."""
    adata = ub.simulate(**options)
    counts = sparse.csr_array(adata.X).astype(np.float64)
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    truth = adata.varm["log_delta_true"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "choose_composition", lambda *_, **__: NO_COMPOSITION)
        fit = matched.fit_matched(counts, batch, measured=np.ones(truth.shape, dtype=bool))
    size = LogCounts.of(counts, fit.effects.log_delta, batch=batch, genes=np.ones(len(truth), dtype=bool)).size
    kept = np.flatnonzero(~fit.states.apart[fit.states.code, batch])
    shape = (fit.states.n_states, truth.shape[1])
    table = StateTable.of(counts[kept], state=fit.states.code[kept], batch=batch[kept], size=size[kept], shape=shape)
    return Fitted(table, fit_effects(table), truth, np.arange(adata.n_vars))


@pytest.fixture(scope="module")
def graded():
    return fitted(confounding=0.65, n_genes=400, seed=0)


@pytest.fixture(scope="module")
def separate():
    return fitted(
        n_types=5, n_batches=3, composition=0.5, n_genes=300, n_cells=1500, median_depth=1500, variation=0.0, seed=1
    )


def rmse(log_delta, truth):
    contrasts = [values - values.mean(axis=1, keepdims=True) for values in (log_delta, truth)]
    error = contrasts[0] - contrasts[1]
    return float(np.sqrt(np.mean((error - np.median(error, axis=0)) ** 2)))


def corrected(data, choice):
    ratio = ratio_of(data.table, data.effects, choice, genes=data.genes, seed=0)
    return fit_effects(data.table, composition=ratio, start=data.effects)


@pytest.mark.parametrize("seed", [0, 1])
def test_graded_states_are_corrected_and_the_error_falls(seed):
    data = fitted(confounding=0.65, n_genes=400, seed=seed)
    choice = choose_composition(data.table, data.effects, genes=data.genes, seed=0)
    assert choice.strength > 0
    assert choice.gain > 0
    before = rmse(data.effects.log_delta, data.truth)
    assert rmse(corrected(data, choice).log_delta, data.truth) < 0.9 * before


def test_separate_states_lose_nothing(separate):
    choice = choose_composition(separate.table, separate.effects, genes=separate.genes, seed=0)
    before = rmse(separate.effects.log_delta, separate.truth)
    assert rmse(corrected(separate, choice).log_delta, separate.truth) < 1.02 * before


def test_separate_states_choose_no_correction_or_hardly_any(separate):
    choice = choose_composition(separate.table, separate.effects, genes=separate.genes, seed=0)
    ratio = ratio_of(separate.table, separate.effects, choice, genes=separate.genes, seed=0)
    assert np.sqrt(np.mean(np.log(ratio) ** 2)) < 0.1


@pytest.mark.parametrize(("shift", "clear"), [(0.15, False), (0.25, True)])
def test_a_correction_is_chosen_if_its_gain_is_twice_its_standard_error(graded, monkeypatch, shift, clear):
    """400 genes whose gains scatter by 2: the standard error of their mean is 0.1."""
    gains = 2 * np.random.default_rng(0).standard_normal(400)
    gains += shift - gains.mean()
    found = iter([np.zeros(400)] + [gains] * 24)  # without a correction first
    monkeypatch.setattr(composition, "_held_out", lambda *_, **__: next(found))
    choice = choose_composition(graded.table, graded.effects, genes=graded.genes, seed=0)
    assert (choice != NO_COMPOSITION) == clear
    assert choice.gain == pytest.approx(400 * shift if clear else 0)


@pytest.mark.parametrize(("of_noise", "clear"), [(-0.5, True), (0.05, True), (0.15, False)])
def test_what_a_model_gains_of_noise_is_taken_off(graded, monkeypatch, of_noise, clear):
    """A gain of 0.3 a gene, with a standard error of 0.1; a loss with noise does not make it larger."""
    gains = 2 * np.random.default_rng(0).standard_normal(400)
    gains += 0.3 - gains.mean()
    gains_of_noise = [part for draw in (0.5, 1.5) for part in (np.zeros(400), np.full(400, draw * of_noise))]
    losses = [np.zeros(400), np.zeros(400), -gains] * 2
    found = iter([np.zeros(400), gains, gains, gains, *losses, *gains_of_noise])
    monkeypatch.setattr(composition, "_held_out", lambda *_, **__: next(found))
    choice = choose_composition(graded.table, graded.effects, genes=graded.genes, seed=0)
    assert (choice != NO_COMPOSITION) == clear
    assert next(found, None) is None


def test_cells_that_scatter_much_are_not_taken_for_composition(monkeypatch):
    """Three types, in other shares in two batches without effects: a factor model follows what scatters."""
    data = fitted(
        n_types=3, n_batches=2, composition=0.2, n_genes=300, n_cells=3000, median_depth=500, variation=0.3, seed=23,
        dispersion=0.3, marker_log_fold_sd=0.7, log_delta_sd=0.0,
    )  # fmt: skip
    assert choose_composition(data.table, data.effects, genes=data.genes, seed=0) == NO_COMPOSITION
    monkeypatch.setattr(composition, "_mean_gain", lambda *_, **__: 0.0)
    assert choose_composition(data.table, data.effects, genes=data.genes, seed=0).strength > 0


def test_counts_without_composition_scatter_as_cells_do(graded):
    """Around the rates of states, by their dispersion, whatever the order of genes and batches."""
    effects = replace(graded.effects, dispersion=np.where(np.arange(400) < 200, 1.0, 3.0))
    draws = [
        composition._Trial.of_noise(graded.table, effects, genes=graded.genes, seed=0, draw=draw) for draw in range(20)
    ]
    drawn = np.array([trial.seen + trial.held for trial in draws])
    delta = np.exp(effects.log_delta)
    rate = graded.table.counts.sum(axis=2) / (delta @ graded.table.exposure.T)
    mean = rate[:, :, None] * graded.table.exposure * delta[:, None, :]
    far = (drawn - mean) ** 2 / np.maximum(mean, 1e-300)
    for some, dispersion in ((slice(0, 200), 1.0), (slice(200, None), 3.0)):
        assert far[:, some][:, mean[some] > 1].mean() == pytest.approx(dispersion, rel=0.03)
    assert np.mean([trial.seen.sum() / (trial.seen + trial.held).sum() for trial in draws]) == pytest.approx(
        0.7, abs=0.01
    )
    gene, batch = np.random.default_rng(1).permutation(400), np.arange(graded.table.exposure.shape[1])[::-1]
    table = replace(
        graded.table, counts=graded.table.counts[gene][:, :, batch], exposure=graded.table.exposure[:, batch]
    )
    other = replace(effects, log_delta=effects.log_delta[gene][:, batch], dispersion=effects.dispersion[gene])
    turned = composition._Trial.of_noise(table, other, genes=graded.genes, seed=0, draw=0)
    np.testing.assert_array_equal(turned.seen, draws[0].seen[gene][:, :, batch])


def test_models_of_more_factors_are_tried_until_one_gains(graded, monkeypatch):
    """A model of fewer factors than there are loses much; of those that gain, two may be worse than the best."""
    gains = 1 + np.random.default_rng(0).random(400)
    of_models = [-5 * gains, -3 * gains, gains, 0.9 * gains, 0.8 * gains]  # of 3, 4, 5, 6 and 8 factors
    of_noise = [np.zeros(400)] * 4
    found = iter([np.zeros(400)] + [part for of_one in of_models for part in (gains, gains, of_one)] + of_noise)
    monkeypatch.setattr(composition, "_held_out", lambda *_, **__: next(found))
    choice = choose_composition(graded.table, graded.effects, genes=graded.genes, seed=0)
    assert (choice.n_factors, choice.strength) == (5, 1.0)
    assert choice.gain == pytest.approx(gains.sum())
    assert next(found, None) is None


@pytest.mark.parametrize(
    ("before", "after", "given_up"), [(-0.2, -0.25, True), (-0.3, -0.25, False), (-0.1, -0.15, False)]
)
def test_models_that_lose_more_and_more_are_given_up_early(graded, monkeypatch, before, after, given_up):
    """Not those that make good what they lost: graded states may begin so. 400 genes: the standard error is 0.1."""
    gains = 2 * np.random.default_rng(0).standard_normal(400)
    gains -= gains.mean()
    of_one = [gains + before] + [gains + after] * (1 if given_up else 2)  # after 5 and 10 updates, then at the end
    found, updates = iter([np.zeros(400)] + of_one * 6), []
    monkeypatch.setattr(composition, "_held_out", lambda *_, **__: next(found))
    monkeypatch.setattr(composition.FactorModel, "update", lambda _, n: updates.append(n))
    monkeypatch.setattr(composition.FactorModel, "converge", lambda _, n: updates.append(n))
    assert choose_composition(graded.table, graded.effects, genes=graded.genes, seed=0) == NO_COMPOSITION
    assert updates == 6 * ([5, 5] if given_up else [5, 5, 120])


@pytest.mark.parametrize("seed", [2, 4])
def test_effects_are_found_though_each_batch_has_mostly_states_of_its_own(seed):
    """Were the factor model not to converge, effects would stand in for composition: errors of 0.065 and 0.067."""
    adata = ub.simulate(confounding=0.9, seed=seed)
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    truth = adata.varm["log_delta_true"]
    fit = matched.fit_matched(
        sparse.csr_array(adata.X).astype(np.float64), batch, measured=np.ones(truth.shape, dtype=bool)
    )
    off = fit.effects.log_delta - truth
    off -= off.mean(axis=1, keepdims=True)
    off -= np.median(off, axis=0)
    assert np.sqrt(np.mean(off**2)) < 0.045
    assert np.mean(np.abs(off) < 1.96 * fit.effects.se) > 0.9


def test_no_correction_is_a_ratio_of_one(graded):
    ratio = ratio_of(graded.table, graded.effects, NO_COMPOSITION, genes=graded.genes, seed=0)
    np.testing.assert_array_equal(ratio, np.ones_like(graded.table.counts))


def test_the_weighted_mean_of_the_ratios_is_one(graded):
    choice = CompositionChoice(n_factors=4, strength=1.0, gain=1.0)
    ratio = ratio_of(graded.table, graded.effects, choice, genes=graded.genes, seed=0)
    weight = graded.table.exposure * np.exp(graded.effects.log_delta)[:, None, :]
    mean = (weight * ratio).sum(axis=2) / weight.sum(axis=2)
    unclipped = (ratio < 20).all(axis=2) & (ratio > 1 / 20).all(axis=2)
    assert unclipped.mean() > 0.99
    np.testing.assert_allclose(mean[unclipped], 1, rtol=1e-9)
    assert np.std(np.log(ratio)) > 0.02


def test_strength_is_a_power(graded):
    full, half = (
        ratio_of(graded.table, graded.effects, CompositionChoice(4, strength, 1.0), genes=graded.genes, seed=0)
        for strength in (1.0, 0.5)
    )
    np.testing.assert_allclose(half, np.sqrt(full))


def even_table(n_genes=1000, n_states=6, n_batches=3):
    """Counts exactly as the model expects them, in which the cells of a state are alike in all batches."""
    rng = np.random.default_rng(0)
    loadings, activity = rng.gamma(1.0, size=(n_genes, 3)), rng.dirichlet(np.ones(3), n_states)
    exposure = rng.uniform(50, 500, (n_states, n_batches))
    log_delta = 0.5 * rng.standard_normal((n_genes, n_batches))
    counts = (loadings @ activity.T)[:, :, None] * exposure * np.exp(log_delta)[:, None, :]
    table = StateTable(counts=counts, squares=counts, exposure=exposure, cells=np.rint(exposure))
    effects = fit_effects(table)
    return table, loadings, activity, log_delta, effects


def test_equal_composition_calls_for_no_correction():
    table, _, _, log_delta, effects = even_table()
    assert rmse(effects.log_delta, log_delta) < 0.05
    ratio = ratio_of(table, effects, CompositionChoice(3, 1.0, 1.0), genes=np.arange(1000), seed=0)
    assert np.sqrt(np.mean(np.log(ratio) ** 2)) < 0.06 * np.std(log_delta)


@pytest.mark.parametrize("chosen", [slice(None), slice(0, 1000)], ids=["all genes", "half of them"])
def test_planted_differences_within_states_are_found(chosen):
    """Activities differ between the batches of a state; loadings of all genes follow from those that are chosen."""
    rng = np.random.default_rng(1)
    n_genes, n_states, n_batches = 2000, 12, 3
    loadings = rng.gamma(1.0, size=(n_genes, 3))
    mixture = rng.dirichlet(np.ones(3), n_states)[:, None, :] + 0.15 * rng.random((n_states, n_batches, 3))
    exposure = rng.uniform(50, 500, (n_states, n_batches))
    log_delta = 0.3 * rng.standard_normal((n_genes, n_batches))
    mean = np.einsum("gt,skt->gsk", loadings, mixture)
    counts = rng.poisson(mean * exposure * np.exp(log_delta)[:, None, :]).astype(float)
    table = StateTable(counts=counts, squares=counts, exposure=exposure, cells=np.rint(exposure))
    weight = exposure * np.exp(log_delta)[:, None, :]
    expected = np.log(mean / ((mean * weight).sum(axis=2) / weight.sum(axis=2))[:, :, None])
    choice = CompositionChoice(3, 1.0, 1.0)
    found = np.log(ratio_of(table, fit_effects(table), choice, genes=np.arange(n_genes)[chosen], seed=0))

    def within(values):  # a factor of a batch's gene is its effect, one of a batch's state its size
        return values - values.mean(axis=0, keepdims=True) - (values - values.mean(axis=0)).mean(axis=1, keepdims=True)

    others = slice(1000, None)
    assert np.corrcoef(within(expected)[others].ravel(), within(found)[others].ravel())[0, 1] > 0.9


def test_chunks_of_genes_change_nothing(graded, monkeypatch):
    choice = CompositionChoice(n_factors=4, strength=1.0, gain=1.0)
    options = {"genes": graded.genes, "seed": 0}
    whole = ratio_of(graded.table, graded.effects, choice, **options)
    monkeypatch.setattr("unbatch.core.composition._GENES", 7)
    monkeypatch.setattr("unbatch.core.factor_model._COUNTS", 50)
    np.testing.assert_allclose(ratio_of(graded.table, graded.effects, choice, **options), whole, rtol=1e-9)


def test_the_seed_decides(graded):
    choices = [choose_composition(graded.table, graded.effects, genes=graded.genes, seed=seed) for seed in (0, 0, 1)]
    assert choices[0] == choices[1]
    assert choices[0].gain != choices[2].gain
