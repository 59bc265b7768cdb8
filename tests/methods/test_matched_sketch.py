"""A fit of a sketch: how blocks come and how many threads work changes no bit; a rare state stays; effects only."""

import numba
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import unbatch as ub
from unbatch._progress import Silent
from unbatch.io.batches import read_batches
from unbatch.io.sketch import KeptRows, plan_sketch
from unbatch.io.source import open_counts
from unbatch.methods import sketching
from unbatch.methods.matched import fit
from unbatch.methods.matched_options import MatchedOptions
from unbatch.methods.sketching import read_sketch

ARRAYS = ("log_delta", "se", "mu", "basis", "embedding", "sample", "expression", "informative")


class InBlocksOf:
    """A source that hands out its cells some at a time."""

    def __init__(self, source, size):
        self._source, self._size = source, size

    def __getattr__(self, name):
        return getattr(self._source, name)

    def blocks(self, block_size=None, *, cells=None):
        return self._source.blocks(block_size or self._size, cells=cells)


@pytest.fixture(scope="module")
def adata():
    return simulated(12_000)


def simulated(n_cells):
    options = {"n_types": 5, "n_factors": 3, "composition": 0.5, "median_depth": 800, "log_delta_sd": 0.4}
    return ub.simulate(n_batches=3, n_genes=200, n_cells=n_cells, size_factor_sd=0.3, seed=0, **options)


def with_rare_state(adata, batches, seed):
    """Plant 50 cells of a state of its own in some batches; counts, and which cells."""
    rng = np.random.default_rng(seed)
    profile = adata.varm["beta_true"][:, 0] * np.where(rng.random(200) < 0.3, rng.lognormal(0, 1.5, 200), 1)
    codes = np.array(adata.obs["batch"].cat.codes)
    cells = np.sort(rng.choice(np.flatnonzero(np.isin(codes, batches)), 50, replace=False))
    rates = profile[:, None] * np.exp(adata.varm["log_delta_true"][:, codes[cells]])
    planted = sparse.csr_array(rng.poisson(800 * rates / rates.sum(axis=0)).T.astype(np.float32))
    order = np.arange(adata.n_obs)
    order[cells] = adata.n_obs + np.arange(50)
    both = sparse.vstack([sparse.csr_array(adata.X), planted], format="csr")
    return AnnData(sparse.csr_array(both[order]), obs=adata.obs), cells


def run(adata, *, size=None, seed=0, sketch_size=1200, effects_only=False):
    source = open_counts(adata)
    given = InBlocksOf(source, size) if size else source
    options = MatchedOptions(sketch_size=sketch_size)
    batches = read_batches(source, "batch")
    return fit(given, batches, options, seed=seed, progress=Silent(), effects_only=effects_only)


@pytest.fixture(scope="module")
def found(adata):
    return run(adata)


def same(one, other):
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.overlap.cell, other.overlap.cell)
    np.testing.assert_array_equal(one.overlap.support, other.overlap.support)


@pytest.mark.parametrize(("size", "n_threads"), [(1000, 1), (10_000, 2), (12_000, 4)])
def test_blocks_and_threads_change_no_bit(adata, found, size, n_threads, monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: n_threads)
    same(run(adata, size=size), found)


def test_effects_alone_are_those_of_the_sketch(adata, found):
    alone = run(adata, effects_only=True)
    assert alone.embedding is None
    assert alone.sample is None
    np.testing.assert_array_equal(alone.basis, found.basis)
    assert alone.overlap.cell.shape == (1200,)
    np.testing.assert_allclose(alone.overlap.support, found.overlap.support, atol=0.1)
    assert np.median(alone.se / found.se) > 2
    assert np.corrcoef(alone.log_delta.ravel(), found.log_delta.ravel())[0, 1] > 0.95


def test_effects_alone_of_all_cells_are_those_of_the_whole_fit():
    adata = simulated(1000)
    whole, alone = run(adata), run(adata, effects_only=True)
    for name in ("log_delta", "se", "mu", "basis"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name))


@pytest.fixture(scope="module")
def large():
    return simulated(200_000)


@pytest.mark.parametrize(("batches", "seed"), [([0, 1, 2], 1), ([1], 2), ([2], 3)])
def test_fifty_of_many_cells_are_kept(large, batches, seed):
    """As many to the cells and to the sketch as 50 to a million and to 50,000."""
    data, rare = with_rare_state(large, batches, seed)
    source = open_counts(data)
    labels, codes = read_batches(source, "batch"), np.array(data.obs["batch"].cat.codes, dtype=np.int32)
    plan = plan_sketch(codes, 10_000, seed=seed)
    genes = np.ones(200, dtype=bool)
    sketch, counts = read_sketch(source, labels, sketch_size=10_000, genes=genes, seed=seed, progress=Silent())
    cells = sketch.cells
    assert counts.shape == (10_000, 200)
    assert len(cells) == 10_000
    assert np.isin(rare, cells).mean() > 0.8
    assert plan.even[rare].mean() < 0.2


def test_wrong_values_are_named_by_the_pass_even_if_the_pilot_meets_them_first(adata):
    wrong = adata.copy()
    wrong.X.data[:] = wrong.X.data + 0.5
    with pytest.raises(ub.InputError, match=r"are not counts: .* fractional"):
        run(wrong)


def test_of_cells_that_nothing_was_learned_from_few_are_held_meanwhile(large, monkeypatch):
    """What a worker of a cluster keeps of a block it sends around: three times as many novel cells as are wanted."""
    floors = []

    def kept(plan, codes, *, novelty, floor):
        floors.append((novelty, floor))
        return KeptRows(plan, codes, novelty=novelty, floor=floor)

    monkeypatch.setattr(sketching, "KeptRows", kept)
    source, genes = open_counts(large), np.ones(200, dtype=bool)
    labels, codes = read_batches(source, "batch"), np.array(large.obs["batch"].cat.codes, dtype=np.int32)
    read_sketch(source, labels, sketch_size=10_000, genes=genes, seed=0, progress=Silent())
    ((novelty, floor),) = floors
    wanted = plan_sketch(codes, 10_000, seed=0).novel.sum() / large.n_obs
    above = (novelty(sparse.csr_array(large.X), codes) >= floor[codes]).mean()
    assert wanted < above < 4.5 * wanted


def test_a_batch_of_which_only_empty_cells_were_drawn_is_named():
    """So few cells have counts that a pilot tells nothing, and what is drawn is drawn evenly."""
    counts = np.zeros((20_050, 30), dtype=np.float32)
    counts[:45] = np.random.default_rng(0).poisson(3, (45, 30))
    obs = pd.DataFrame({"batch": np.repeat(["x", "y"], [40, 20_010])}, index=np.arange(20_050).astype(str))
    with (
        pytest.warns(ub.InputWarning, match="cells have no counts"),
        pytest.raises(ub.InputError, match=r"1 of 2 batches .*'y'.* none of these was drawn for the sketch"),
    ):
        run(AnnData(sparse.csr_array(counts), obs=obs), sketch_size=200)
