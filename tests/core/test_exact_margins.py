"""Sums by state and by batch, with both of some batches, are those of all, and effects follow from them."""

import pickle

import numba
import numpy as np
import pytest
from scipy import sparse

from unbatch.core.exact_margins import ExactMargins
from unbatch.core.loglinear import fit_effects, fit_log_delta
from unbatch.core.scatter import Scatter
from unbatch.core.state_table import StateTable

N_GENES, N_STATES, N_BATCHES, CELLS = 60, 4, 80, 40
SAMPLED = np.arange(0, N_BATCHES, 4)
GROUP = (np.arange(N_BATCHES) >= 50).astype(np.int64)


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    n_cells = N_BATCHES * CELLS
    batch = np.repeat(np.arange(N_BATCHES, dtype=np.int32), CELLS)
    state = rng.integers(-1, N_STATES, n_cells).astype(np.int32)
    size = rng.lognormal(0, 0.3, n_cells)
    rate = rng.lognormal(0, 1, (N_STATES, N_GENES)) * 2
    effects = np.exp(rng.normal(0, 0.4, (N_BATCHES, N_GENES)))
    counts = rng.poisson(size[:, None] * rate[np.maximum(state, 0)] * effects[batch])
    return sparse.csr_array(counts.astype(np.float32)), state, batch, size


def summed(cells, order, n_sums=1, group=None):
    counts, state, batch, size = cells
    group = np.zeros(N_BATCHES, dtype=np.int64) if group is None else group
    sums = [ExactMargins(N_GENES, N_STATES, group=group, sampled=SAMPLED) for _ in range(n_sums)]
    for number, some in enumerate(order):
        sums[number % n_sums].add(counts[some], state=state[some], batch=batch[some], size=size[some])
    for other in sums[1:]:
        sums[0].merge(other)
    return sums[0].finish()


@pytest.fixture(scope="module")
def dense(cells):
    counts, state, batch, size = cells
    return StateTable.of(counts, state=state, batch=batch, size=size, shape=(N_STATES, N_BATCHES))


@pytest.fixture(scope="module")
def found(cells):
    return summed(cells, [np.arange(len(cells[1]))])


def test_margins_and_sample_are_those_of_all_sums(found, dense):
    for mine, expected in zip(found.margins, dense.margins, strict=True):
        np.testing.assert_array_equal(mine, expected)
    np.testing.assert_array_equal(found.cells, dense.cells)
    np.testing.assert_allclose(found.exposure, dense.exposure, rtol=1e-5)
    np.testing.assert_array_equal(found.sample.counts, dense.counts[:, :, SAMPLED])


@pytest.mark.parametrize("n_sums", [1, 3])
@pytest.mark.parametrize("n_threads", [1, 4])
def test_order_merging_and_threads_change_no_bit(cells, found, n_sums, n_threads, monkeypatch):
    monkeypatch.setattr(numba, "get_num_threads", lambda: n_threads)
    order = np.array_split(np.random.default_rng(1).permutation(len(cells[1])), 7)
    other = summed(cells, order, n_sums)
    for name in ("by_state", "by_batch", "exposure", "cells"):
        np.testing.assert_array_equal(getattr(found, name), getattr(other, name))
    for name in ("counts", "exposure", "cells"):
        np.testing.assert_array_equal(getattr(found.sample, name), getattr(other.sample, name))


def test_merging_leaves_the_other_one_as_it_is(cells):
    counts, state, batch, size = cells
    first, second, third = (
        ExactMargins(N_GENES, N_STATES, group=np.zeros(N_BATCHES, dtype=np.int64), sampled=SAMPLED) for _ in range(3)
    )
    for sums in (second, third):
        sums.add(counts, state=state, batch=batch, size=size)
    first.merge(second)
    first.merge(third)
    np.testing.assert_array_equal(first.finish().by_batch, 2 * second.finish().by_batch)


def test_before_any_cell_there_is_little_to_send():
    nothing = ExactMargins(20_000, 40, group=np.zeros(1000, dtype=np.int64), sampled=np.arange(50))
    assert len(pickle.dumps(nothing)) < 1_000_000


def test_groups_of_batches_are_those_of_all_sums(cells, dense):
    mine = summed(cells, [np.arange(len(cells[1]))], group=GROUP)
    for number in (0, 1):
        chosen = number == GROUP
        some, expected = mine.of_batches(chosen), dense.of_batches(chosen)
        for one, other in zip(some.margins, expected.margins, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(some.cells, expected.cells)
        kept = np.flatnonzero(chosen[SAMPLED])
        np.testing.assert_array_equal(some.sampled, np.cumsum(chosen)[SAMPLED[kept]] - 1)
        np.testing.assert_array_equal(some.sample.counts, dense.counts[:, :, SAMPLED[kept]])
    assert mine.of_batches(np.ones(N_BATCHES, dtype=bool)) is mine


def test_effects_by_them_are_those_by_all_sums_but_for_what_the_sample_tells_of_errors(found, dense):
    expected = fit_effects(dense)
    mine = fit_effects(found, dispersion=expected.dispersion)
    off = (mine.log_delta - expected.log_delta) / expected.se
    assert np.sqrt(np.mean(off**2)) < 0.05
    np.testing.assert_allclose(mine.se / expected.se, 1, atol=0.2)
    assert abs(np.median(mine.se / expected.se) - 1) < 0.03
    np.testing.assert_allclose(mine.rate, expected.rate, rtol=0.03)
    others = np.setdiff1d(np.arange(N_BATCHES), SAMPLED)
    assert (mine.state_residual[:, SAMPLED] > 0).all()
    np.testing.assert_array_equal(mine.state_residual[:, others], 0)


def test_residuals_are_those_of_the_sample_at_the_scales_of_its_batches(cells):
    """Batches that are counted more deeply than sizes say: a factor of all genes, which is none of the effects."""
    counts, state, batch, size = cells
    sizes = size / np.exp(np.random.default_rng(2).normal(0, 0.7, N_BATCHES))[batch]
    found = summed((counts, state, batch, sizes), [np.arange(len(state))])
    mine = fit_effects(found, dispersion=np.ones(N_GENES))
    assert np.std(np.log(mine.scale)) > 0.5
    expected = Scatter(found.sample, np.ones((1, 1, len(SAMPLED)))).residuals(
        mine.log_delta[:, SAMPLED], mine.dispersion, mine.scale[SAMPLED]
    )
    np.testing.assert_allclose(mine.state_residual[:, SAMPLED], expected.by_state, rtol=0.1)


def test_with_what_was_learned_given_they_are_the_same(found, dense):
    like = fit_effects(dense)
    np.testing.assert_allclose(fit_log_delta(found, like), fit_log_delta(dense, like), rtol=1e-4, atol=1e-5)
