"""Effects of state-by-batch sums: planted ones come back with honest errors, and an independent optimiser agrees."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, sparse

from unbatch.core import loglinear, posterior, scatter
from unbatch.core.dispersion import squeeze
from unbatch.core.loglinear import fit_effects, fit_log_delta
from unbatch.core.scatter import Scatter
from unbatch.core.state_table import StateTable

N_GENES, N_STATES, N_BATCHES = 150, 4, 3


class Data:
    """Cells of a few states in a few batches with planted effects."""

    def __init__(self, seed=0, *, sd=0.5, n_cells=900, n_genes=N_GENES, n_batches=N_BATCHES, phi=1.0, depth=2.0):
        rng = np.random.default_rng(seed)
        self.batch = rng.integers(0, n_batches, n_cells).astype(np.int32)
        shares = rng.dirichlet(np.full(N_STATES, 1.0), size=n_batches).cumsum(axis=1)
        self.state = (rng.random(n_cells)[:, None] > shares[self.batch, :-1]).sum(axis=1).astype(np.int32)
        self.log_delta = sd * rng.standard_normal((n_genes, n_batches))
        self.size = np.exp(0.3 * rng.standard_normal(n_cells))
        self.mu = depth * np.exp(rng.standard_normal((n_genes, 1)) + 0.7 * rng.standard_normal((n_genes, N_STATES)))
        mean = self.size[:, None] * (self.mu[:, self.state] * np.exp(self.log_delta[:, self.batch])).T
        counts = rng.poisson(mean) if phi == 1 else rng.negative_binomial(mean / (phi - 1), 1 / phi)
        self.counts = sparse.csr_array(counts.astype(np.float64))
        self.shape = (N_STATES, n_batches)
        self.table = StateTable.of(
            self.counts, state=self.state, batch=self.batch, size=self.size, shape=(N_STATES, n_batches)
        )


@pytest.fixture(scope="module")
def data():
    return Data()


@pytest.fixture(scope="module")
def fitted(data):
    return fit_effects(data.table)


def centred(log_delta):
    """Contrasts over batches, without a factor common to the genes of a batch."""
    contrasts = log_delta - log_delta.mean(axis=1, keepdims=True)
    return contrasts - np.median(contrasts, axis=0)


def per_batch(weights, n_batches):
    return np.tile(np.array(weights, dtype=float)[:, None], n_batches)


def batch_scale(table, effects, composition=None):
    """Recover the factor common to all genes of a batch from the rates: they absorb it."""
    composition = np.ones_like(table.counts) if composition is None else composition
    per_scale = table.exposure * composition * np.exp(effects.log_delta)[:, None, :]
    observed = table.counts.sum(axis=2) / np.maximum(effects.rate, 1e-300)
    known = effects.rate > 0
    return np.linalg.lstsq(per_scale[known], observed[known], rcond=None)[0]


# the estimate


def test_planted_effects_are_recovered(data, fitted):
    truth, found = centred(data.log_delta), centred(fitted.log_delta)
    assert np.corrcoef(truth.ravel(), found.ravel())[0, 1] > 0.98
    assert 0.9 < np.sum(truth * found) / np.sum(truth**2) < 1.05
    naive = centred(np.log(data.table.counts.sum(axis=1) + 0.5))
    assert np.std(found - truth) < 0.5 * np.std(naive - truth)


def test_the_same_sums_give_the_same_effects_without_learning_anew(data, fitted):
    np.testing.assert_allclose(fit_log_delta(data.table, fitted), fitted.log_delta, atol=5e-3)


def test_effects_without_learning_are_free_of_what_is_common_to_a_batch(data, fitted):
    found = fit_log_delta(data.table, fitted, composition=np.array([[[1.0, 1.5, 0.7]]]))
    np.testing.assert_allclose(found, fitted.log_delta, atol=0.03)


def test_rates_are_those_of_the_states(data, fitted):
    scale = batch_scale(data.table, fitted)
    ratio = np.log(fitted.rate / data.mu)
    spread = ratio - np.median(ratio, axis=1, keepdims=True)
    assert np.median(np.abs(spread)) < 0.05
    expected = np.einsum("gs,sk,gk,k->gs", fitted.rate, data.table.exposure, np.exp(fitted.log_delta), scale)
    np.testing.assert_allclose(expected, data.table.counts.sum(axis=2), rtol=1e-8)


@pytest.mark.parametrize("graded", [False, True])
def test_an_independent_optimiser_finds_the_same_mode(data, graded):
    rng = np.random.default_rng(3)
    composition = np.exp(0.3 * rng.standard_normal(data.table.counts.shape)) if graded else None
    effects = fit_effects(data.table, composition=composition)
    scale = batch_scale(data.table, effects, composition)
    for gene in (0, 40, 149):
        counts = data.table.counts[gene]
        exposure = data.table.exposure * scale * (1 if composition is None else composition[gene])

        width = effects.width[gene]
        prior = np.linalg.inv(width[:, None] * effects.correlation.matrix * width)

        def loss(b, counts=counts, exposure=exposure, phi=effects.dispersion[gene], prior=prior):
            mean = exposure * np.exp(b)
            share = mean / mean.sum(axis=1, keepdims=True)
            return -(counts * np.log(share)).sum() / phi + b @ prior @ b / 2

        best = optimize.minimize(loss, np.zeros(N_BATCHES), method="BFGS", options={"gtol": 1e-7})
        np.testing.assert_allclose(effects.log_delta[gene], best.x, atol=5e-5)


def test_standard_errors_are_those_of_the_posterior(data, fitted):
    """Without excess of states over cells, the curvature of the written posterior, centred, gives them."""
    scale, centring = batch_scale(data.table, fitted), np.eye(N_BATCHES) - 1 / N_BATCHES
    for gene in (1, 60):
        mean = data.table.exposure * scale * np.exp(fitted.log_delta[gene])
        share = mean / mean.sum(axis=1, keepdims=True)
        information = np.zeros((N_BATCHES, N_BATCHES))
        for total, p in zip(data.table.counts[gene].sum(axis=1), share, strict=True):
            information += total * (np.diag(p) - np.outer(p, p))
        information /= fitted.dispersion[gene]
        covariance = np.linalg.inv(information + np.linalg.inv(np.diag(fitted.prior_sd**2) @ fitted.correlation.matrix))
        expected = np.sqrt(np.diag(centring @ covariance @ centring))
        assert (fitted.se[gene] >= expected * 0.999).all()
        assert (fitted.se[gene] <= expected * 1.15).all()


@pytest.fixture
def flat_prior(monkeypatch):
    monkeypatch.setattr(loglinear, "_LEAST_SD", 1e3)
    monkeypatch.setattr(loglinear, "_MOST_SD", 1e3)


def poisson_mle(table, gene):
    """Poisson log-linear model, one parameter per state and per batch but the first, by a general optimiser."""
    counts, exposure = table.counts[gene], table.exposure

    def loss(parameters):
        log_mean = parameters[:N_STATES, None] + np.append(0, parameters[N_STATES:])
        mean = exposure * np.exp(log_mean)
        residual = mean - counts
        return (mean - counts * log_mean).sum(), np.concatenate([residual.sum(axis=1), residual.sum(axis=0)[1:]])

    start = np.zeros(N_STATES + counts.shape[1] - 1)
    found = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 2000})
    return np.append(0, found.x[N_STATES:])


@pytest.mark.usefixtures("flat_prior")
def test_with_a_flat_prior_it_is_the_poisson_maximum_likelihood(data):
    effects = fit_effects(data.table)
    genes = np.argsort(-data.table.counts.sum(axis=(1, 2)))[:100:10]
    expected = np.stack([poisson_mle(data.table, gene) for gene in genes])
    found = effects.log_delta[genes] - effects.log_delta[genes][:, :1]
    difference = found - expected
    np.testing.assert_allclose(difference, np.broadcast_to(difference[0], difference.shape), atol=1e-4)


def with_private_state(data, batch):
    """Add a state that one batch alone has, with a profile of its own."""
    rng = np.random.default_rng(9)
    mean = 3 * np.exp(rng.standard_normal(N_GENES))
    private = sparse.csr_array(rng.poisson(mean, size=(80, N_GENES)).astype(np.float64))
    return StateTable.of(
        sparse.csr_array(sparse.vstack([data.counts, private])),
        state=np.append(data.state, np.full(80, N_STATES)).astype(np.int32),
        batch=np.append(data.batch, np.full(80, batch)).astype(np.int32),
        size=np.append(data.size, np.ones(80)),
        shape=(N_STATES + 1, N_BATCHES),
    )


@pytest.mark.usefixtures("flat_prior")
def test_a_state_of_one_batch_says_nothing(data):
    more = fit_effects(with_private_state(data, 1))
    np.testing.assert_allclose(centred(more.log_delta), centred(fit_effects(data.table).log_delta), atol=1e-5)


def test_a_state_of_one_batch_says_hardly_anything_by_the_prior(data, fitted):
    more = fit_effects(with_private_state(data, 1))
    assert np.abs(centred(more.log_delta) - centred(fitted.log_delta)).max() < 0.02
    np.testing.assert_allclose(more.se, fitted.se, rtol=0.1)


def test_medians_of_batches_are_equal(data, fitted):
    """The weighted medians of all batches agree; for two batches they are 0."""
    weights = data.table.counts.sum(axis=(1, 2))
    medians = loglinear._weighted_medians(fitted.log_delta, per_batch(weights, N_BATCHES))
    assert np.ptp(medians) < 0.02
    assert np.abs(medians).max() < 0.1
    two = Data(seed=5, n_batches=2)
    weights = per_batch(two.table.counts.sum(axis=(1, 2)), 2)
    medians = loglinear._weighted_medians(fit_effects(two.table).log_delta, weights)
    np.testing.assert_allclose(medians, 0, atol=1e-3)


def test_weighted_medians_halve_the_weight():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(51, 2)), rng.integers(1, 9, 51)
    repeated = np.repeat(values, weights, axis=0)
    expected = np.quantile(repeated, 0.5, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(loglinear._weighted_medians(values, per_batch(weights, 2)), expected)


# what is learned


@pytest.mark.parametrize("planted", [0.2, 0.5, 1.0])
def test_the_prior_learns_how_large_effects_are(planted):
    found = [fit_effects(Data(seed=seed, sd=planted, n_genes=400).table).prior_sd for seed in (1, 2)]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(found))), planted, rtol=0.08)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_effects_everything_shrinks_to_nothing(seed):
    null = Data(seed=seed, sd=0.0, n_genes=400)
    effects = fit_effects(null.table)
    raw = np.std(centred(np.log(null.table.counts.sum(axis=1) + 0.5)))
    assert (effects.prior_sd < 0.03).all()
    assert np.sqrt(np.mean(effects.log_delta**2)) < 0.01
    assert raw > 0.1


@pytest.mark.parametrize("n_genes", [60, 400])
def test_errors_know_that_few_counts_hardly_tell_the_width_of_the_prior(n_genes):
    """A batch with next to no counts seems to have no effects; a wide prior is nearly as likely."""
    null = Data(seed=1, sd=0.0, n_genes=n_genes)
    counts, rng = null.counts.toarray(), np.random.default_rng(0)
    counts[null.batch == 2] = rng.binomial(counts[null.batch == 2].astype(int), 0.01)
    table = StateTable.of(
        sparse.csr_array(counts), state=null.state, batch=null.batch, size=null.size, shape=(N_STATES, N_BATCHES)
    )
    effects = fit_effects(table)
    assert np.median(effects.se[:, 2]) > effects.prior_sd[2]
    for gene in (0, 5):
        total, p = table.counts[gene].sum(axis=1), table.exposure * batch_scale(table, effects)
        p = p / p.sum(axis=1, keepdims=True)
        own = float((total * p[:, 2] * (1 - p[:, 2])).sum())
        assert effects.se[gene, 2] < 1 / np.sqrt(own)


def test_each_batch_has_a_prior_of_its_own():
    data = Data(seed=4, sd=0.0, n_genes=400)
    rng = np.random.default_rng(0)
    counts = data.counts.toarray()
    mine = data.batch == 2
    factor = np.exp(0.6 * rng.standard_normal(400))
    counts[mine] = rng.poisson(data.size[mine, None] * data.mu[:, data.state[mine]].T * factor)
    table = StateTable.of(
        sparse.csr_array(counts), state=data.state, batch=data.batch, size=data.size, shape=(N_STATES, N_BATCHES)
    )
    prior_sd = fit_effects(table).prior_sd
    assert prior_sd[2] > 0.45
    assert (prior_sd[:2] < 0.15).all()


@pytest.mark.parametrize("phi", [1.0, 2.5])
def test_the_dispersion_is_that_of_the_cells(phi):
    dispersion = fit_effects(Data(seed=6, phi=phi, n_cells=1500).table).dispersion
    assert (dispersion >= 1).all()
    assert np.median(dispersion) == pytest.approx(phi, rel=0.05)


def test_a_state_with_effects_of_its_own_shows_in_the_residuals(data, fitted):
    counts = data.table.counts.copy()
    counts[:, 1, 1] *= np.exp(0.7 * np.random.default_rng(2).standard_normal(N_GENES))
    table = StateTable(counts=counts, squares=data.table.squares, exposure=data.table.exposure, cells=data.table.cells)
    residual = fit_effects(table).state_residual
    shared = fitted.state_residual[data.table.cells > 20]
    assert ((shared > 0.4) & (shared < 1.2)).all()  # below 1, since the effects were fitted to these few states
    assert residual[1].max() > 3
    assert np.median(fitted.gene_residual) == pytest.approx(1.0, abs=0.4)


@pytest.mark.parametrize(("phi", "depth"), [(1.0, 2.0), (2.0, 1.0), (1.0, 0.1)])
def test_intervals_cover_the_truth(phi, depth):
    inside = []
    for seed in range(10, 16):
        data = Data(seed=seed, phi=phi, depth=depth, n_cells=600)
        effects = fit_effects(data.table)
        error = centred(effects.log_delta - data.log_delta)
        inside.append(np.abs(error) <= 1.96 * effects.se)
    assert 0.92 < np.mean(inside) < 0.975


def test_more_cells_make_smaller_errors():
    few, many = (fit_effects(Data(seed=7, n_cells=n).table) for n in (400, 1600))
    assert np.median(many.se / few.se) == pytest.approx(0.5, abs=0.1)


def witnesses(seed, *, own, n_states=40, n_kinds=5, n_genes=300):
    """Two batches in many states of a few kinds, each of which the batch affects in its own way; and the truth."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(n_kinds), n_states // n_kinds)
    log_delta = 0.4 * rng.standard_normal(n_genes)
    further = own * rng.standard_normal((n_genes, n_kinds))
    further -= further.mean(axis=1, keepdims=True)
    exposure = rng.uniform(20, 40, (n_states, 2)) * rng.lognormal(0, 1, n_kinds)[kind][:, None]
    mean = np.exp(rng.normal(0, 0.7, (n_genes, n_states)))[:, :, None] * np.repeat(exposure[None], n_genes, axis=0)
    mean[:, :, 1] *= np.exp(log_delta[:, None] + further[:, kind])
    counts = rng.poisson(mean).astype(np.float64)
    table = StateTable(counts=counts, squares=counts + counts**2 / exposure, exposure=exposure, cells=np.rint(exposure))
    return table, kind, np.column_stack([np.zeros(n_genes), log_delta])


