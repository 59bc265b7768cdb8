"""Transport that may leave mass behind, against conditions of its optimum and cases known beforehand."""

import numpy as np
import pytest

from unbatch.core.transport import transport


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_the_plan_meets_the_conditions_of_the_optimum(rng):
    """The derivative of what is minimised, with respect to each entry, is 0."""
    cost, rows, columns = rng.random((6, 5)), rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(5))
    plan = transport(cost, rows, columns, smoothing=0.1, give_up=0.4)
    slope = (
        cost
        + 0.1 * np.log(plan / np.outer(rows, columns))
        + 0.4 * np.log(plan.sum(axis=1) / rows)[:, None]
        + 0.4 * np.log(plan.sum(axis=0) / columns)
    )
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_mass_without_a_counterpart_that_is_near_stays():
    plan = transport(np.array([[0.0, 9.0], [9.0, 9.0]]), np.full(2, 0.5), np.full(2, 0.5), smoothing=0.02, give_up=0.35)
    assert plan[0, 0] > 0.45
    assert plan.sum() - plan[0, 0] < 1e-5


def test_what_is_near_is_taken_by_who_is_nearer():
    cost, half = np.array([[0.5], [0.0]]), np.full(2, 0.5)
    alone = transport(cost[:1], half[:1], half[:1], smoothing=0.02, give_up=0.35)
    beside = transport(cost, half, half[:1], smoothing=0.02, give_up=0.35)
    assert alone[0, 0] > 0.2
    assert beside[0, 0] < 0.5 * alone[0, 0]
    assert beside[1, 0] > 0.4


def test_costs_beyond_what_a_float_can_tell_give_nothing():
    plan = transport(np.full((2, 2), 1e6), np.full(2, 0.5), np.full(2, 0.5), smoothing=0.02, give_up=0.35)
    assert plan.sum() == 0
