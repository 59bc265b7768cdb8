from functools import reduce

import numpy as np
import pytest
from scipy import sparse

from unbatch._check import InputError
from unbatch.core.matching import match_cells
from unbatch.core.pseudobulk import Samples, sign_codes
from unbatch.core.statistics import PseudobulkSums, membership, merge, transfer_weights

N_CELLS, N_GENES, N_BATCHES = 120, 15, 3
FIELDS = ("counts", "counterfactuals", "remainders", "totals", "cells", "matched")


class Problem:
    """Cells with everything the statistics need; two take no part and one has no match."""

    def __init__(self, seed=0, dtype=np.float32):
        rng = np.random.default_rng(seed)
        self.counts = sparse.csr_array(rng.poisson(2.0, (N_CELLS, N_GENES)).astype(dtype))
        self.batch = rng.integers(0, N_BATCHES, N_CELLS).astype(np.int32)
        self.batch[[3, 50]] = -1
        features = rng.normal(size=(N_CELLS, 4))
        features[10] = 0
        self.samples = sign_codes(features)
        self.weights = match_cells(features, self.batch, n_neighbors=3).weights
        self.transfer = transfer_weights(self.weights, self.samples, batch=self.batch)

    def empty(self):
        return PseudobulkSums(n_genes=N_GENES, n_samples=self.samples.n_samples, n_batches=N_BATCHES)

    def add(self, sums, cells):
        return sums.add(
            self.counts[cells],
            sample=self.samples.codes[cells],
            batch=self.batch[cells],
            transfer=self.transfer[:, cells],
        )

    def whole(self):
        return self.add(self.empty(), np.arange(N_CELLS))


@pytest.fixture
def problem():
    return Problem()


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("ybar", "zbar", "n_sk", "s_gk", "n_matched")
    )


def test_statistics_equal_means_over_cells(problem):
    stats = problem.whole().finish()
    counts, weights = problem.counts.toarray().astype(float), problem.weights.toarray()
    takes_part, matched = problem.batch >= 0, weights.sum(axis=1) > 0
    assert np.flatnonzero(~matched).tolist() == [3, 10, 50]
    for s in range(problem.samples.n_samples):
        cells = np.flatnonzero((problem.samples.codes == s) & takes_part)
        twins = [weights[j] @ counts for j in cells if matched[j]]
        assert stats.ybar[:, s] == pytest.approx(counts[cells].mean(axis=0), rel=1e-15)
        assert stats.zbar[:, s] == pytest.approx(np.mean(twins, axis=0), rel=1e-13)
        assert stats.n_matched[s] == len(twins)
        for k in range(N_BATCHES):
            assert stats.n_sk[k, s] == np.sum(problem.batch[cells] == k)
            assert stats.p_sk[k, s] == pytest.approx(np.mean(problem.batch[cells] == k))
    for k in range(N_BATCHES):
        assert np.array_equal(stats.s_gk[:, k], counts[problem.batch == k].sum(axis=0))
    assert np.array_equal(stats.n_s, stats.n_sk.sum(axis=0))


@pytest.mark.parametrize("block", [1, 7, 64, 119])
def test_block_size_changes_no_bit(problem, block):
    sums = problem.empty()
    for start in range(0, N_CELLS, block):
        problem.add(sums, np.arange(start, min(start + block, N_CELLS)))
    assert same(sums.finish(), problem.whole().finish())


@pytest.mark.parametrize("seed", range(5))
def test_order_and_merge_tree_change_no_bit(problem, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(N_CELLS)
    blocks = np.split(order, np.sort(rng.choice(np.arange(1, N_CELLS), 9, replace=False)))
    pending = [problem.add(problem.empty(), cells) for cells in blocks]
    while len(pending) > 1:  # merge any two until one is left
        i, j = rng.choice(len(pending), 2, replace=False)
        pending = [sums for n, sums in enumerate(pending) if n not in (i, j)] + [merge(pending[i], pending[j])]
    assert same(pending[0].finish(), problem.whole().finish())


def test_float_sums_would_depend_on_the_order(problem):
    # the reason for integers: from 2^13 counts on, float64 rounds sums of multiples of 2^-40
    dense = problem.weights.toarray() @ problem.counts.toarray().astype(float) * 10_000
    forwards = reduce(np.add, dense)
    assert not np.array_equal(forwards, reduce(np.add, dense[::-1]))


def test_merging_leaves_both_as_they_were(problem):
    a, b = problem.add(problem.empty(), np.arange(50)), problem.add(problem.empty(), np.arange(50, N_CELLS))
    before = {name: (getattr(a, name).copy(), getattr(b, name).copy()) for name in FIELDS}
    merge(a, b)
    for name, (in_a, in_b) in before.items():
        assert np.array_equal(getattr(a, name), in_a)
        assert np.array_equal(getattr(b, name), in_b)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.uint16])
