"""Leaves that look effects up and divide by them, against plain numpy."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import brentq

from unbatch.core.kernels.scaling import divide_each, keep_totals, look_up


@pytest.fixture
def counts():
    return sparse.csr_array(np.random.default_rng(0).poisson(0.8, (40, 9)).astype(np.float32))


def test_the_effect_is_that_of_batch_times_that_of_state(counts):
    rng = np.random.default_rng(1)
    delta, steps = rng.lognormal(size=(4, 9)), rng.integers(-127, 128, (6, 9)).astype(np.int8)
    rho = np.exp(0.01 * np.arange(-127, 128))
    batch, place = rng.integers(-1, 3, 40).astype(np.int32), rng.integers(-1, 6, 40).astype(np.int32)
    out = np.empty(counts.nnz)
    look_up(counts.indices, counts.indptr, batch, delta, place, steps, rho, out)
    row, gene = counts.nonzero()
    state = np.where(place[row] < 0, 0.0, steps[place[row], gene])
    np.testing.assert_allclose(out, delta[np.where(batch[row] < 0, 3, batch[row]), gene] * np.exp(0.01 * state))


def test_a_count_is_never_multiplied_by_more_than_the_cap():
    out, capped = np.empty(4, dtype=np.float32), np.zeros(4, dtype=bool)
    divide_each(np.array([4.0, 4.0, 0.0, 3.0]), np.array([2.0, 1e-11, 1e-11, 0.1]), 10.0, out, capped)
    assert out.tolist() == [2.0, 40.0, 0.0, 30.0]
    assert capped.tolist() == [False, True, False, False]


def test_totals_stay_and_no_count_exceeds_the_cap(counts):
    effect = np.random.default_rng(2).lognormal(0, 2, counts.nnz)
    out, capped = np.empty(counts.nnz, dtype=np.float32), np.zeros(counts.nnz, dtype=bool)
    keep_totals(counts.data, counts.indptr, effect, 3.0, out, capped)
    assert capped.any()
    for start, stop in zip(counts.indptr, counts.indptr[1:], strict=False):
        y, d = counts.data[start:stop].astype(float), effect[start:stop]
        total = y.sum()
        if not total:
            continue
        c = brentq(lambda c, y=y, d=d: (np.minimum(c / d, 3.0) * y).sum() - y.sum(), 0, 3 * d.max() + 1, xtol=1e-13)
        np.testing.assert_allclose(out[start:stop], np.minimum(c / d, 3.0) * y, rtol=1e-5)
        assert out[start:stop].sum() == pytest.approx(total, rel=1e-6)


def test_a_cap_of_one_leaves_a_cell_with_its_total_as_it_is(counts):
    effect = np.random.default_rng(3).lognormal(0, 1, counts.nnz)
    out, capped = np.empty(counts.nnz, dtype=np.float32), np.zeros(counts.nnz, dtype=bool)
    keep_totals(counts.data, counts.indptr, effect, 1.0, out, capped)
    np.testing.assert_allclose(out, counts.data, rtol=1e-6)
