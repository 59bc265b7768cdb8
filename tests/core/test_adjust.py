import numba
import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.core.adjust import Adjuster, AdjustOptions, adjust_counts
from unbatch.core.state_effects import StateEffects


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


def adjuster(delta, *, estimated=None, states=None, genes=None, **options):
    known = np.ones(delta.shape, dtype=bool) if estimated is None else estimated
    return Adjuster(delta, known, AdjustOptions(**options), states=states, genes=genes)


@pytest.fixture
def effects():
    return np.random.default_rng(4).lognormal(0, 0.7, (8, 3))


@pytest.fixture
def batch():
    return np.random.default_rng(5).integers(-1, 3, 30).astype(np.int32)


@pytest.mark.parametrize("options", [{}, {"keep_library_size": True}, {"mode": "thin"}, {"max_factor": 1.5}])
def test_never_negative_zeros_stay_zero_and_nothing_is_nan(counts, effects, batch, options):
    found = adjuster(effects, **options).adjust(counts, batch).counts.toarray()
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found[counts.toarray() == 0] == 0).all()
    if options.get("mode") != "thin":
        assert (found[counts.toarray() > 0] > 0).all()


@pytest.mark.parametrize("options", [{"keep_library_size": True}, {"mode": "thin", "seed": 3}, {"max_factor": 1.5}])
@pytest.mark.parametrize("size", [1, 7, 30])
def test_blocks_in_any_order_give_the_same_bits(counts, effects, batch, options, size):
    whole, by = adjuster(effects, **options).adjust(counts, batch), adjuster(effects, **options)
    starts = list(range(0, 30, size))[::-1]
    parts = {s: by.adjust(counts[s : s + size], batch[s : s + size], first_cell=s) for s in starts}
    stacked = sparse.vstack([parts[s].counts for s in sorted(parts)], format="csr")
    assert np.array_equal(stacked.toarray(), whole.counts.toarray())
    assert np.array_equal(sum(part.capped for part in parts.values()), whole.capped)


@pytest.mark.parametrize("n_threads", [2, 4])
def test_threads_give_the_same_bits(effects, n_threads):
    rng = np.random.default_rng(6)
    counts = sparse.csr_array(rng.poisson(3.0, (5000, 8)).astype(np.float32))
    batch, by = rng.integers(0, 3, 5000).astype(np.int32), adjuster(effects, mode="thin")
    before = numba.get_num_threads()
    found = []
    for n in (1, n_threads):
        numba.set_num_threads(min(n, before))
        found.append(by.adjust(counts, batch).counts)
    numba.set_num_threads(before)
    assert (found[0] != found[1]).nnz == 0


def test_explicit_zeros_take_nothing_from_the_stream(counts, effects, batch):
    dense = sparse.csr_array(
        (counts.toarray().ravel(), np.tile(np.arange(8), 30), np.arange(0, 241, 8)), shape=counts.shape
    )
    by = adjuster(effects, mode="thin")
    one, other = by.adjust(counts, batch).counts, by.adjust(dense, batch).counts
    assert np.array_equal(one.toarray(), other.toarray())
    assert other.nnz == one.nnz == np.count_nonzero(one.toarray())


def test_some_genes_are_thinned_as_all_of_them(counts, effects, batch):
    some = np.array([6, 1, 3])
    whole = adjuster(effects, mode="thin").adjust(counts, batch).counts.toarray()
    part = adjuster(effects[some], genes=some, mode="thin").adjust(counts[:, some].tocsr(), batch).counts
    assert np.array_equal(part.toarray(), whole[:, some])


def test_thinned_counts_are_whole_and_another_seed_draws_others(counts, effects, batch):
    one, same, other = (adjuster(effects, mode="thin", seed=s).adjust(counts, batch).counts for s in (1, 1, 2**63 - 1))
    assert one.dtype == np.int32
    assert (one != same).nnz == 0
    assert (one != other).nnz > 0
    assert (one.toarray() <= counts.toarray()).all()


def test_thinned_poisson_counts_are_poisson_with_the_mean_of_the_least_affected_batch():
    rng, delta = np.random.default_rng(7), np.array([[0.5, 1.0, 4.0], [3.0, 1.0, 1.5]])
    batch = np.tile(np.arange(3, dtype=np.int32), 20_000)
    counts = sparse.csr_array(rng.poisson(np.array([2.0, 6.0]) * delta.T[batch]).astype(np.float32))
    found = adjuster(delta, mode="thin").adjust(counts, batch).counts.toarray()
    for k in range(3):
        mean, variance = found[batch == k].mean(axis=0), found[batch == k].var(axis=0)
        assert mean == pytest.approx([2.0 * 0.5, 6.0 * 1.0], rel=0.03)
        assert variance / mean == pytest.approx([1.0, 1.0], rel=0.04)
    scaled = adjuster(delta).adjust(counts, batch).counts.toarray()
    assert scaled[batch == 2][:, 0].var() / scaled[batch == 2][:, 0].mean() == pytest.approx(0.25, rel=0.05)


def test_counts_of_batches_that_take_no_part_are_not_thinned(counts):
    delta, known = np.array([[1.0, 4.0, 0.5]] * 8), np.array([[False, True, True]] * 8)
    batch = np.arange(30, dtype=np.int32) % 4 - 1
    found = adjuster(delta, estimated=known, mode="thin").adjust(counts, batch).counts.toarray()
    untouched = (batch == -1) | (batch == 0) | (batch == 2)  # none, unknown, and the least affected
    assert np.array_equal(found[untouched], counts.toarray()[untouched])
    assert found[batch == 1].sum() < counts.toarray()[batch == 1].sum()


