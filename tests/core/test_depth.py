"""What logs are expected to be at another depth, against sums written out and cells that were thinned."""

import numpy as np
import pytest
from scipy import sparse, stats

import unbatch as ub
from unbatch.core.depth import at_depth, moments_of_logs
from unbatch.core.landmarks import StateShape
from unbatch.core.log_counts import LogCounts
from unbatch.core.states import States
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts


@pytest.mark.parametrize(("size", "scale"), [(100.0, 700.0), (700.0, 350.0), (20.0, 5000.0), (5000.0, 2500.0)])
def test_moments_are_those_of_a_poisson_distribution(size, scale):
    share = np.geomspace(1e-8, 0.5, 200)
    counts = np.arange(4000)
    chance, logs = stats.poisson.pmf(counts, size * share[:, None]), np.log1p(scale / size * counts)
    mean = chance @ logs
    variance = chance @ logs**2 - mean**2
    found = moments_of_logs(share, np.array([size]), scale)
    np.testing.assert_array_less(np.abs(found[0] - mean), 0.002 * np.sqrt(variance) + 1e-9)
    np.testing.assert_allclose(found[1], variance, rtol=0.04)


def test_moments_of_several_sizes_are_those_of_their_mixture():
    share, sizes = np.array([1e-3, 0.01, 0.1]), np.array([100.0, 400.0])
    one, other = (moments_of_logs(share, sizes[[k]], 300.0) for k in range(2))
    mean, variance = moments_of_logs(share, sizes, 300.0)
    np.testing.assert_allclose(mean, (one[0] + other[0]) / 2)
    np.testing.assert_allclose(variance, (one[1] + other[1]) / 2 + (one[0] - other[0]) ** 2 / 4)


def test_a_gene_without_counts_has_no_log():
    mean, variance = moments_of_logs(np.zeros(3), np.array([100.0]), 300.0)
    assert (mean == 0).all()
    assert (variance == 0).all()


@pytest.fixture(scope="module")
def fitted():
    adata = ub.simulate(
        n_cells=1500, n_genes=300, n_batches=2, n_types=4, log_delta_sd=0.0, median_depth=2000, variation=0.1, seed=1
    )
    source = open_counts(adata)
    return adata, ub.BatchModel().fit_source(source, read_batches(source, "batch")).result


def seen(fit, sizes):
    """States as cells of these sizes see them."""
    landmarks, embedder = fit.landmarks, fit.embedder
    rate = fit.mu / landmarks.scale * np.exp(-landmarks.gene_shift)[:, None]
    genes, bases = np.ones(len(rate), dtype=bool), (fit.basis, embedder.basis)
    return at_depth(landmarks, rate, genes=genes, bases=bases, centre=embedder.centre, sizes=sizes)


def test_at_the_depth_of_the_fit_nothing_changes(fitted):
    _, fit = fitted
    same = seen(fit, np.full(10, 2 * fit.landmarks.scale))
    np.testing.assert_allclose(same.mean_logs, fit.landmarks.mean_logs, atol=1e-6)
    np.testing.assert_allclose(same.embedding_logs, fit.landmarks.embedding_logs, atol=1e-6)
    np.testing.assert_allclose(same.spread, fit.landmarks.spread)
    assert same.noise == pytest.approx(fit.landmarks.noise)


@pytest.mark.parametrize("kept", [0.3, 0.1])
def test_means_and_covariances_of_states_are_those_of_thinned_cells(fitted, kept):
    """Cells of the fit, thinned: states lie elsewhere, and where they are expected up to what chance moves them by."""
    adata, fit = fitted
    landmarks = fit.landmarks
    thinned = np.random.default_rng(0).binomial(adata.X.toarray().astype(int), kept).astype(np.float64)
    batch = np.zeros(len(thinned), dtype=np.int32)
    footing = landmarks.gene_shift[:, None]
    logs = LogCounts.of(sparse.csr_array(thinned), footing, batch=batch, genes=np.ones(thinned.shape[1], dtype=bool))
    logs = LogCounts(logs.counts, batch, footing, logs.genes, logs.size, landmarks.scale)
    state = fit.sample
    where = logs.project(fit.basis)
    members = np.bincount(state, minlength=landmarks.n_states)
    means = np.stack([np.bincount(state, axis, landmarks.n_states) for axis in where.T], axis=1) / members[:, None]
    there = seen(fit, logs.size)
    many = members > 30
    assert many.sum() > 5
    where_due = {name: of.mean_logs.T.astype(float) @ fit.basis for name, of in (("deep", landmarks), ("seen", there))}
    off = {name: np.square(means - due)[many].sum() for name, due in where_due.items()}
    chance = (np.einsum("sdd->s", there.spread) / np.maximum(members, 1))[many].sum()
    assert off["deep"] > 5 * chance
    assert off["seen"] < 1.5 * chance
    within = np.square(where - means[state]).sum() / len(where)
    expected = np.average([np.trace(spread) for spread in there.spread], weights=members)
    usual = np.average([np.trace(spread) for spread in landmarks.spread], weights=members)
    assert within > 1.3 * usual
    assert within == pytest.approx(expected, rel=0.25)
    alone, level = np.zeros((len(members), 1), dtype=bool), np.zeros(len(members), dtype=np.int32)
    shape = StateShape.of(logs, where, States(state.astype(np.int32), alone, means, level), basis=fit.basis)
    assert shape.noise > 1.3 * landmarks.noise
    assert shape.noise == pytest.approx(there.noise, rel=0.25)


@pytest.mark.parametrize("kept", [0.3, 0.1])
def test_so_are_mean_logs_as_the_embedding_takes_them(fitted, kept):
    adata, fit = fitted
    embedder, landmarks = fit.embedder, fit.landmarks
    thinned = np.random.default_rng(0).binomial(adata.X.toarray().astype(int), kept).astype(np.float64)
    batch, genes = np.zeros(len(thinned), dtype=np.int32), np.ones(thinned.shape[1], dtype=bool)
    footing = (landmarks.gene_shift - embedder.centre)[:, None]
    logs = LogCounts.of(sparse.csr_array(thinned), footing, batch=batch, genes=genes)
    logs = LogCounts(logs.counts, batch, footing, genes, logs.size, landmarks.scale)
    sums, _ = logs.moments(fit.sample.astype(np.int32))
    members = np.bincount(fit.sample, minlength=landmarks.n_states)
    many, used = members > 30, np.any(embedder.basis != 0, axis=1)
    means = (sums / members[:, None])[many][:, used]
    off = [
        np.sqrt(np.mean((means - of.embedding_logs.T[many][:, used]) ** 2)) for of in (landmarks, seen(fit, logs.size))
    ]
    assert off[1] < 0.6 * off[0]