def covered(effects, truth):
    return np.mean(np.abs(centred(effects.log_delta) - centred(truth)) < 1.96 * effects.se)


def test_states_that_are_affected_alike_are_no_independent_witnesses():
    cover = {True: [], False: []}
    for seed in range(3):
        table, kind, truth = witnesses(seed, own=0.3)
        for told, shares in cover.items():
            shares.append(covered(fit_effects(table, kind=kind if told else None), truth))
    assert np.mean(cover[False]) < 0.8
    assert np.mean(cover[True]) > 0.93


def test_kinds_change_next_to_nothing_where_states_scatter_by_themselves():
    for seed in range(3):
        table, kind, truth = witnesses(seed, own=0.0)
        plain, told = fit_effects(table), fit_effects(table, kind=kind)
        np.testing.assert_allclose(np.median(told.se / plain.se), 1, atol=0.03)
        assert covered(told, truth) > 0.92
    alone = fit_effects(table, kind=np.zeros(40, dtype=np.int64))
    np.testing.assert_array_equal(alone.se, plain.se)


# how it is computed


@pytest.mark.parametrize("chunk", [1, 37])
def test_chunks_of_genes_change_nothing(monkeypatch, data, fitted, chunk):
    for module in (posterior, scatter):
        monkeypatch.setattr(module, "_GENES", chunk)
    pieces = fit_effects(data.table)
    for name in ("log_delta", "se", "prior_sd", "dispersion", "rate", "state_residual", "gene_residual", "objective"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(fitted, name), rtol=1e-7, atol=1e-9)