def test_the_dtype_of_counts_changes_no_bit(problem, dtype):
    assert same(Problem(dtype=dtype).whole().finish(), problem.whole().finish())


def test_transfer_is_the_sum_of_weights_over_each_sample(problem):
    weights, codes = problem.weights.toarray(), np.where(problem.batch >= 0, problem.samples.codes, -1)
    expected = np.array([weights[codes == s].sum(axis=0) for s in range(problem.samples.n_samples)])
    assert np.array_equal(problem.transfer.toarray() / 2**40, expected)
    nobody = np.full(N_CELLS, -1, dtype=np.int32)
    assert transfer_weights(problem.weights, problem.samples, batch=nobody).nnz == 0


def test_membership_leaves_out_negative_codes():
    one_hot = membership(np.array([1, -1, 0], dtype=np.int32), 3).toarray()
    assert np.array_equal(one_hot, [[0, 0, 1], [1, 0, 0], [0, 0, 0]])


def test_a_cell_without_batch_adds_nothing(problem):
    poisoned = Problem()
    poisoned.counts = sparse.lil_array(poisoned.counts)
    poisoned.counts[[3, 50]] = 1000
    poisoned.counts = sparse.csr_array(poisoned.counts)
    assert same(poisoned.whole().finish(), problem.whole().finish())


def test_a_sample_without_cells_or_matches_is_zero_and_not_nan():
    samples = Samples(np.array([0, 0], dtype=np.int32), np.arange(2), np.eye(1))
    nothing = sparse.csr_array((2, 2))
    sums = PseudobulkSums(n_genes=2, n_samples=2, n_batches=1)
    batch = np.zeros(2, dtype=np.int32)
    counts = sparse.csr_array(np.array([[1.0, 3.0], [2.0, 5.0]]))
    transfer = transfer_weights(nothing, samples, batch=batch)
    stats = sums.add(counts, sample=samples.codes, batch=batch, transfer=transfer).finish()
    assert stats.ybar.tolist() == [[1.5, 0], [4, 0]]
    assert stats.zbar.tolist() == [[0, 0], [0, 0]]
    assert stats.p_sk.tolist() == [[1, 0]]
    assert stats.n_matched.tolist() == [0, 0]


def test_sums_of_huge_counts_are_exact():
    # 3,000 matched cells, each a twin with 2^30 + 1 counts: far more than 2^63 in units of 2^-40
    n_cells, huge = 3000, 2**30 + 1
    samples = Samples(np.zeros(2 * n_cells, dtype=np.int32), np.arange(1), np.eye(1))
    batch = np.repeat(np.array([0, 1], dtype=np.int32), n_cells)
    twins = (np.ones(n_cells), (np.arange(n_cells), np.arange(n_cells) + n_cells))
    transfer = transfer_weights(sparse.csr_array(twins, shape=(2 * n_cells, 2 * n_cells)), samples, batch=batch)
    counts = sparse.csr_array(np.full((2 * n_cells, 1), huge, dtype=np.int64))
    sums = PseudobulkSums(n_genes=1, n_samples=1, n_batches=2)
    stats = sums.add(counts, sample=samples.codes, batch=batch, transfer=transfer).finish()
    assert stats.zbar[0, 0] == huge
    assert stats.s_gk[0, 1] == n_cells * huge


def test_more_matched_cells_than_fit_are_refused_not_wrapped(problem):
    sums = problem.whole()
    sums.matched += 2**63 - 1 - sums.matched.max()
    with pytest.raises(InputError, match="does not fit 64 bits"):
        merge(sums, problem.whole())
    with pytest.raises(InputError, match="does not fit 64 bits"):
        problem.add(sums, np.arange(N_CELLS))


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_counts_that_are_not_whole_are_refused(problem, value):
    problem.counts.data[:2] = value
    with pytest.raises(InputError, match=f"2 of {problem.counts.nnz} counts in a block are not whole numbers"):
        problem.whole()


def test_sums_of_different_shapes_do_not_merge(problem):
    other = PseudobulkSums(n_genes=N_GENES + 1, n_samples=problem.samples.n_samples, n_batches=N_BATCHES)
    with pytest.raises(InputError, match="cannot merge"):
        merge(problem.whole(), other)
