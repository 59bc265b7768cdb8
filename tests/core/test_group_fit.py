"""Sums over more cells sharpen a fit; sums over the same cells leave it as it is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch.core.composition import NO_COMPOSITION, CompositionChoice, composition_ratio
from unbatch.core.matched import fit_matched
from unbatch.core.projection import LogAxes
from unbatch.core.state_table import StateCounts, StateTable
from unbatch.io.source import open_counts
from unbatch.methods.placing import nearest_state

GENES = np.ones(200, dtype=bool)


@pytest.fixture(scope="module")
def adata():
    return ub.simulate(n_types=4, n_batches=3, composition=0.5, n_genes=200, n_cells=4000, median_depth=900, seed=1)


@pytest.fixture(scope="module")
def data(adata):
    return open_counts(adata).rows(np.arange(4000)), np.array(adata.obs["batch"].cat.codes, dtype=np.int32)


def table_of(fitted, counts, batch, level=None):
    level = np.zeros_like(batch) if level is None else level
    axes = LogAxes.of(fitted.basis, log_delta=fitted.effects.log_delta, genes=GENES)
    size, where = axes.sizes(counts, batch), axes.project(counts, batch, scale=fitted.scale)
    state = nearest_state(where, level, fitted.states.centres, fitted.states.level)
    return StateTable.of(counts, state=state, batch=batch, size=size, shape=fitted.support.shape)


def error(effects, adata):
    difference = effects.log_delta - adata.varm["log_delta_true"]
    difference -= difference.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.mean((difference - np.median(difference, axis=0)) ** 2)))


@pytest.mark.parametrize("measured", [True, False])
def test_more_cells_give_less_error(adata, data, measured):
    counts, batch = data
    there = np.ones((200, 3), dtype=bool)
    there[:5, 2] = measured
    dense = counts.toarray()
    dense[(batch[:, None] == 2) & ~there[:, 2]] = 0
    counts = sparse.csr_array(dense)
    fitted = fit_matched(counts[:800], batch[:800], measured=there)
    refitted = fitted.refit.effects(table_of(fitted, counts, batch))
    assert error(refitted, adata) < 0.75 * error(fitted.effects, adata)
    assert 0.35 < np.median(refitted.se / fitted.effects.se) < 0.65
    if not measured:
        np.testing.assert_allclose(refitted.log_delta[:5, 2], fitted.effects.log_delta[:5, 2], atol=1e-6)


def test_graded_states_are_corrected_in_each_group_and_others_are_not(data):
    counts, batch = data
    fitted = fit_matched(counts[:800], batch[:800], measured=np.ones((200, 3), dtype=bool))
    table = table_of(fitted, counts[:800], batch[:800])
    choice, lacking = CompositionChoice(3, 1.0, 1.0), np.ones((200, 3), dtype=bool)
    lacking[:5, 2] = False
    plain = replace(fitted.refit.how, choice=NO_COMPOSITION, group=np.zeros(3, dtype=np.int64))
    assert plain.composition(table, fitted.effects) is None
    np.testing.assert_array_equal(
        replace(plain, measured=lacking).composition(table, fitted.effects), lacking[:, None, :].astype(float)
    )
    found = replace(plain, choice=choice).composition(table, fitted.effects)
    expected = composition_ratio(
        table, fitted.effects.log_delta, choice, prior_sd=fitted.effects.prior_sd, genes=plain.loud, seed=plain.seed
    )
    np.testing.assert_array_equal(found, expected)
    assert np.std(np.log(found)) > 0.01


def test_the_same_cells_give_the_same_effects(data):
    counts, batch = data
    fitted = fit_matched(counts[:800], batch[:800], measured=np.ones((200, 3), dtype=bool))
    again = fitted.refit.effects(table_of(fitted, counts[:800], batch[:800]))
    moved = again.log_delta - fitted.effects.log_delta  # k-means stops before cells are those nearest to its means
    assert np.sqrt(np.mean(moved**2)) < 0.2 * np.median(fitted.effects.se)
    np.testing.assert_allclose(np.median(again.se / fitted.effects.se), 1, atol=0.05)


def test_further_cells_need_no_squares(data):
    """How cells scatter around their states the first ones tell, which here do by more than Poisson counts."""
    counts, batch = data
    over = np.random.default_rng(0).gamma(2, 0.5, counts.shape)  # negative binomial counts, of dispersion 0.5
    counts = sparse.csr_array(np.random.default_rng(1).poisson(counts.toarray() * over).astype(np.float32))
    fitted = fit_matched(counts[:800], batch[:800], measured=np.ones((200, 3), dtype=bool))
    table = table_of(fitted, counts, batch)
    bare = StateCounts(counts=table.counts, exposure=table.exposure, cells=table.cells)
    found, expected = fitted.refit.effects(bare), fitted.refit.effects(table)
    for name in ("log_delta", "se", "dispersion"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    how, loud = fitted.refit.how, counts.sum(axis=0) > 1000
    (learned,), (given,) = (
        how.fit(table, fitted.refit.start),
        how.fit(bare, fitted.refit.start, fitted.refit.dispersions),
    )
    assert np.median(learned.dispersion[loud]) > 1.5
    assert abs(np.median(np.log(given.dispersion / learned.dispersion)[loud])) < 0.1
    assert np.std(np.log(given.dispersion / learned.dispersion)[loud]) < 0.15
    assert abs(np.median(np.log(given.se / learned.se)[loud])) < 0.05


def test_groups_are_fitted_by_themselves():
    """Two batches have one level, two the other."""
    shares = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]] * 2
    options = {"n_types": 3, "n_batches": 4, "composition": shares, "median_depth": 900}
    adata = ub.simulate(n_genes=200, n_cells=4000, seed=3, **options)
    counts, batch = open_counts(adata).rows(np.arange(4000)), np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    level = (batch // 2).astype(np.int32)
    fitted = fit_matched(counts[:800], batch[:800], measured=np.ones((200, 4), dtype=bool), level=level[:800])
    assert len(set(fitted.tied.group)) == 2
    first, second = fitted.refit.dispersions
    assert (first != second).any()
    refitted, truth = fitted.refit.effects(table_of(fitted, counts, batch, level)), adata.varm["log_delta_true"]
    np.testing.assert_array_equal(refitted.dispersion, first)  # see `Effects.joined`
    for pair in ([0, 1], [2, 3]):
        found = [np.diff((effects.log_delta - truth)[:, pair]).ravel() for effects in (refitted, fitted.effects)]
        assert np.std(found[0]) < 0.7 * np.std(found[1])
        np.testing.assert_allclose(refitted.log_delta[:, pair].mean(axis=1), 0, atol=1e-12)
