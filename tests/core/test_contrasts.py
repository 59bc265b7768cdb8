"""Standard errors of differences: exact where they can be, close where not, and tests that keep their promises."""

import itertools

import numpy as np
import pytest
from scipy import stats

from unbatch.core.contrasts import centred_errors, difference_errors, normal_tests, quasi_variances


def centred_se(covariance):
    """Standard errors after centring, from the full covariance."""
    n = len(covariance)
    centring = np.eye(n) - 1 / n
    return np.sqrt(np.diag(centring @ covariance @ centring))


def difference_se(covariance):
    """Standard error of every difference, from the full covariance."""
    own = np.diag(covariance)
    return np.sqrt(own[:, None] + own - 2 * covariance)


def all_differences(se):
    return np.stack([difference_errors(se[None], versus=other)[0] for other in range(len(se))], axis=1)


def random_covariance(n, seed, dof=3):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, dof * n))
    scale = np.diag(rng.uniform(0.3, 1.0, n))
    return scale @ (root @ root.T / (dof * n)) @ scale


@pytest.mark.parametrize("n", [2, 3, 4, 7, 20])
@pytest.mark.parametrize("common", [0.0, 3.0])
def test_differences_are_exact_for_independent_errors_with_a_common_part(n, common):
    variance = np.random.default_rng(n).uniform(0.05, 2.0, n)
    covariance = np.diag(variance) + common
    np.testing.assert_allclose(all_differences(centred_se(covariance)), difference_se(covariance), rtol=1e-9)
    if n > 2:
        np.testing.assert_allclose(quasi_variances(centred_se(covariance)[None])[0], variance, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_differences_of_up_to_three_batches_are_exact_for_any_covariance(n, seed):
    covariance = random_covariance(n, seed)
    np.testing.assert_allclose(all_differences(centred_se(covariance)), difference_se(covariance), rtol=1e-9)


@pytest.mark.parametrize("n", [4, 9])
@pytest.mark.parametrize("seed", range(5))
def test_the_mean_variance_of_the_differences_of_a_batch_is_exact_for_any_covariance(n, seed):
    covariance = random_covariance(n, seed)
    parts = quasi_variances(centred_se(covariance)[None])[0]
    approximate = (parts[:, None] + parts) * ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(approximate.sum(axis=1), (difference_se(covariance) ** 2).sum(axis=1), rtol=1e-9)


def test_two_batches_share_the_variance_of_their_difference():
    covariance = random_covariance(2, 0)
    parts = quasi_variances(centred_se(covariance)[None])[0]
    np.testing.assert_allclose(parts, difference_se(covariance)[0, 1] ** 2 / 2, rtol=1e-9)


def test_intervals_of_differences_cover_where_errors_are_dependent():
    """Neighbouring batches share errors, as if they lent each other cells: what is approximate is off by little."""
    rng = np.random.default_rng(0)
    n = 6
    variance = rng.uniform(0.5, 1.5, n)
    shared = 0.4 ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    covariance = shared * np.sqrt(np.outer(variance, variance))
    se = all_differences(centred_se(covariance))
    draws = rng.multivariate_normal(np.zeros(n), covariance, 20_000)
    rates = [
        np.mean(np.abs(draws[:, a] - draws[:, b]) < 1.96 * se[a, b]) for a, b in itertools.combinations(range(n), 2)
    ]
    assert np.mean(rates) == pytest.approx(0.95, abs=0.01)
    assert min(rates) > 0.89
    assert max(rates) < 0.99


def test_differences_stay_possible_where_the_split_is_far_off():
    # three batches move as one against the others, which five variances cannot say
    root = np.random.default_rng(4).normal(size=(6, 1)) * [[1], [1], [1], [0], [0], [0]]
    covariance = root @ root.T + 1e-4 * np.eye(6)
    se = centred_se(covariance)
    found = all_differences(se)
    off = ~np.eye(6, dtype=bool)
    assert (found[off] >= np.abs(np.subtract.outer(se, se))[off] * (1 - 1e-12)).all()
    assert (found <= np.add.outer(se, se) * (1 + 1e-12)).all()
    assert (found[off] ** 2 >= 0.0099 * np.add.outer(se**2, se**2)[off]).all()


def test_centred_errors_are_those_of_the_full_covariance():
    rng = np.random.default_rng(1)
    variance = rng.uniform(0.1, 2.0, (30, 5))
    known = rng.random((30, 5)) < 0.7
    found = centred_errors(variance, known)
    for gene in range(30):
        here = np.flatnonzero(known[gene])
        expected = np.full(5, np.inf)
        if here.size > 1:
            expected[here] = centred_se(np.diag(variance[gene, here]))
        np.testing.assert_allclose(found[gene], expected, rtol=1e-12)


def test_what_is_unknown_changes_nothing_of_the_rest_and_stays_unknown():
    se = np.array([[0.3, np.inf, 0.5, 0.4], [np.inf, np.inf, np.inf, np.inf], [0.2, 0.2, np.inf, np.inf]])
    found = difference_errors(se, versus=0)
    np.testing.assert_allclose(found[0, [0, 2, 3]], difference_errors(se[[0]][:, [0, 2, 3]], versus=0)[0])
    assert found[0, 1] == np.inf
    assert np.isinf(found[1]).all()
    assert found[2].tolist() == pytest.approx([0.0, 0.4, np.inf, np.inf])
    assert np.isinf(difference_errors(se, versus=1)[:2]).all()


def test_differences_within_a_group_are_those_of_the_group_alone_and_others_are_unknown():
    rng = np.random.default_rng(2)
    first, second = rng.uniform(0.2, 0.6, (5, 3)), rng.uniform(0.2, 0.6, (5, 2))
    group = np.array([0, 1, 0, 0, 1])
    se = np.empty((5, 5))
    se[:, group == 0], se[:, group == 1] = first, second
    found = difference_errors(se, versus=2, group=group)
    np.testing.assert_allclose(found[:, group == 0], difference_errors(first, versus=1))
    assert np.isinf(found[:, group == 1]).all()
    np.testing.assert_allclose(
        difference_errors(se, versus=4, group=group)[:, group == 1], difference_errors(second, versus=1)
    )


def test_z_and_p_are_those_of_the_normal_distribution():
    effect, se = np.array([1.96, -3.0, 0.0, 40.0]), np.array([1.0, 1.0, 0.5, 1.0])
    found = normal_tests(effect, se)
    np.testing.assert_allclose(found.z, effect / se)
    np.testing.assert_allclose(found.pvalue, 2 * stats.norm.sf(np.abs(effect / se)))
    assert found.pvalue[3] >= 0


def test_what_is_unknown_is_no_test():
    known = normal_tests(np.array([2.0, 3.0]), np.array([1.0, 1.0]))
    found = normal_tests(np.array([2.0, 0.0, 3.0, 0.0]), np.array([1.0, np.inf, 1.0, np.inf]))
    np.testing.assert_allclose(found.qvalue[[0, 2]], known.qvalue)
    assert found.z[[1, 3]].tolist() == [0, 0]
    assert found.pvalue[[1, 3]].tolist() == found.qvalue[[1, 3]].tolist() == [1, 1]
    assert normal_tests(np.zeros(2), np.full(2, np.inf)).qvalue.tolist() == [1, 1]


def test_q_values_agree_with_their_definition():
    rng = np.random.default_rng(3)
    effect = rng.normal(size=200) * 2
    found = normal_tests(effect, np.ones(200))
    order = np.argsort(found.pvalue)
    expected = np.empty(200)
    expected[order] = [min(1, *(found.pvalue[order[j]] * 200 / (j + 1) for j in range(i, 200))) for i in range(200)]
    np.testing.assert_allclose(found.qvalue, expected)


def test_the_false_discovery_rate_is_kept():
    rng = np.random.default_rng(5)
    truth = np.where(rng.random(20_000) < 0.2, rng.normal(0, 4, 20_000), 0.0)
    found = normal_tests(truth + rng.normal(size=20_000), np.ones(20_000))
    called = found.qvalue < 0.05
    assert called.sum() > 1000
    assert np.mean(truth[called] == 0) == pytest.approx(0.05 * 0.8, abs=0.015)