def test_a_start_changes_the_way_and_not_the_end(data, fitted):
    again = fit_effects(data.table, start=fitted)
    np.testing.assert_allclose(again.log_delta, fitted.log_delta, atol=2e-3)
    np.testing.assert_allclose(again.prior_sd, fitted.prior_sd, rtol=5e-3)


def test_genes_that_a_batch_did_not_measure_are_compared_between_the_others(data):
    counts = data.table.counts.copy()
    counts[:30, :, 2] = 0
    composition = np.ones_like(counts)
    composition[:30, :, 2] = 0
    table = StateTable(
        counts=counts, squares=data.table.squares * composition, exposure=data.table.exposure, cells=data.table.cells
    )
    effects = fit_effects(table, composition=composition)
    np.testing.assert_allclose(effects.log_delta[:30, 2], 0, atol=1e-6)
    found = effects.log_delta[:30, 0] - effects.log_delta[:30, 1]
    truth = data.log_delta[:30, 0] - data.log_delta[:30, 1]
    assert np.corrcoef(found, truth)[0, 1] > 0.97
    assert np.isfinite(effects.se).all()


@pytest.mark.parametrize("phi", [1.0, 2.5])
def test_errors_held_the_prior_of_a_batch_that_did_not_measure_the_gene(phi):
    """They are of contrasts among the batches that did, and so those of a fit without the other one."""
    data = Data(seed=8, phi=phi)
    composition = np.ones_like(data.table.counts)
    composition[:, :, 2] = 0
    table = StateTable(
        counts=data.table.counts * composition,
        squares=data.table.squares * composition,
        exposure=data.table.exposure,
        cells=data.table.cells,
    )
    found = fit_effects(table, composition=composition)
    alone = fit_effects(data.table.of_batches(np.array([True, True, False])))
    np.testing.assert_allclose(found.dispersion, alone.dispersion, rtol=1e-3)
    np.testing.assert_allclose(found.se[:, :2], alone.se, rtol=0.02)
    np.testing.assert_allclose(centred(found.log_delta[:, :2]), centred(alone.log_delta), atol=0.02)


