"""Batches that nothing ties to the others are found, and those that something does are kept."""

import numpy as np
import pytest

from unbatch.core import identifiability
from unbatch.core.identifiability import judge_batches

CENTRES = np.random.default_rng(0).normal(size=(6, 4))


def effects(sd, n_genes=500, seed=1):
    return np.random.default_rng(seed).standard_normal((n_genes, len(sd))) * sd


def judge(cells, *, support=None, log_delta=None, batch_sizes=None, min_support=10.0):
    cells = np.array(cells, dtype=np.float64)
    if support is None:
        here = cells > 0
        support = here & (here.sum(axis=1, keepdims=True) > 1)
    log_delta = effects([0.5] * cells.shape[1]) if log_delta is None else log_delta
    batch_sizes = cells.sum(axis=0).astype(np.int64) if batch_sizes is None else np.array(batch_sizes)
    return judge_batches(
        cells, support, batch_sizes=batch_sizes, centres=CENTRES, log_delta=log_delta, min_support=min_support
    )


EVEN = [[30, 40, 50]] * 6


def test_batches_that_share_all_states_are_identifiable():
    found = judge(EVEN)
    assert found.identifiable.all()
    np.testing.assert_allclose(found.spread, 1.0)
    np.testing.assert_allclose(found.ratio, 1.0, atol=0.15)


def test_information_is_the_sum_over_states_and_other_batches():
    cells = np.random.default_rng(2).integers(0, 50, (6, 3)).astype(float)
    support = np.random.default_rng(3).random((6, 3)) < 0.8
    expected = np.zeros(3)
    for s in range(6):
        compared = [cells[s, k] if support[s, k] else 0 for k in range(3)]
        for k in range(3):
            expected[k] += sum(compared[k] * compared[m] for m in range(3) if m != k) / max(sum(compared), 1)
    np.testing.assert_allclose(judge(cells, support=support).information, expected)


def test_two_unlinked_groups_are_told_apart():
    cells = [
        [90, 80, 0, 0, 0],
        [70, 90, 0, 0, 0],
        [0, 0, 20, 30, 9],
        [0, 0, 30, 20, 9],
        [0, 0, 30, 20, 9],
        [9] + [0] * 4,
    ]
    np.testing.assert_array_equal(judge(cells).group, [0, 0, 1, 1, 1])
    assert judge(cells).identifiable.all()


def test_the_first_group_is_that_with_more_cells_not_more_batches():
    cells = [[300, 400, 0, 0, 0], [0, 0, 90, 80, 0], [0, 0, 90, 0, 80]] * 2
    np.testing.assert_array_equal(judge(cells).group, [0, 0, 1, 1, 1])


def test_batches_are_tied_through_others():
    cells = [[50, 50, 0, 0], [50, 50, 0, 0], [0, 50, 50, 0], [0, 50, 50, 0], [0, 0, 50, 50], [0, 0, 50, 50]]
    assert judge(cells).identifiable.all()


def test_a_batch_that_shares_too_few_cells_is_out():
    cells = np.array([[100, 100, 3], [100, 100, 0], [100, 100, 0], [0, 0, 200], [0, 0, 200], [100, 100, 0]], float)
    np.testing.assert_array_equal(judge(cells).identifiable, [True, True, False])
    assert judge(cells, min_support=1.0).identifiable.all()


def test_a_tenth_of_a_small_batch_is_enough():
    cells = [[100, 100, 5]] + [[100, 100, 3]] * 5
    assert judge(cells, min_support=50.0).identifiable.all()


def test_a_tenth_of_a_batch_counts_cells_that_are_in_no_state():
    """A large batch whose cells mostly lie apart is not tied by the few that do not."""
    cells = [[100, 100, 3]] + [[100, 100, 0]] * 5
    assert judge(cells).identifiable.all()
    np.testing.assert_array_equal(judge(cells, batch_sizes=[600, 600, 300]).identifiable, [True, True, False])


