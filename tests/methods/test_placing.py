"""Placing cells: the same as by dense arithmetic, in any blocks, merged in any order, in little memory per cell."""

import numpy as np
import pytest

import unbatch as ub
from unbatch.core.denoising import Denoising
from unbatch.core.embedding import Embedding
from unbatch.core.exact_sums import ExactCounts
from unbatch.core.matched import fit_matched
from unbatch.core.shifts import Shifts
from unbatch.io.source import open_counts
from unbatch.methods.placing import Placing, nearest_state, overlap_by_batch, overlap_by_state, spread_out

N_CELLS, N_GENES = 900, 200


@pytest.fixture(scope="module")
def adata():
    return ub.simulate(
        n_types=4, n_batches=4, composition=0.5, n_genes=N_GENES, n_cells=N_CELLS, median_depth=900, seed=1
    )


@pytest.fixture(scope="module")
def codes(adata):
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    batch[::50] = -1
    return batch


USED = np.array([0, 2, 3])
LEVEL = (np.arange(N_CELLS) % 2).astype(np.int32)


@pytest.fixture(scope="module")
def fitted(adata, codes):
    """Batch 1 takes no part."""
    cells = np.flatnonzero(np.isin(codes, USED))
    compact = np.searchsorted(USED, codes[cells]).astype(np.int32)
    counts = open_counts(adata).rows(cells)
    return fit_matched(counts, compact, measured=np.ones((N_GENES, 3), dtype=bool), level=LEVEL[cells])


@pytest.fixture(scope="module")
def embedding():
    """Axes of other genes, and a round of shifts, made up."""
    rng = np.random.default_rng(4)
    basis = np.linalg.qr(rng.normal(size=(N_GENES, 6)))[0]
    centres, level = rng.normal(size=(4, 6)), np.array([0, 1, 0, 1], dtype=np.int32)
    return Embedding(
        basis,
        rng.normal(size=N_GENES),
        (Shifts(centres, level, 2.0, 1.0, centres, np.ones(4), rng.normal(size=(4, 3, 6))),),
        rng.normal(size=6),
        Denoising(level, np.full(4, 0.25), centres, np.full((4, 6), 0.5), rng.exponential(20, size=(4, 6))),
    )


@pytest.fixture(scope="module")
def placing(fitted, embedding, codes):
    """Makes an accumulator."""
    genes = np.ones(N_GENES, dtype=bool)
    return lambda: Placing(fitted, embedding, codes=codes, counted=codes, used=USED, genes=genes, level=LEVEL)


@pytest.fixture(scope="module")
def placed(adata, placing):
    walk = placing()
    for block in open_counts(adata).blocks():
        walk.add(block)
    return walk.finish()


def test_coordinates_and_states_equal_those_of_dense_arithmetic(adata, fitted, embedding, codes, placed):
    log_delta = np.zeros((N_GENES, 5))
    log_delta[:, USED] = fitted.effects.log_delta * fitted.tied.identifiable
    adjusted = adata.X.toarray() / np.exp(log_delta)[:, codes].T  # code -1 is the last column, of zeros
    logs = np.log1p(fitted.scale * adjusted / adjusted.sum(axis=1, keepdims=True))
    of_fit = np.array([0, -1, 1, 2, -1], dtype=np.int32)[codes]
    relative = adjusted * np.exp(embedding.centre)
    size = relative.sum(axis=1)
    along = np.log1p(fitted.scale * relative / relative.sum(axis=1, keepdims=True)) @ embedding.basis
    expected = embedding.apply(along, of_fit, LEVEL, size=size)
    assert np.abs(expected - along).max() > 0.5
    np.testing.assert_allclose(placed.embedding, expected, atol=1e-4)
    assert placed.embedding.dtype == np.float32
    squared = ((logs @ fitted.basis)[:, None] - fitted.states.centres) ** 2
    squared = np.where(fitted.states.level == LEVEL[:, None], squared.sum(axis=2), np.inf)
    np.testing.assert_array_equal(placed.sample, np.where(np.isin(codes, USED), squared.argmin(axis=1), -1))


def test_overlap_is_counted_by_state(fitted, codes, placed):
    cell, support = np.zeros(N_CELLS), np.zeros((3, 3))
    for j in np.flatnonzero(placed.sample >= 0):
        mine = int(np.searchsorted(USED, codes[j]))
        there = fitted.support[placed.sample[j]] & fitted.support[placed.sample[j], mine]
        there[mine] = False
        cell[j] = there.sum() / 2
        support[mine] += there
    members = np.array([(codes == code).sum() for code in USED])
    np.testing.assert_array_equal(placed.overlap.cell, cell)
    np.testing.assert_allclose(placed.overlap.support, support / members[:, None], rtol=1e-15)


@pytest.mark.parametrize("size", [1, 100, 333])
def test_blocks_and_their_order_and_merging_change_no_bit(adata, placing, placed, size):
    one, other = placing(), placing()
    for place, block in enumerate(reversed(list(open_counts(adata).blocks(size)))):
        (one if place % 3 else other).add(block)
    other.merge(one)
    found = other.finish()
    np.testing.assert_array_equal(found.embedding, placed.embedding)
    np.testing.assert_array_equal(found.sample, placed.sample)
    np.testing.assert_array_equal(found.overlap.cell, placed.overlap.cell)
    np.testing.assert_array_equal(found.overlap.support, placed.overlap.support)


def test_sums_are_over_counted_cells_which_have_a_place_as_others_do(adata, fitted, embedding, codes, placed):
    counted = codes.copy()
    counted[::3] = -1
    sums = ExactCounts(N_GENES, fitted.support.shape)
    genes = np.ones(N_GENES, dtype=bool)
    walk = Placing(fitted, embedding, codes=codes, counted=counted, used=USED, genes=genes, level=LEVEL, sums=sums)
    for block in open_counts(adata).blocks(100):
        walk.add(block)
    found = walk.finish()
    np.testing.assert_array_equal(found.sample, placed.sample)
    np.testing.assert_array_equal(found.embedding, placed.embedding)
    expected = np.zeros((N_GENES, *fitted.support.shape))
    for cell in np.flatnonzero((placed.sample >= 0) & (counted >= 0)):
        where = placed.sample[cell], int(np.searchsorted(USED, codes[cell]))
        if fitted.cells[where] > 0:
            expected[:, *where] += adata.X[[cell]].toarray().ravel()
    assert expected.any()
    np.testing.assert_array_equal(found.table.counts, expected)


def test_a_level_without_states_gives_no_state():
    where, level = np.zeros((2, 1)), np.array([0, 1], dtype=np.int32)
    assert nearest_state(where, level, np.ones((3, 1)), np.zeros(3, dtype=np.int32)).tolist() == [0, -1]


def test_cells_without_a_state_count_as_without_counterparts():
    support = np.array([[True, True], [False, True]])
    members = np.array([[3, 4], [1, 2]])
    np.testing.assert_array_equal(overlap_by_state(support), [[1, 1], [0, 0]])
    np.testing.assert_allclose(overlap_by_batch(members, support), [[0, 3 / 4], [4 / 6, 0]])
    stateless = np.array([4, 2])
    np.testing.assert_allclose(overlap_by_batch(members, support, stateless=stateless), [[0, 3 / 8], [4 / 8, 0]])


def test_batches_that_were_not_fitted_overlap_with_none(placed):
    support = spread_out(placed.overlap, used=USED, n_batches=4).support
    assert (support[1] == 0).all()
    assert (support[:, 1] == 0).all()
    np.testing.assert_array_equal(support[np.ix_(USED, USED)], placed.overlap.support)
