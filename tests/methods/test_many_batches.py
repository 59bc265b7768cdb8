"""Many batches: sums above 0 only, and then a sample of the batches, give the effects that all sums give."""

import numba
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch._progress import Silent
from unbatch.core.exact_margins import ExactMargins
from unbatch.core.exact_sums import ExactCounts, ExactSums
from unbatch.core.sparse_sums import SparseSums
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.methods import matched as module
from unbatch.methods.matched import fit
from unbatch.methods.matched_options import MatchedOptions

N_GENES, N_BATCHES = 120, 90
FEW = 100_000
"""Sums in memory: those of 20 batches, of all genes in 40 states."""


@pytest.fixture(scope="module")
def adata():
    options = {"n_types": 4, "composition": 1.0, "median_depth": 2000, "log_delta_sd": 0.4, "size_factor_sd": 0.3}
    return ub.simulate(n_batches=N_BATCHES, n_genes=N_GENES, n_cells=6000, seed=0, **options)


def limit(monkeypatch, most):
    for place in ("core.state_table", "core.rounds", "methods.matched"):
        monkeypatch.setattr(f"unbatch.{place}.MOST_DENSE", most)


def run(adata, **options):
    source = open_counts(adata)
    how = MatchedOptions(sketch_size=3000)
    return fit(source, read_batches(source, "batch"), how, seed=0, progress=Silent(), **options)


@pytest.fixture(scope="module")
def all_sums(adata):
    return run(adata)


@pytest.fixture(scope="module")
def few_sums(adata):
    with pytest.MonkeyPatch.context() as patch:
        limit(patch, FEW)
        return run(adata)


def truth(adata):
    log_delta = adata.varm["log_delta_true"]
    return log_delta - log_delta.mean(axis=1, keepdims=True)


def loud(adata):
    return np.asarray(adata.X.sum(axis=0)).ravel() > 2000


def test_effects_are_those_of_all_sums(all_sums, few_sums, adata):
    genes = loud(adata)
    off = (few_sums.log_delta - all_sums.log_delta)[genes] / all_sums.se[genes]
    assert 0 < np.sqrt(np.mean(off**2)) < 0.1
    np.testing.assert_allclose(few_sums.se[genes] / all_sums.se[genes], 1, atol=0.3)
    assert abs(np.median(few_sums.se / all_sums.se) - 1) < 0.05
    np.testing.assert_array_equal(few_sums.sample, all_sums.sample)


def test_effects_are_true_and_their_intervals_hold_them(few_sums, adata):
    genes = loud(adata)
    off = (few_sums.log_delta - few_sums.log_delta.mean(axis=1, keepdims=True) - truth(adata))[genes]
    off -= np.median(off, axis=0)  # sizes hold what all genes of a batch have in common
    assert np.sqrt(np.mean(off**2)) < 0.3 * np.std(truth(adata)[genes])
    assert 0.93 < np.mean(np.abs(off) < 1.96 * few_sums.se[genes]) < 0.97


def test_threads_change_no_bit(few_sums, adata, monkeypatch):
    limit(monkeypatch, FEW)
    monkeypatch.setattr(numba, "get_num_threads", lambda: 1)
    again = run(adata)
    for name in ("log_delta", "se", "mu", "embedding", "sample"):
        np.testing.assert_array_equal(getattr(again, name), getattr(few_sums, name))


def test_effects_of_states_are_found_from_all_sums(adata, monkeypatch):
    """Planted: of each type in each batch, genes lose another share of their counts."""
    planted = adata.copy()
    rng = np.random.default_rng(0)
    kept = np.exp(-np.abs(rng.normal(0, 0.5, (4, N_BATCHES, N_GENES))))
    of_cells = kept[adata.obs["cell_type"].cat.codes, adata.obs["batch"].cat.codes]
    planted.X = sparse.csr_matrix(rng.binomial(adata.X.toarray().astype(int), of_cells))
    expected = run(planted, state_specific=True).state_effects.log_rho
    limit(monkeypatch, FEW)
    found = run(planted, state_specific=True).state_effects.log_rho
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.fixture
def sums(adata, monkeypatch):
    """What adds up in the second pass, given the groups of batches and whether graded states are corrected."""
    seen = []
    original = module.fit_matched
    monkeypatch.setattr(module, "fit_matched", lambda *a, **k: seen.append(original(*a, **k)) or seen[-1])
    limit(monkeypatch, FEW)
    run(adata, effects_only=True)
    codes = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)

    def chosen(*, group=None, strength=0.0, by_state=False):
        fitted, how = seen[0], seen[0].refit.how
        assert isinstance(how.group, np.ndarray)
        object.__setattr__(how, "group", how.group if group is None else group)
        object.__setattr__(how.choice, "strength", strength)
        try:
            return module._sums(fitted, codes, used=np.arange(N_BATCHES), by_state=by_state)
        finally:
            object.__setattr__(how.choice, "strength", 0.0)

    chosen.fitted = seen[0]
    return chosen


def test_of_many_batches_factors_and_fewer_genes_of_the_factor_model_are_looked_for(sums):
    assert sums.fitted.effects.correlation.loadings is not None
    assert len(sums.fitted.refit.how.loud) == FEW // (40 * N_BATCHES)


def test_the_sample_are_the_batches_with_most_cells(sums, adata):
    found = sums()
    assert isinstance(found, ExactMargins)
    cells = adata.obs["batch"].cat.codes.value_counts().sort_index().to_numpy()
    sampled = found.finish().sampled
    assert len(sampled) == module._FEWEST_SAMPLED
    assert cells[sampled].min() >= np.delete(cells, sampled).max()


def test_each_group_of_batches_has_its_sample(sums):
    group = np.repeat([0, 1, -1], [80, 6, 4])
    found = sums(group=group).finish()
    np.testing.assert_array_equal(np.bincount(group[found.sampled]), [14, 6])
    np.testing.assert_array_equal(found.group, np.where(group < 0, 2, group))


def test_of_many_groups_each_has_two_in_the_sample(sums):
    group = np.arange(N_BATCHES) // 3
    np.testing.assert_array_equal(np.bincount(group[sums(group=group).finish().sampled]), np.full(30, 2))


def test_what_needs_all_sums_has_them(sums):
    assert isinstance(sums(by_state=True), ExactSums)
    assert type(sums(strength=1.0)) is ExactCounts


def test_only_sums_above_0_are_kept_while_states_are_found(adata, monkeypatch):
    seen, original = [], SparseSums.margins
    monkeypatch.setattr(SparseSums, "margins", lambda self: seen.append(self.shape) or original(self))
    limit(monkeypatch, FEW)
    run(adata, effects_only=True)
    assert {shape[2] for shape in seen} == {N_BATCHES}
