"""The default method over a source: how the counts are read changes no bit, and a sketch of the cells suffices."""

import numpy as np
import pytest

import unbatch as ub
from unbatch._progress import Silent
from unbatch.core.common_level import errors_with_level
from unbatch.core.convention import centre_log_delta
from unbatch.core.matched import fit_matched
from unbatch.io.batches import read_batches
from unbatch.io.sketch import choose_rows
from unbatch.io.source import open_counts
from unbatch.methods.matched import fit
from unbatch.methods.matched_options import MatchedOptions


class InBlocksOf:
    """A source that hands out its cells some at a time."""

    def __init__(self, source, size):
        self._source, self._size = source, size

    def __getattr__(self, name):
        return getattr(self._source, name)

    def bounds(self, block_size=None):
        return self._source.bounds(block_size or self._size)

    def blocks(self, block_size=None, *, cells=None):
        return self._source.blocks(block_size or self._size, cells=cells)


def simulated(**changes):
    options = {
        "n_types": 5,
        "n_factors": 3,
        "n_batches": 3,
        "composition": 0.4,
        "n_genes": 300,
        "n_cells": 1500,
        "median_depth": 1500,
        "log_delta_sd": 0.5,
        "seed": 0,
    }
    return ub.simulate(**(options | changes))


@pytest.fixture(scope="module")
def adata():
    return simulated()


def run(data, *, batch="batch", size=None, seed=0, effects_only=False, **options):
    source = open_counts(data)
    given = InBlocksOf(source, size) if size else source
    return fit(
        given,
        read_batches(source, batch),
        MatchedOptions(**options),
        seed=seed,
        progress=Silent(),
        effects_only=effects_only,
    )


@pytest.fixture(scope="module")
def found(adata):
    return run(adata)


def rmse(log_delta, truth):
    contrasts = [values - values.mean(axis=1, keepdims=True) for values in (log_delta, truth)]
    error = contrasts[0] - contrasts[1]
    return float(np.sqrt(np.mean((error - np.median(error, axis=0)) ** 2)))


@pytest.mark.parametrize("size", [100, 1000, 5000])
def test_block_size_changes_no_bit(adata, found, size):
    pieces = run(adata, size=size)
    for name in ("log_delta", "se", "mu", "basis", "embedding", "sample", "expression", "informative"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(found, name))
    np.testing.assert_array_equal(pieces.overlap.cell, found.overlap.cell)
    np.testing.assert_array_equal(pieces.overlap.support, found.overlap.support)


def test_agrees_with_the_fit_in_memory(adata, found):
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    direct = fit_matched(open_counts(adata).rows(np.arange(1500)), batch, measured=np.ones((300, 3), dtype=bool))
    np.testing.assert_array_equal(found.log_delta, direct.effects.log_delta)
    centred = centre_log_delta(direct.effects.log_delta, found.expression, np.ones((300, 3), dtype=bool))
    np.testing.assert_array_equal(found.se, errors_with_level(centred, direct.effects.se, found.expression))
    assert (found.se > direct.effects.se).all()
    np.testing.assert_allclose(found.mu, direct.effects.rate * direct.scale)
    assert (found.sample == direct.states.code).mean() > 0.97  # the last means of k-means are not those it stopped at
    for name, values in found.trace.items():
        np.testing.assert_array_equal(values, direct.trace[name])
    assert found.stop_reason == direct.stop_reason == "converged"


def test_the_seed_decides(adata, found):
    np.testing.assert_array_equal(run(adata).log_delta, found.log_delta)
    assert not np.array_equal(run(adata, seed=1).log_delta, found.log_delta)


def test_rates_are_counts_of_a_cell_in_its_state(adata, found):
    """The rate of its state, the batch effect divided out, tells a cell's counts but for their noise."""
    assert found.mu.shape == (300, found.sample.max() + 1)
    dense = adata.X.toarray() * np.exp(-found.log_delta[:, adata.obs["batch"].cat.codes]).T
    shares = found.mu[:, found.sample].T
    one, other = (values / values.sum(axis=1, keepdims=True) for values in (dense, shares))
    state = np.eye(found.mu.shape[1])[found.sample]
    pooled = (state.T @ one) / state.sum(axis=0)[:, None]
    expected = (state.T @ other) / state.sum(axis=0)[:, None]
    assert np.abs(pooled - expected).max() < 0.1 * expected.max()
    assert np.corrcoef(pooled.ravel(), expected.ravel())[0, 1] > 0.99


