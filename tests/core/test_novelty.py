"""Cells unlike all that is common stand out by their novelty; whoever is common, deep, or of another batch does not."""

import pickle

import numba
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch.core.novelty import learn_landscape, log_excess

N_PILOT, N_GENES = 1500, 600


@pytest.fixture(scope="module")
def adata():
    return ub.simulate(
        n_types=6,
        n_factors=3,
        n_batches=3,
        composition=1.0,
        n_genes=N_GENES,
        n_cells=6000,
        median_depth=1500,
        log_delta_sd=0.4,
        size_factor_sd=0.4,
        seed=0,
    )


@pytest.fixture(scope="module")
def data(adata):
    return sparse.csr_array(adata.X), np.array(adata.obs["batch"].cat.codes, dtype=np.int32)


@pytest.fixture(scope="module")
def landscape(data):
    counts, batch = data
    genes = np.ones(N_GENES, dtype=bool)
    return learn_landscape(counts[:N_PILOT], batch[:N_PILOT], genes=genes, n_batches=4, seed=0)


@pytest.fixture(scope="module")
def novelty(landscape, data):
    return landscape.novelty(*data)


def strangers(adata, n_cells, seed, *, share):
    """Cells like those of the first type, but that a share of the genes is expressed otherwise."""
    rng = np.random.default_rng(seed)
    profile = adata.varm["beta_true"][:, 0] * np.where(rng.random(N_GENES) < share, rng.lognormal(0, 1.5, N_GENES), 1)
    batch = rng.integers(0, 3, n_cells).astype(np.int32)
    rates = profile[:, None] * np.exp(adata.varm["log_delta_true"])[:, batch]
    return sparse.csr_array(rng.poisson(1500 * rates / rates.sum(axis=0)).T.astype(np.float32)), batch


@pytest.mark.parametrize(("share", "least"), [(0.3, 0.95), (0.05, 0.5)])
def test_cells_of_an_unseen_type_are_among_the_most_novel(landscape, novelty, adata, share, least):
    threshold = np.quantile(novelty, 0.98)
    found = [(landscape.novelty(*strangers(adata, 50, seed, share=share)) > threshold).mean() for seed in range(3)]
    assert np.mean(found) > least


def test_cells_that_were_learned_from_are_not_novel_on_average(novelty):
    assert np.mean(novelty[:N_PILOT]) == pytest.approx(0, abs=1e-6)
    assert np.std(novelty[:N_PILOT]) > 0.1


def test_cells_are_compared_with_the_state_whose_centre_is_nearest(landscape, data):
    counts, batch = data[0][:200], data[1][:200]
    options = {"axes": landscape.axes, "scale": landscape.scale}
    for state in (0, 3):
        far = landscape.centres + 1e6 * (np.arange(len(landscape.centres)) != state)[:, None]
        alone = landscape.centres[[state]], landscape.expected[[state]]
        found, size = log_excess(counts, batch, of=(far, landscape.expected), **options)
        np.testing.assert_array_equal(found, log_excess(counts, batch, of=alone, **options)[0])
        np.testing.assert_allclose(size, landscape.axes.sizes(counts, batch), rtol=1e-12)


def test_centres_lie_among_the_cells(landscape, data):
    where = landscape.axes.project(data[0][:N_PILOT], data[1][:N_PILOT], scale=landscape.scale)
    assert (landscape.centres > where.min(axis=0) - 0.01).all()
    assert (landscape.centres < where.max(axis=0) + 0.01).all()


def test_novelty_does_not_depend_on_depth_or_batch(novelty, data):
    counts, batch = data
    depth = counts.sum(axis=1)
    novel = novelty > np.quantile(novelty, 0.9)
    deep = depth > np.median(depth)
    assert 0.06 < novel[deep].mean() < 0.14
    assert all(0.05 < novel[batch == code].mean() < 0.15 for code in range(3))


@pytest.mark.parametrize("n_threads", [1, 4])
@pytest.mark.parametrize("block", [1, 700, 6000])
def test_blocks_and_threads_change_no_bit(landscape, novelty, data, block, n_threads, monkeypatch):  # noqa: PLR0917
    monkeypatch.setattr(numba, "get_num_threads", lambda: n_threads)
    counts, batch = data
    n_cells = 100 if block == 1 else 6000
    starts = range(0, n_cells, block)
    parts = [landscape.novelty(counts[at : at + block], batch[at : at + block]) for at in starts]
    np.testing.assert_array_equal(np.concatenate(parts), novelty[:n_cells])


def test_learning_again_gives_the_same_bits(landscape, novelty, data):
    counts, batch = data
    genes = np.ones(N_GENES, dtype=bool)
    again = learn_landscape(counts[:N_PILOT], batch[:N_PILOT], genes=genes, n_batches=4, seed=0)
    np.testing.assert_array_equal(again.novelty(counts, batch), novelty)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(landscape.novelty))(counts, batch), novelty)  # noqa: S301


def test_cells_without_counts_are_not_novel(landscape):
    empty = sparse.csr_array((2, N_GENES), dtype=np.float32)
    assert (landscape.novelty(empty, np.array([0, 3], dtype=np.int32)) == -np.inf).all()


def test_genes_that_are_not_looked_at_do_not_count(data):
    counts, batch = data
    genes = np.arange(N_GENES) % 3 > 0
    landscape = learn_landscape(counts[:N_PILOT], batch[:N_PILOT], genes=genes, n_batches=3, seed=0)
    changed = counts[:50].toarray()
    changed[:, ~genes] *= 7
    changed = sparse.csr_array(changed)
    np.testing.assert_array_equal(landscape.novelty(changed, batch[:50]), landscape.novelty(counts[:50], batch[:50]))


@pytest.mark.parametrize("n_batches", [1, 2])
@pytest.mark.parametrize("n_genes", [1, 2, 30])
@pytest.mark.parametrize("same", [True, False])
def test_poor_data_give_numbers(n_batches, n_genes, same):
    rng = np.random.default_rng(0)
    dense = np.ones((60, n_genes)) if same else rng.poisson(2, (60, n_genes)) + 1
    counts = sparse.csr_array(dense.astype(np.float32))
    batch = (np.arange(60) % n_batches).astype(np.int32)
    landscape = learn_landscape(counts, batch, genes=np.ones(n_genes, dtype=bool), n_batches=2, seed=0)
    assert np.isfinite(landscape.novelty(counts, batch)).all()
