import numpy as np
import pytest

from unbatch.core.convention import centre_log_delta, relate_log_delta, weighted_median


def medians(log_delta, weights, used):
    return np.array([weighted_median(log_delta[used[:, k], k], weights[used[:, k]]) for k in range(used.shape[1])])


def test_median_splits_the_weight_in_half():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, weights = rng.normal(size=9), rng.integers(0, 4, 9).astype(float)
        if weights.any():
            repeated = np.repeat(values, weights.astype(int))
            assert weighted_median(values, weights) == pytest.approx(np.median(repeated))


def test_median_is_antisymmetric_and_zero_without_weight():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=100), rng.uniform(size=100)
    assert weighted_median(-values, weights) == -weighted_median(values, weights)
    assert weighted_median(values, np.zeros(100)) == 0
    assert weighted_median(np.empty(0), np.empty(0)) == 0


def test_two_batches_meet_both_conditions():
    rng = np.random.default_rng(2)
    log_delta, weights = rng.normal(1, 2, (301, 2)), rng.uniform(size=301)
    used = np.ones((301, 2), dtype=bool)
    centred = centre_log_delta(log_delta, weights, used)
    assert np.abs(centred.mean(axis=1)).max() < 1e-12
    assert np.abs(medians(centred, weights, used)).max() < 1e-12


@pytest.mark.parametrize("n_batches", [3, 8])
def test_more_batches_have_zero_gene_means_and_equal_medians(n_batches):
    rng = np.random.default_rng(3)
    log_delta, weights = rng.normal(1, 2, (301, n_batches)), rng.uniform(size=301)
    used = np.ones(log_delta.shape, dtype=bool)
    centred = centre_log_delta(log_delta, weights, used)
    assert np.abs(centred.mean(axis=1)).max() < 1e-12
    assert np.ptp(medians(centred, weights, used)) < 1e-12


def test_planted_factors_of_genes_and_batches_are_taken_out():
    rng = np.random.default_rng(4)
    truth = np.zeros((200, 4))
    truth[:60] = rng.normal(size=(60, 4))  # most genes have no effect: all medians are 0
    truth -= truth.mean(axis=1, keepdims=True)
    used = np.ones(truth.shape, dtype=bool)
    shifted = truth + rng.normal(size=(200, 1)) + rng.normal(size=(1, 4))
    assert centre_log_delta(shifted, np.ones(200), used) == pytest.approx(truth, abs=1e-12)


def test_only_a_factor_per_gene_and_batch_is_removed():
    rng = np.random.default_rng(5)
    log_delta = rng.normal(size=(50, 3))
    difference = log_delta - centre_log_delta(log_delta, rng.uniform(size=50), np.ones((50, 3), dtype=bool))
    interaction = difference - difference.mean(axis=0) - difference.mean(axis=1, keepdims=True) + difference.mean()
    assert np.abs(interaction).max() < 1e-12


def test_applying_it_twice_changes_nothing():
    rng = np.random.default_rng(6)
    measured, weights = rng.random((120, 5)) < 0.7, rng.uniform(size=120)
    once = centre_log_delta(rng.normal(size=(120, 5)), weights, measured)
    assert centre_log_delta(once, weights, measured) == pytest.approx(once, abs=1e-10)


def test_unmeasured_entries_stay_zero_and_do_not_count():
    rng = np.random.default_rng(7)
    log_delta, weights, measured = rng.normal(size=(400, 4)), rng.uniform(size=400), rng.random((400, 4)) < 0.6
    centred = centre_log_delta(log_delta, weights, measured)
    alone = measured.sum(axis=1) < 2
    assert alone.any()
    assert not centred[~measured].any()
    assert not centred[alone].any()
    free = measured & ~alone[:, None]
    assert np.abs(centred.sum(axis=1)).max() < 1e-12
    assert np.ptp(medians(centred, weights, free)) < 1e-9
    log_delta[~measured] = np.nan
    assert np.array_equal(centre_log_delta(log_delta, weights, measured), centred)


def test_a_batch_that_measured_nothing_and_batches_that_share_no_gene():
    log_delta = np.array([[1.0, 2.0, 0, 0, 0], [2.0, 1.0, 0, 0, 0], [0, 0, 5.0, 1.0, 0], [0, 0, 5.0, 2.0, 0]])
    measured = log_delta != 0
    centred = centre_log_delta(log_delta, np.ones(4), measured)
    assert centred == pytest.approx(
        np.array([[-0.5, 0.5, 0, 0, 0], [0.5, -0.5, 0, 0, 0], [0, 0, 0.25, -0.25, 0], [0, 0, -0.25, 0.25, 0]])
    )
    assert not centre_log_delta(log_delta, np.ones(4), np.zeros_like(measured)).any()


def test_relative_to_a_batch_it_is_zero_and_every_median_is_zero():
    rng = np.random.default_rng(7)
    log_delta, weights = rng.normal(1, 2, (301, 4)), rng.uniform(size=301)
    used = rng.random((301, 4)) < 0.8
    relative = relate_log_delta(log_delta, weights, used, reference=2)
    free = used & used[:, [2]]
    assert (relative[:, 2] == 0).all()
    assert (relative[~free] == 0).all()
    assert np.abs(medians(relative, weights, free)).max() < 1e-12
    # what was taken is one factor per gene and one per batch
    gone = np.where(free, log_delta - log_delta[:, [2]] - relative, np.nan)
    assert np.nanmax(np.ptp(np.where(np.isnan(gone), np.nanmean(gone, axis=0), gone), axis=0)) < 1e-12


def test_relative_effects_forget_the_factors_that_data_leave_open():
    rng = np.random.default_rng(8)
    log_delta, weights, used = rng.normal(size=(101, 3)), rng.uniform(size=101), np.ones((101, 3), dtype=bool)
    other = log_delta + rng.normal(size=(101, 1)) + rng.normal(size=3)
    first, second = (relate_log_delta(values, weights, used, reference=0) for values in (log_delta, other))
    np.testing.assert_allclose(first, second, atol=1e-12)
