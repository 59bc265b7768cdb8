import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.core.adjust import adjust_counts


@pytest.fixture
def counts():
    return sparse.csr_array(np.random.default_rng(0).poisson(1.0, (30, 8)).astype(np.float32))


def test_each_count_is_divided_by_the_effect_of_its_batch(counts):
    rng = np.random.default_rng(1)
    delta, batch = rng.lognormal(size=(8, 3)), rng.integers(-1, 3, 30).astype(np.int32)
    expected = counts.toarray()
    for j in range(30):
        for g in range(8):
            expected[j, g] = np.float32(expected[j, g] / (delta[g, batch[j]] if batch[j] >= 0 else 1.0))
    adjusted = adjust_counts(counts, delta, batch)
    assert np.array_equal(adjusted.toarray(), expected)
    assert adjusted.dtype == np.float32
    assert adjusted.format == "csr"


def test_a_planted_effect_is_gone_after_adjusting():
    rng = np.random.default_rng(2)
    delta, batch = np.array([[2.0, 0.5], [0.25, 4.0]]), np.repeat(np.array([0, 1], dtype=np.int32), 4000)
    planted = sparse.csr_array(rng.poisson(10 * delta.T[batch]).astype(np.float32))
    adjusted = adjust_counts(planted, delta, batch).toarray()
    assert adjusted[batch == 0].mean(axis=0) == pytest.approx(adjusted[batch == 1].mean(axis=0), rel=0.03)
    assert planted.toarray()[batch == 1].mean(axis=0) != pytest.approx([10, 10], rel=0.4)


def test_no_effect_and_no_batch_leave_counts_as_they_are(counts):
    batch = np.arange(30, dtype=np.int32) % 3 - 1
    assert np.array_equal(adjust_counts(counts, np.ones((8, 2)), batch).toarray(), counts.toarray())


def test_the_input_is_not_touched(counts):
    before = counts.copy()
    adjusted = adjust_counts(counts, np.full((8, 1), 2.0), np.zeros(30, dtype=np.int32))
    adjusted.data[:] = adjusted.indices[:] = 0
    assert np.array_equal(counts.toarray(), before.toarray())


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_effects_that_cannot_divide_are_refused(counts, value):
    delta = np.ones((8, 1))
    delta[2, 0] = value
    with pytest.raises(InputError, match="1 of 8 effects are not positive and finite"):
        adjust_counts(counts, delta, np.zeros(30, dtype=np.int32))


def test_other_genes_or_batches_than_fitted_are_refused(counts):
    with pytest.raises(InputError, match="counts have 8 genes and delta has 7"):
        adjust_counts(counts, np.ones((7, 1)), np.zeros(30, dtype=np.int32))
    with pytest.raises(InputError, match="codes go up to 1, but delta has 1 batches"):
        adjust_counts(counts, np.ones((8, 1)), np.ones(30, dtype=np.int32))
