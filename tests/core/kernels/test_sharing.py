"""Leaves of the mixture of states give what plain numpy gives, over the cells and genes that are looked at."""

import numpy as np
import pytest
from scipy import sparse, special

from unbatch.core.kernels.sharing import share_out, sum_shared

N_GENES, N_STATES = 6, 4


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.8, size=(30, N_GENES)).astype(np.float64)
    place = np.array([0, -1, 1, 2, -1, 3], dtype=np.int32)
    cells = rng.permutation(30)[:20]
    batch, level = rng.integers(0, 2, 30).astype(np.int32), rng.integers(0, 2, 30).astype(np.int32)
    return dense, place, cells, batch, level, np.array([0, 1, 0, 1], dtype=np.int32)


def rows(dense):
    counts = sparse.csr_array(dense)
    return counts.data, counts.indices, counts.indptr


@pytest.mark.parametrize("leaf", [share_out, share_out.py_func])
def test_shares_are_posterior_probabilities(leaf, data):
    dense, place, cells, batch, level, of_level = data
    rng = np.random.default_rng(1)
    log_part = np.log(rng.dirichlet(np.ones(4), size=(2, N_STATES)).transpose(0, 2, 1))
    log_weight = np.log(rng.dirichlet(np.ones(N_STATES), size=2))
    share, likelihood = np.empty((len(cells), N_STATES)), np.empty(len(cells))
    leaf(
        *rows(dense),
        cells,
        batch,
        level,
        place,
        np.ascontiguousarray(log_part),
        log_weight,
        of_level,
        share,
        likelihood,
    )
    seen = dense[np.ix_(cells, np.flatnonzero(place >= 0))]
    expected = np.einsum("jg,jgs->js", seen, log_part[batch[cells]]) + log_weight[batch[cells]]
    expected[level[cells][:, None] != of_level] = -np.inf
    np.testing.assert_allclose(likelihood, special.logsumexp(expected, axis=1))
    np.testing.assert_allclose(share, special.softmax(expected, axis=1))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("leaf", [sum_shared, sum_shared.py_func])
def test_counts_and_squares_are_added_up_by_shares(leaf, power, data):
    dense, place, cells, *_ = data
    share = np.random.default_rng(2).dirichlet(np.ones(N_STATES), size=len(cells))
    sums = np.full((4, N_STATES), 0.5)
    leaf(*rows(dense), cells, place, share, power, sums)
    seen = dense[np.ix_(cells, np.flatnonzero(place >= 0))] ** power
    np.testing.assert_allclose(sums, 0.5 + seen.T @ share)
