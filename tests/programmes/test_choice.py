"""Held-out counts: fair halves, a deviance that the truth makes least, and a choice that says when it cannot tell."""

import numpy as np
import pytest
from scipy import sparse

from unbatch.programmes.choice import compare, held_out_deviance, thin


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(7)
    beta = rng.gamma(0.5, size=(200, 3)) + 1e-6
    beta /= beta.sum(axis=0)
    delta, batch = np.exp(rng.normal(0, 1, (200, 2))), rng.integers(0, 2, 300).astype(np.int32)
    theta = 800 * rng.dirichlet(np.full(3, 0.5), 300)
    counts = rng.poisson((theta @ beta.T) * delta.T[batch]).astype(np.float32)
    return beta, delta, batch, sparse.csr_array(counts)


def test_thinned_halves_add_up_and_do_not_depend_on_each_other():
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(5.0, (500, 40)).astype(np.float32))
    first, second = thin(counts, 0.3, seed=4)
    np.testing.assert_array_equal((first + second).toarray(), counts.toarray())
    assert abs(first.sum() / counts.sum() - 0.3) < 0.01
    assert abs(np.corrcoef(first.toarray().ravel(), second.toarray().ravel())[0, 1]) < 0.03
    assert (thin(counts, 0.3, seed=5)[0] != first).nnz > 0
    assert (thin(counts, 0.3, seed=4)[0] != first).nnz == 0


def test_the_deviance_of_the_truth_is_the_least(cells):
    beta, delta, batch, counts = cells
    given = {"delta": delta, "batch": batch, "seed": 0}
    truth = held_out_deviance(beta, counts, **given)
    assert truth.shape == (300,)
    merged = np.column_stack([beta[:, 0], beta[:, 1:].mean(axis=1)])
    rng = np.random.default_rng(0)
    spurious = np.column_stack([beta, *(rng.permutation(beta[:, [t]]) for t in range(3))])
    for other in (merged, spurious):
        assert held_out_deviance(other, counts, **given).mean() > truth.mean() + 1
    assert held_out_deviance(beta, counts, delta=np.ones_like(delta), batch=batch, seed=0).mean() > 1.5 * truth.mean()


def test_the_deviance_is_that_of_the_held_out_half_with_the_activities_of_the_other(cells):
    beta, delta, batch, counts = cells
    seen, held = (half.toarray() for half in thin(counts, 0.5, seed=3))
    theta, expected = np.ones((300, 3)), delta.T[batch] @ beta
    for _ in range(3000):
        theta *= ((seen / (theta @ beta.T)) @ beta) / expected
    mean = (theta @ beta.T) * delta.T[batch]
    by_hand = 2 * (held * np.log(np.maximum(held, 1) / mean) - held + mean).sum(axis=1)
    found = held_out_deviance(beta, counts, delta=delta, batch=batch, seed=3)
    np.testing.assert_allclose(found, by_hand, rtol=0.02)
    np.testing.assert_allclose(found.mean(), by_hand.mean(), rtol=1e-3)


def test_chosen_is_the_smallest_that_is_as_good_within_its_error():
    rng = np.random.default_rng(0)
    base = rng.normal(100, 20, 400)
    noise = {n: rng.normal(0, 1, 400) for n in (2, 5, 8, 12)}
    table = compare([8, 2, 12, 5], [base + noise[8], base + 6, base + noise[12] + 1, base + 0.02 + noise[5]])
    assert table["n_factors"].tolist() == [2, 5, 8, 12]
    assert table["chosen"].sum() == 1
    assert int(table["n_factors"][table["chosen"]].iloc[0]) in (5, 8)
    np.testing.assert_allclose(table["excess"], table["deviance"] - table["deviance"].min())
    assert table["excess_se"].max() < 0.2  # of differences within cells, not of cells


def test_one_cell_gives_no_error_of_the_mean():
    table = compare([1, 2], [np.array([5.0]), np.array([4.0])])
    assert table["chosen"].tolist() == [False, True]
    assert (table["excess_se"] == 0).all()