def test_genes_without_counts_get_no_effect(data):
    counts, squares = data.table.counts.copy(), data.table.squares.copy()
    counts[:5], squares[:5] = 0, 0
    effects = fit_effects(
        StateTable(counts=counts, squares=squares, exposure=data.table.exposure, cells=data.table.cells)
    )
    np.testing.assert_array_equal(effects.log_delta[:5], 0)
    np.testing.assert_array_equal(effects.rate[:5], 0)
    assert np.isfinite(effects.se).all()


# variance ratios


def test_squeeze_follows_its_formula():
    rng = np.random.default_rng(0)
    freedom = rng.integers(3, 30, 300).astype(float)
    ratio = 1.7 * np.exp(0.8 * rng.standard_normal(300))
    common = (freedom * ratio).sum() / freedom.sum()
    spread = (freedom * (ratio / common - 1) ** 2).sum() / freedom.sum()
    between = spread - 2 * 300 / freedom.sum()
    prior = 2 / between
    expected = [(prior * common + d * r) / (prior + d) for d, r in zip(freedom, ratio, strict=True)]
    np.testing.assert_allclose(squeeze(ratio, freedom), expected, rtol=1e-12)


def test_chi_square_noise_is_squeezed_to_the_common_value():
    rng = np.random.default_rng(1)
    freedom = np.full(5000, 6.0)
    squeezed = squeeze(2.0 * rng.chisquare(6, 5000) / 6, freedom)
    np.testing.assert_allclose(squeezed, 2.0, rtol=0.1)


