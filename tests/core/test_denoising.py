"""The noise of counts: how much there is of it along axes, and where cells are expected to be without it."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import softmax
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from unbatch.core.denoising import Denoising
from unbatch.core.keyed import keys_by_place
from unbatch.core.log_counts import LogCounts

N_GENES, N_DIMS = 40, 3


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def log_counts(counts, *, log_delta=None, batch=None):
    batch = np.zeros(len(counts), dtype=np.int32) if batch is None else batch
    log_delta = np.zeros((N_GENES, int(batch.max()) + 1)) if log_delta is None else log_delta
    return LogCounts.of(sparse.csr_array(counts), log_delta, batch=batch, genes=np.arange(N_GENES) < N_GENES - 5)


def axes(rng):
    return np.linalg.qr(rng.normal(size=(N_GENES, N_DIMS)))[0]


def test_noise_is_that_of_the_formula(rng):
    counts, batch = rng.poisson(2.0, (30, N_GENES)).astype(float), rng.integers(2, size=30).astype(np.int32)
    logs, basis = log_counts(counts, log_delta=rng.normal(size=(N_GENES, 2)), batch=batch), axes(rng)
    basis[::4] = 0.0
    step = logs.scale / logs.size[:, None] * np.exp(-logs.log_delta[:, batch].T)
    expected = (counts * (step / (1 + step * counts)) ** 2) @ basis**2
    np.testing.assert_allclose(logs.noise(basis), expected, rtol=1e-12)


def test_noise_is_the_variance_over_draws(rng):
    rates, basis = rng.gamma(2.0, 8.0, N_GENES), axes(rng)
    logs = log_counts(rng.poisson(rates, (4000, N_GENES)).astype(float))
    found = logs.project(basis).var(axis=0)
    np.testing.assert_allclose(logs.noise(basis).mean(axis=0), found, rtol=0.15)


def test_cells_are_put_where_the_formula_says(rng):
    centres, signal, noise = (rng.normal(size=(4, 19)), *rng.exponential(size=(2, 4, 19)))
    of_state, level = np.array([0, 1, 0, 1], dtype=np.int32), rng.integers(2, size=50).astype(np.int32)
    where, size, share = rng.normal(size=(50, 19)), rng.exponential(size=50), np.array([0.1, 0.2, 0.3, 0.4])
    chance = noise / size[:, None, None]
    density = norm.logpdf(where[:, None], centres, np.sqrt(signal + chance)).sum(axis=2)
    weights = softmax(np.where(of_state == level[:, None], np.log(share) + density, -np.inf), axis=1)
    drawn = chance / (signal + chance) * (centres - where[:, None])
    expected = where + np.einsum("js,jsd->jd", weights, drawn)
    found = Denoising(of_state, share, centres, signal, noise).apply(where, size, level)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_cells_of_a_level_without_states_stay(rng):
    one = np.ones((1, 2))
    denoising = Denoising(np.zeros(1, dtype=np.int32), np.ones(1), one, one, one)
    where = rng.normal(size=(4, 2))
    np.testing.assert_array_equal(denoising.apply(where, np.ones(4), np.full(4, 7, dtype=np.int32)), where)


def found_in(where, noise, size):
    level = np.zeros(len(where), dtype=np.int32)
    denoising = Denoising.of(where, noise, size, level=level, keys=keys_by_place(len(where)), seed=0)
    return denoising, denoising.apply(where, size, level)


def test_cells_come_nearer_to_where_they_truly_are(rng):
    """As near as anything can: shallow cells of one Gaussian to its posterior mean."""
    size, spread = rng.choice([0.2, 1.0, 5.0], 3000), np.array([4.0, 1.0, 0.3])
    truth = rng.normal(size=(3000, N_DIMS)) * spread
    noise = np.full((3000, N_DIMS), 0.3) / size[:, None]
    where = truth + np.sqrt(noise) * rng.standard_normal(truth.shape)
    _, after = found_in(where, noise, size)
    best = where * spread**2 / (spread**2 + noise)
    for depth in (0.2, 1.0, 5.0):
        before, found, least = (np.square(at - truth)[size == depth].mean() for at in (where, after, best))
        assert found < before
        assert found < 1.15 * least


def test_states_are_found_behind_the_noise(rng):
    size, kind = rng.choice([0.5, 2.0], 2000), rng.integers(3, size=2000)
    middle, spread = np.array([[0.0, 0, 0], [8, 0, 0], [0, 8, 0]]), np.array([1.0, 0.5, 0.2])
    truth = middle[kind] + spread * rng.standard_normal((2000, N_DIMS))
    noise = np.array([0.5, 1.0, 1.0]) / size[:, None]
    where = truth + np.sqrt(noise) * rng.standard_normal(truth.shape)
    denoising, _ = found_in(where, noise, size)
    of_kind = np.square(denoising.centres[:, None] - middle).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose([denoising.share[of_kind == k].sum() for k in range(3)], 1 / 3, atol=0.03)
    np.testing.assert_allclose(denoising.noise, np.tile([0.5, 1.0, 1.0], (len(of_kind), 1)), rtol=1e-6)
    for k in range(3):
        mine, share = denoising.centres[of_kind == k], denoising.share[of_kind == k]
        centre = np.average(mine, weights=share, axis=0)
        whole = np.average(denoising.signal[of_kind == k] + (mine - centre) ** 2, weights=share, axis=0)
        np.testing.assert_allclose(centre, middle[k], atol=0.2)
        np.testing.assert_allclose(whole, spread**2, atol=0.35)  # 0.5 to 2 more with the noise


def test_what_is_no_noise_stays(rng):
    where = rng.normal(size=(500, N_DIMS))
    _, after = found_in(where, np.zeros_like(where), np.ones(500))
    np.testing.assert_array_equal(after, where)


def test_a_gradient_is_not_torn_into_states(rng):
    """Along a line of cells their density stays even; across it, where all is noise, they come together."""
    along = np.sort(rng.uniform(0, 30, 2000))
    truth = np.column_stack([along, np.zeros((2000, N_DIMS - 1))])
    where = truth + np.sqrt(0.3) * rng.standard_normal((2000, N_DIMS))
    _, after = found_in(where, np.full((2000, N_DIMS), 0.3), np.ones(2000))
    even = [np.histogram(at[:, 0], bins=60, range=(1, 29))[0] for at in (where, after)]
    assert even[1].std() < 1.8 * even[0].std()
    error = [np.sqrt(np.square(at - truth).mean(axis=0)) for at in (where, after)]
    assert error[1][0] < 1.02 * error[0][0]
    assert error[1][1:].max() < 0.5 * error[0][1:].min()


def test_noise_that_exceeds_the_spread_leaves_numbers(rng):
    where = rng.normal(size=(400, N_DIMS))
    denoising, after = found_in(where, np.full_like(where, 50.0), np.ones(400))
    assert np.isfinite(after).all()
    assert (denoising.signal > 0).all()


def test_a_cell_with_hardly_any_counts_goes_to_what_is_usual(rng):
    where, size = rng.normal(size=(400, N_DIMS)), np.ones(400)
    where[0], size[0] = 1e3, 1e-9
    _, after = found_in(where, 0.5 / size[:, None] * np.ones(N_DIMS), size)
    assert np.abs(after[0]).max() < 1


def test_few_cells_are_enough(rng):
    where = rng.normal(size=(2, N_DIMS))
    _, after = found_in(where, np.full_like(where, 0.1), np.ones(2))
    assert np.isfinite(after).all()


def test_louder_noise_is_that_of_shallower_cells(rng):
    where = rng.normal(size=(400, N_DIMS))
    denoising, _ = found_in(where, np.full_like(where, 0.5), np.ones(400))
    level = np.zeros(400, dtype=np.int32)
    louder = denoising.louder(np.full(N_DIMS, 4.0)).apply(where, np.ones(400), level)
    np.testing.assert_allclose(louder, denoising.apply(where, np.full(400, 0.25), level), rtol=1e-12)


def test_one_type_of_cells_is_not_made_into_clusters(rng):
    """One heap stays one: clusters are no better told apart than before. States of 40 cells make them of noise."""
    where = rng.normal(size=(2000, 25)) * np.sqrt(0.3 + 0.5)
    _, after = found_in(where, np.full_like(where, 0.5), np.ones(2000))
    apart = [silhouette_score(at, KMeans(20, n_init=2, random_state=0).fit_predict(at)) for at in (where, after)]
    assert apart[1] < 1.3 * apart[0]
    assert np.square(after).sum() < 0.5 * np.square(where).sum()
