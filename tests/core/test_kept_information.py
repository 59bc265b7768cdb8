"""What comparing within states keeps of the contrasts between batches."""

import numpy as np
import pytest
from scipy import linalg, optimize

from unbatch.core.kept_information import kept_information


def cells_of(table):
    """State and batch of each cell, from (n_states, n_batches) numbers of cells."""
    table = np.asarray(table)
    state, batch = (np.repeat(codes.ravel(), table.ravel()) for codes in np.indices(table.shape))
    return state.astype(np.int32), batch.astype(np.int32)


def kept(table, apart=None):
    return kept_information(
        *cells_of(table), np.zeros(np.shape(table), dtype=bool) if apart is None else np.asarray(apart)
    )


def information(cells):
    return np.diag(cells) - np.outer(cells, cells) / max(cells.sum(), 1)


def test_states_with_batches_in_the_same_shares_keep_all():
    assert kept([[10, 20, 30], [20, 40, 60], [1, 2, 3]]) == pytest.approx([1, 1])


def test_of_two_batches_it_is_the_share_of_effective_cells():
    table = np.array([[30, 10], [5, 25], [40, 0]])
    effective = (table.prod(axis=1) / table.sum(axis=1)).sum()
    assert kept(table) == pytest.approx([effective / (table.sum(axis=0).prod() / table.sum())])


@pytest.mark.parametrize("seed", range(5))
def test_contrasts_keep_what_algebra_says_and_none_keeps_less_than_the_first(seed):
    rng = np.random.default_rng(seed)
    table, apart = rng.poisson(6, (7, 4)) * (rng.random((7, 4)) < 0.7), rng.random((7, 4)) < 0.2
    table[:, 0] += 1
    within = sum(information(np.where(lone, 0, cells)) for cells, lone in zip(table, apart, strict=True))
    among = linalg.null_space(np.ones((1, 4)))
    whole = among.T @ information(table.sum(axis=0)) @ among
    values = linalg.eigh(among.T @ within @ among, whole, eigvals_only=True)
    np.testing.assert_allclose(kept(table, apart), values, atol=1e-9)

    def ratio(x):
        return x @ among.T @ within @ among @ x / (x @ whole @ x)

    best = min(optimize.minimize(ratio, rng.standard_normal(3)).fun for _ in range(5))
    assert kept(table, apart)[0] == pytest.approx(best, abs=1e-6)


def test_batches_that_go_in_pairs_keep_little_of_the_difference_between_pairs():
    """Every cell has counterparts in some other batch, and yet hardly any tells of that difference."""
    between, *within = kept([[50, 50, 0, 0], [0, 0, 50, 50], [1, 0, 1, 0]])
    assert between < 0.05
    np.testing.assert_allclose(within, 1, atol=0.03)


def test_batches_without_a_common_state_keep_nothing():
    assert kept([[10, 0], [0, 10]]) == pytest.approx([0], abs=1e-12)
    assert kept([[10, 10], [5, 5]], apart=[[True, False], [True, False]]) == pytest.approx([0], abs=1e-12)


def test_a_batch_without_cells_and_a_single_batch_have_nothing_to_keep():
    assert kept([[10, 0, 20], [20, 0, 40]]) == pytest.approx([1])
    assert kept([[10], [20]]).shape == (0,)