def test_four_counts_became_ten_to_the_eleven():
    """A published tool made 5.8e11 out of 4 counts of a gene that is nearly absent in a batch."""
    delta = np.array([[1e-11, 1.0], [1.0, 1.0]])
    counts, batch = sparse.csr_array(np.array([[4.0, 900.0], [700.0, 900.0]])), np.array([0, 1], dtype=np.int32)
    for options in ({}, {"keep_library_size": True}):
        by = adjuster(delta, max_factor=20.0, **options)
        found = by.adjust(counts, batch)
        assert found.counts.toarray()[0, 0] == 80.0
        assert found.capped.tolist() == [1, 0]
        assert by.capped_effects().tolist() == [[True, False], [False, False]]
    by = adjuster(delta, mode="thin")
    found = by.adjust(counts, batch)
    assert found.counts.toarray()[0].tolist() == [4, 900]
    assert 10 < found.counts.toarray()[1, 0] < 65  # the other batch keeps a twentieth, not a 10^-11
    assert found.capped.tolist() == [1, 0]
    assert by.capped_effects().tolist() == [[False, True], [False, False]]


def test_a_larger_cap_follows_effects_further(counts):
    delta, batch = np.full((8, 1), 0.01), np.zeros(30, dtype=np.int32)
    found = {m: adjuster(delta, max_factor=m).adjust(counts, batch) for m in (1.0, 10.0, 1000.0)}
    for most, factor in ((1.0, 1.0), (10.0, 10.0), (1000.0, 100.0)):
        np.testing.assert_allclose(found[most].counts.toarray(), counts.toarray() * factor, rtol=1e-6)
        assert found[most].capped.sum() == (counts.nnz if most < 100 else 0)


def test_library_sizes_are_kept_to_rounding(counts, effects, batch):
    found = adjuster(effects, keep_library_size=True).adjust(counts, batch).counts
    np.testing.assert_allclose(found.sum(axis=1), counts.sum(axis=1), rtol=1e-6)
    free = adjuster(effects).adjust(counts, batch).counts.toarray()
    ratio = found.toarray()[found.toarray() > 0] / free[free > 0]
    assert len(np.unique(np.round(ratio, 4))) <= 31  # one number per cell


def test_states_have_effects_of_their_own(counts, batch):
    steps = np.random.default_rng(8).integers(-127, 128, (4, 3, 8)).astype(np.int8)
    states = StateEffects(steps, unit=0.004, sd=0.25)
    state, delta = np.arange(30, dtype=np.int32) % 5 - 1, np.exp(np.random.default_rng(9).normal(0, 0.3, (8, 3)))
    found = adjuster(delta, states=states, state_specific=True).adjust(counts, batch, state=state).counts
    expected = counts.toarray().astype(float)
    for j in range(30):
        if batch[j] >= 0:
            rho = np.exp(0.004 * steps[state[j], batch[j]]) if state[j] >= 0 else 1.0
            expected[j] /= delta[:, batch[j]] * rho
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)


def test_states_are_thinned_to_one_level_for_all_of_them():
    """A level per state would distort the differences between states."""
    steps = np.zeros((2, 2, 1), dtype=np.int8)
    steps[1] = [[100], [-100]]
    states, delta = StateEffects(steps, unit=0.01, sd=0.5), np.array([[2.0, 1.0]])
    batch, state = np.repeat([0, 1, 0, 1], 5000).astype(np.int32), np.repeat([0, 0, 1, 1], 5000).astype(np.int32)
    rho = np.exp([0.0, 0.0, 1.0, -1.0])[np.repeat(np.arange(4), 5000)]
    counts = sparse.csr_array(np.random.default_rng(1).poisson(20 * delta[0, batch] * rho)[:, None].astype(np.float32))
    by = adjuster(delta, states=states, state_specific=True, mode="thin")
    means = by.adjust(counts, batch, state=state).counts.toarray().reshape(4, 5000).mean(axis=1)
    assert means == pytest.approx([20 * np.exp(-1.0)] * 4, rel=0.02)


def test_counts_that_int32_cannot_hold_are_not_thinned(effects):
    batch = np.zeros(1, dtype=np.int32)
    fits, large = (sparse.csr_array(np.array([[value] + [1.0] * 7])) for value in (2.0**31 - 1, 2.0**31))
    assert adjuster(effects, mode="thin").adjust(fits, batch).counts.max() > 1000
    with pytest.raises(InputError, match=r"1 counts are above 2,147,483,647 .*use mode 'scale'"):
        adjuster(effects, mode="thin").adjust(large, batch)
    assert np.isfinite(adjuster(effects).adjust(large, batch).counts.data).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "magic"}, "no mode 'magic': choose 'scale' or 'thin'"),
        ({"max_factor": 0.5}, "max_factor is 0.5"),
        ({"max_factor": np.nan}, "max_factor is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, f"seed is {2**63}: it must be a whole number from 0 to {2**63 - 1}"),
        ({"mode": "thin", "keep_library_size": True}, "can only take counts away"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(InputError, match=message):
        AdjustOptions(**options)


def test_states_that_are_missing_or_unknown_are_refused(counts, batch):
    by = adjuster(np.ones((8, 3)), states=StateEffects(np.zeros((2, 3, 8), dtype=np.int8), 0.01, 0.1))
    with pytest.raises(InputError, match="not the state of each cell"):
        by.adjust(counts, batch)
    with pytest.raises(InputError, match="effects for 2 states"):
        by.adjust(counts, batch, state=np.full(30, 2, dtype=np.int32))