def test_effects_by_a_sketch_are_as_good_as_those_by_all_cells():
    adata = simulated(n_cells=4000)
    truth = adata.varm["log_delta_true"]
    whole, sketch = run(adata), run(adata, sketch_size=1000)
    assert rmse(sketch.log_delta, truth) < 1.05 * rmse(whole.log_delta, truth)
    assert np.median(sketch.se / whole.se) == pytest.approx(1.0, abs=0.15)
    assert (sketch.sample >= 0).all()
    assert 3700 < sketch.evidence["state_cells"].sum() <= 4000
    np.testing.assert_array_equal(sketch.expression, whole.expression)


def test_effects_alone_have_the_errors_of_a_sketch():
    adata = simulated(n_cells=4000)
    truth = adata.varm["log_delta_true"]
    whole, sketch = run(adata), run(adata, sketch_size=1000, effects_only=True)
    assert rmse(sketch.log_delta, truth) < 2.5 * rmse(whole.log_delta, truth)  # 2 by the numbers of cells
    assert np.median(sketch.se / whole.se) == pytest.approx(2.0, abs=0.5)
    assert 900 < sketch.evidence["state_cells"].sum() <= 1000


def test_cells_outside_the_sketch_are_placed_as_if_they_were_in_it():
    adata = simulated(n_cells=4000)
    result = run(adata, sketch_size=1000)
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    inside = choose_rows(batch, 1000, seed=0)
    kind = np.array(adata.obs["cell_type"].cat.codes)

    def purity(cells):
        table = np.zeros((result.mu.shape[1], 5))
        np.add.at(table, (result.sample[cells], kind[cells]), 1)
        return table.max(axis=1).sum() / table.sum()

    assert purity(~inside) > 0.97
    assert np.abs(result.embedding[inside].mean(axis=0) - result.embedding[~inside].mean(axis=0)).max() < 1.5


def test_cells_of_one_type_lie_together_whatever_their_batch(adata, found):
    batch, kind = (np.array(adata.obs[key].cat.codes) for key in ("batch", "cell_type"))
    between, within = [], []
    for value in np.unique(kind):
        centres = [
            found.embedding[(kind == value) & (batch == k)].mean(axis=0)
            for k in range(3)
            if ((kind == value) & (batch == k)).sum() > 30
        ]
        within += [np.linalg.norm(one - centres[0]) for one in centres[1:]]
        between.append(found.embedding[kind == value].mean(axis=0))
    apart = [np.linalg.norm(one - other) for i, one in enumerate(between) for other in between[:i]]
    assert max(within) < 0.25 * min(apart)


def test_overlap_is_the_share_of_the_other_batches_in_the_state(adata, found):
    batch = np.array(adata.obs["batch"].cat.codes)
    support = found.evidence["state_support"] > 0
    expected = [
        sum(support[s, other] for other in range(3) if other != k) / 2 if support[s, k] else 0
        for s, k in zip(found.sample, batch, strict=True)
    ]
    np.testing.assert_allclose(found.overlap.cell, expected)
    for k in range(3):
        for other in range(3):
            has = support[found.sample[batch == k]][:, [k, other]].all(axis=1) if other != k else np.zeros(1)
            assert found.overlap.support[k, other] == pytest.approx(has.mean())


def test_genes_that_a_file_lacks_have_no_effect_there(adata):
    parts = [adata[adata.obs["batch"] == level].copy() for level in adata.obs["batch"].cat.categories]
    parts[2] = parts[2][:, 40:].copy()
    result = run(parts, batch=None)
    names = list(open_counts(parts).var.index)
    order = [names.index(name) for name in adata.var_names]
    log_delta, informative = result.log_delta[order], result.informative[order]
    np.testing.assert_allclose(log_delta[:40, 2], 0, atol=1e-6)
    truth = adata.varm["log_delta_true"]
    assert np.corrcoef(log_delta[:40, 0] - log_delta[:40, 1], truth[:40, 0] - truth[:40, 1])[0, 1] > 0.9
    assert rmse(log_delta[40:], truth[40:]) < 0.15
    assert informative[40:].all()


def test_sketched_batches_that_are_tiny_are_whole():
    adata = simulated(n_cells=3000, batch_proportions=(0.45, 0.45, 0.1), composition=None)
    result = run(adata, sketch_size=900, effects_only=True)
    cells = result.evidence["state_cells"].sum(axis=0)
    own = (adata.obs["batch"] == adata.obs["batch"].cat.categories[2]).sum()
    assert own * 0.9 < cells[2] <= own
    assert np.abs(cells[:2] - 300).max() < 40


@pytest.mark.parametrize(
    ("option", "value"),
    [("n_dims", 0), ("max_states", 0), ("sketch_size", 99), ("max_rounds", 0), ("caliper", 0.0), ("tol", np.nan)],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ub.InputError, match=f"{option} is"):
        MatchedOptions(**{option: value})