def test_well_known_ratios_stay():
    ratio = np.array([0.5, 1.0, 2.0, 8.0])
    np.testing.assert_allclose(squeeze(ratio, np.full(4, 1e7)), ratio, rtol=1e-3)


def test_genes_without_a_ratio_take_the_common_one():
    ratio, freedom = np.array([1.0, 4.0, 0.0]), np.array([20.0, 20.0, 0.0])
    assert squeeze(ratio, freedom)[2] == pytest.approx(2.5)
    np.testing.assert_array_equal(squeeze(np.zeros(3), np.zeros(3)), 1)


# views of a result


def test_effects_among_all_batches_and_back(data):
    chosen = np.array([True, False, True])
    effects = fit_effects(data.table.of_batches(chosen))
    wide = effects.among(chosen)
    np.testing.assert_array_equal(wide.log_delta[:, 1], 0)
    assert np.isinf(wide.se[:, 1]).all()
    assert wide.prior_sd[1] == 0
    np.testing.assert_array_equal(wide.state_residual[:, 1], 0)
    back = wide.of_batches(chosen)
    for name in ("log_delta", "se", "prior_sd", "state_residual", "rate", "dispersion"):
        np.testing.assert_array_equal(getattr(back, name), getattr(effects, name))


def test_no_batch_among_all(fitted):
    nothing = fitted.among(np.zeros(N_BATCHES, dtype=bool))
    np.testing.assert_array_equal(nothing.log_delta, 0)
    assert np.isinf(nothing.se).all()