def one_state(n_linked):
    """Three ordinary batches, and a last one that shares `n_linked` states with them."""
    cells = np.full((6, 4), 40.0)
    cells[n_linked:, 3] = 0
    return cells


@pytest.mark.parametrize(
    ("n_linked", "sd", "stays"),
    [(1, 2.0, False), (1, 0.9, False), (1, 0.5, True), (6, 2.0, True), (4, 2.0, True)],
    ids=[
        "one state, outsized",
        "one state, half as large again",
        "one state, ordinary",
        "all states, outsized",
        "several states, outsized",
    ],
)
def test_outsized_effects_through_one_state_alone_are_taken_for_a_difference_of_types(n_linked, sd, stays):
    found = judge(one_state(n_linked), log_delta=effects([0.5, 0.5, 0.5, sd]))
    np.testing.assert_array_equal(found.identifiable, [True, True, True, stays])
    assert found.ratio[3] == pytest.approx(sd / 0.5, rel=0.15)


def test_small_effects_are_never_outsized():
    """Next to batches without effects, those within the least standard deviation are ordinary."""
    found = judge(one_state(1), log_delta=effects([0.001, 0.001, 0.001, 0.08]))
    assert found.identifiable.all()


@pytest.mark.parametrize("sd", [0.5, 3.0])
def test_two_batches_alone_cannot_be_judged_by_their_effects(sd):
    cells = np.zeros((6, 2))
    cells[0] = 40
    cells[1:3, 0] = cells[3:, 1] = 30
    found = judge(cells, log_delta=effects([0.5, sd]))
    assert found.identifiable.all()
    np.testing.assert_array_equal(found.ratio, 1)


def test_ratio_compares_with_the_spread_of_the_others():
    log_delta = effects([0.4, 0.5, 0.6, 1.5], n_genes=20_000)
    ratio = judge(one_state(6), log_delta=log_delta).ratio
    own = 1.5**2 + (0.4**2 + 0.5**2 + 0.6**2) / 3**2  # variance of the difference from the mean of three others
    usual = 0.5**2 + (0.4**2 + 0.6**2) / 2**2  # and of that of the middle one from the mean of two
    assert ratio[3] == pytest.approx(np.sqrt((own / (1 + 1 / 3)) / (usual / (1 + 1 / 2))), rel=0.03)
    assert (ratio[:3] < 1.2).all()


def test_without_anything_shared_no_batch_is_identifiable():
    cells = np.kron(np.eye(3), np.full((2, 1), 50.0))
    found = judge(cells)
    assert not found.identifiable.any()
    np.testing.assert_array_equal(found.information, 0)
    np.testing.assert_array_equal(found.spread, 0)


def test_cells_that_lie_apart_tie_nothing():
    support = np.zeros((6, 3), dtype=bool)
    support[:, :2] = True
    np.testing.assert_array_equal(judge(EVEN, support=support).identifiable, [True, True, False])


@pytest.mark.parametrize("n_batches", [4, 5, 9])
def test_distances_without_each_batch_are_those_of_a_loop(n_batches):
    rng = np.random.default_rng(n_batches)
    log_delta = rng.normal(0, 1, (200, n_batches)) * rng.uniform(0.1, 2, n_batches) + rng.normal(0, 2, (200, 1))
    expected = []
    for batch in range(n_batches):
        others = np.delete(log_delta, batch, axis=1)
        own = np.var(log_delta[:, batch] - others.mean(axis=1)) / (1 + 1 / (n_batches - 1))
        each = [
            np.var(others[:, k] - np.delete(others, k, axis=1).mean(axis=1)) / (1 + 1 / (n_batches - 2))
            for k in range(n_batches - 1)
        ]
        expected.append(np.sqrt(own / np.median(each)))
    np.testing.assert_allclose(identifiability._ratio(log_delta), expected, rtol=1e-9)