def test_states_that_only_the_second_group_has_keep_its_rates(fitted):
    first, second = np.array([True, False, False]), np.array([False, True, True])
    one, two = fitted.of_batches(first), replace(fitted, rate=2 * fitted.rate, exposure=3 * fitted.exposure)
    lacking = replace(one, rate=one.rate * [1, 1, 0, 0], exposure=one.exposure * [1, 1, 0, 0])
    both = lacking.among(first).joined(two.of_batches(second), second)
    np.testing.assert_array_equal(both.rate, np.hstack([fitted.rate[:, :2], 2 * fitted.rate[:, 2:]]))
    np.testing.assert_array_equal(both.exposure, np.hstack([fitted.exposure[:, :2], 3 * fitted.exposure[:, 2:]]))
    np.testing.assert_array_equal(both.log_delta, fitted.log_delta)


def moved(effects, rng, sd):
    """The same effects moved at random by some standard errors, as by another partition of the cells."""
    return replace(effects, log_delta=effects.log_delta + sd * effects.se * rng.standard_normal(effects.se.shape))


@pytest.mark.parametrize("sd", [0.0, 0.3, 2.0])
def test_averaging_widens_errors_by_how_far_fits_differ(fitted, sd):
    rng = np.random.default_rng(0)
    fits = [moved(fitted, rng, sd) for _ in range(4)]
    genes = fitted.se[:, 0] < np.median(fitted.se[:, 0])
    averaged = fits[0].averaged([fit.log_delta for fit in fits[1:]], genes=genes)
    all_fits = np.stack([fit.log_delta for fit in fits])
    np.testing.assert_allclose(averaged.log_delta, all_fits.mean(axis=0))
    factor = averaged.se / fitted.se
    np.testing.assert_allclose(factor, factor[0, 0])
    sharp = genes[:, None] & (fitted.se < fitted.prior_sd / 3)
    assert sharp.sum() > 200
    between = np.var(all_fits, axis=0, ddof=1)[sharp] / fitted.se[sharp] ** 2
    np.testing.assert_allclose(factor[0, 0] ** 2, 1 + between.mean())
    np.testing.assert_allclose(factor[0, 0] ** 2 - 1, sd**2, rtol=0.3)


@pytest.mark.parametrize("n_sharp", [0, 1])
def test_a_few_effects_do_not_decide_by_how_far(fitted, n_sharp):
    genes = np.ones(N_GENES, dtype=bool)
    vague = replace(fitted, prior_sd=np.full(N_BATCHES, 3.0001 * np.sort(fitted.se, axis=None)[n_sharp]))
    others = [moved(vague, np.random.default_rng(1), 1.0).log_delta for _ in range(3)]
    first = np.argmin(fitted.se)
    for other, far in zip(others, (5.0, -5.0, 0.0), strict=True):
        other.ravel()[first] += far * fitted.se.ravel()[first]
    factor = (vague.averaged(others, genes=genes).se / vague.se) ** 2
    np.testing.assert_allclose(factor, factor[0, 0])
    least = np.argsort(fitted.se, axis=None)[:200]
    fits = np.stack([vague.log_delta, *others]).reshape(4, -1)[:, least]
    np.testing.assert_allclose(factor[0, 0] - 1, (fits.var(axis=0, ddof=1) / fitted.se.ravel()[least] ** 2).mean())
    assert factor[0, 0] < 2


# parts of the model, by their formulas


def test_medians_are_where_half_of_the_weight_is_reached():
    values = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 5.0]])
    np.testing.assert_array_equal(loglinear._weighted_medians(values, per_batch([10, 1, 1], 2)), [3.0, 1.0])
    np.testing.assert_array_equal(loglinear._weighted_medians(values, per_batch([2, 3, 4], 2)), [2.0, 2.0])
    np.testing.assert_array_equal(loglinear._weighted_medians(values[:1], np.ones((1, 2))), [3.0, 1.0])
    own = np.array([[10.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(loglinear._weighted_medians(values, own), [3.0, 2.0])


def test_residuals_are_chi_squares_over_what_is_free_drawn_towards_each_other():
    rng = np.random.default_rng(0)
    data = Data(seed=9, depth=0.3, n_cells=400)  # many genes have no residual, or one and a half
    counts, exposure = data.table.counts * rng.poisson(1.0, data.table.counts.shape), data.table.exposure
    model = Scatter(replace(data.table, counts=counts), np.ones((1, 1, N_BATCHES)))
    dispersion, nothing, scale = rng.uniform(1, 2, N_GENES), np.zeros((N_GENES, N_BATCHES)), np.ones(N_BATCHES)
    found = model.residuals(nothing, dispersion, scale)
    share = exposure / exposure.sum(axis=1, keepdims=True)
    expected = counts.sum(axis=2, keepdims=True) * share
    used = expected > 3
    squares = np.where(used, (counts - expected) ** 2 / np.where(used, expected, 1), 0) / dispersion[:, None, None]
    free = np.maximum(np.where(used, 1 - share, 0).sum(axis=(1, 2)) - (N_BATCHES - 1), 0)
    assert 0.1 < np.mean(free == 0) < 0.9
    assert ((free > 1) & (free < 2)).any()
    by_gene = squares.sum(axis=(1, 2)) / np.maximum(free, 1)
    np.testing.assert_allclose(found.by_gene, by_gene, rtol=1e-9)
    np.testing.assert_allclose(found.of_states, dispersion * np.maximum(squeeze(by_gene, free), 1), rtol=1e-9)
    by_state = squares.sum(axis=0) / np.maximum(np.where(used, 1 - share, 0).sum(axis=0), 1)
    np.testing.assert_allclose(found.by_state, by_state, rtol=1e-9)


def test_genes_that_a_batch_did_not_measure_are_not_in_its_median():
    """A panel of 30 of 150 genes, counted twice as often as sizes say: that is the scale of the batch, no effect."""
    data = Data(3, sd=0.0, n_cells=1500, depth=4.0)
    measured = np.ones((N_GENES, N_BATCHES), dtype=bool)
    measured[30:, 2] = False
    counts = data.counts.toarray()
    counts[np.ix_(data.batch == 2, ~measured[:, 2])] = 0
    size = np.where(data.batch == 2, data.size / 2, data.size)
    table = StateTable.of(sparse.csr_array(counts), state=data.state, batch=data.batch, size=size, shape=data.shape)
    found = fit_effects(table, composition=measured[:, None, :].astype(float))
    assert found.prior_sd[2] < 0.05
    assert np.abs(found.log_delta[:30, 2]).max() < 0.1
    assert not found.log_delta[30:, 2].any()
    factor = found.scale * np.exp(np.median(found.log_delta[:30], axis=0))
    np.testing.assert_allclose(factor[2] / factor[:2], 2, rtol=0.05)
