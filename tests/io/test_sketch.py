"""A sketch holds small batches whole, shares most rows evenly and gives some to novel cells, however blocks come."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from unbatch.io.sketch import KeptRows, SketchPlan, choose_rows, least_novelty, pilot_rows, plan_sketch
from unbatch.io.source import Block


def codes(sizes, excluded=0, seed=0):
    values = np.repeat(np.arange(-1, len(sizes)), [excluded, *sizes])
    return np.random.default_rng(seed).permutation(values).astype(np.int32)


def kept(batch, n_rows, seed=0):
    chosen = choose_rows(batch, n_rows, seed=seed)
    return np.bincount(batch[chosen], minlength=batch.max() + 1).tolist()


@pytest.mark.parametrize(
    ("sizes", "n_rows", "expected"),
    [
        ((1000, 1000), 100, [50, 50]),
        ((10, 1000, 1000), 100, [10, 45, 45]),
        ((1000, 10, 30, 1000), 100, [30, 10, 30, 30]),
        ((5, 6, 500), 100, [5, 6, 89]),
        ((0, 500, 500), 100, [0, 50, 50]),
        ((20, 30), 50, [20, 30]),
    ],
)
def test_small_batches_are_whole_and_the_rest_is_even(sizes, n_rows, expected):
    assert kept(codes(sizes), n_rows) == expected


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any),
    excluded=st.integers(0, 20),
    n_rows=st.integers(1, 200),
)
def test_quotas_of_any_batches(sizes, excluded, n_rows):
    batch = codes(sizes, excluded)
    chosen = choose_rows(batch, n_rows, seed=1)
    assert not chosen[batch < 0].any()
    counts = np.bincount(batch[chosen], minlength=len(sizes))[: len(sizes)]
    assert chosen.sum() == min(n_rows, sum(sizes))
    cut = counts < sizes
    if cut.any():
        assert np.ptp(counts[cut]) <= 1
        assert counts.max() <= counts[cut].min() + 1


def test_all_cells_are_taken_if_they_fit():
    batch = codes((20, 30), excluded=7)
    np.testing.assert_array_equal(choose_rows(batch, 50, seed=0), batch >= 0)


def test_the_seed_decides_which():
    batch = codes((300, 300))
    np.testing.assert_array_equal(choose_rows(batch, 100, seed=0), choose_rows(batch, 100, seed=0))
    assert not np.array_equal(choose_rows(batch, 100, seed=0), choose_rows(batch, 100, seed=1))


def test_the_choice_is_even_within_a_batch():
    batch = codes((1000, 1000))
    times = sum(choose_rows(batch, 400, seed=seed).astype(int) for seed in range(200))
    assert times.mean() == pytest.approx(40)
    assert times.std() == pytest.approx(np.sqrt(200 * 0.2 * 0.8), rel=0.1)


def test_cells_of_one_batch_do_not_depend_on_the_order_of_the_others():
    batch = np.repeat(np.arange(3), 100).astype(np.int32)
    swapped = np.concatenate([batch[:100], np.where(batch[100:] == 1, 2, 1)]).astype(np.int32)
    np.testing.assert_array_equal(choose_rows(batch, 90, seed=0)[:100], choose_rows(swapped, 90, seed=0)[:100])


def test_the_plan_of_a_sketch_is_even_but_for_some_rows():
    batch = codes((1000, 4000, 20), excluded=50)
    plan = plan_sketch(batch, 500, seed=0)
    assert np.bincount(batch[plan.even], minlength=3).tolist() == [190, 190, 20]
    assert plan.novel.tolist() == [50, 50, 0]


def test_the_plan_keeps_all_cells_if_they_fit():
    batch = codes((20, 30), excluded=7)
    plan = plan_sketch(batch, 50, seed=0)
    np.testing.assert_array_equal(plan.even, batch >= 0)
    assert not plan.novel.any()


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any),
    excluded=st.integers(0, 20),
    n_rows=st.integers(1, 200),
)
def test_plans_of_any_batches(sizes, excluded, n_rows):
    batch = codes(sizes, excluded)
    plan = plan_sketch(batch, n_rows, seed=1)
    even = np.bincount(batch[plan.even], minlength=len(sizes))[: len(sizes)]
    novel = np.pad(plan.novel, (0, len(sizes) - len(plan.novel)))
    assert (even + novel <= sizes).all()
    assert (even + novel).sum() == min(n_rows, sum(sizes))


@pytest.mark.parametrize("sizes", [(9000, 9000, 40), (30,) * 300, (50_000,), (0, 3, 0, 7)])
def test_the_pilot_is_some_stretches_of_every_batch(sizes):
    mixed, in_order = codes(sizes, excluded=10), np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    for batch in (mixed, in_order):
        rows = pilot_rows(batch, seed=3)
        assert (np.diff(rows) > 0).all()
        assert len(rows) <= 4096
        assert len(rows) > 0.5 * min(4096, sum(sizes))
        assert set(batch[rows]) == {code for code, size in enumerate(sizes) if size}
        assert (np.diff(rows) > 1).sum() < max(64, len(sizes)) + 10 * 64
        np.testing.assert_array_equal(rows, pilot_rows(batch, seed=3))


N_CELLS, N_GENES = 500, 9
RNG = np.random.default_rng(0)
COUNTS = sparse.csr_array(RNG.poisson(0.5, (N_CELLS, N_GENES)).astype(np.float32))
BATCH = RNG.integers(-1, 3, N_CELLS).astype(np.int32)


def novelty(counts, batch):
    """Half whole numbers, so that many cells are equally novel."""
    return np.asarray(counts.sum(axis=1)) / 2 + batch


def expected_cells(plan):
    score = novelty(COUNTS, BATCH)
    kept = plan.even.copy()
    for code, most in enumerate(plan.novel):
        rest = np.flatnonzero((code == BATCH) & ~plan.even)
        kept[rest[np.argsort(-score[rest], kind="stable")[:most]]] = True
    return np.flatnonzero(kept)


@pytest.mark.parametrize("size", [1, 7, 60, 500])
@pytest.mark.parametrize("order", ["forward", "backward", "tree"])
def test_the_most_novel_are_kept_whatever_the_blocks_and_their_order(size, order):
    plan = plan_sketch(BATCH, 150, seed=0)
    blocks = [Block(start, COUNTS[start : start + size]) for start in range(0, N_CELLS, size)]
    rows = [KeptRows(plan, BATCH, novelty=novelty) for _ in range(4 if order == "tree" else 1)]
    for place, block in enumerate(reversed(blocks) if order == "backward" else blocks):
        rows[place % len(rows)].add(block)
    if order == "tree":
        rows[3].merge(rows[1])
        rows[0].merge(rows[2])
        rows[3].merge(rows[0])
    cells, found = rows[-1].finish()
    np.testing.assert_array_equal(cells, expected_cells(plan))
    assert len(cells) == 150
    np.testing.assert_array_equal(found.toarray(), COUNTS.toarray()[cells])
    assert found.has_canonical_format
    assert found.indices.dtype == found.indptr.dtype == np.int32


@pytest.mark.parametrize("size", [1, 7, 13, 60])
def test_each_batch_keeps_its_share_whatever_others_lack(size):
    """Of batch 1 a few cells only can be novel: its places stay free, for any blocks."""
    rng = np.random.default_rng(3)
    batch, score = (rng.random(60) < 0.3).astype(np.int32), rng.random(60)
    score[(batch == 1) & (np.arange(60) % 3 != 0)] = -np.inf
    counts = sparse.csr_array(np.arange(1, 61, dtype=np.float32)[:, None])
    plan = SketchPlan(np.zeros(60, dtype=bool), np.array([10, 10]))
    rows = KeptRows(plan, batch, novelty=lambda some, _: score[some.data.astype(int) - 1])
    for start in range(0, 60, size):
        rows.add(Block(start, counts[start : start + size]))
    found = rows.finish()[0]
    best = np.flatnonzero(batch == 0)[np.argsort(-score[batch == 0])[:10]]
    np.testing.assert_array_equal(found, np.sort(np.r_[best, np.flatnonzero((batch == 1) & np.isfinite(score))]))


def test_kept_counts_of_different_types_stay_what_they_are():
    rows = KeptRows(SketchPlan(np.ones(2, dtype=bool), np.zeros(1, dtype=int)), np.zeros(2, dtype=np.int32))
    for start, kind in enumerate((np.float32, np.float64)):
        rows.add(Block(start, sparse.csr_array(np.array([[2.0**24 + start]], dtype=kind))))
    assert rows.finish()[1].data.tolist() == [2.0**24, 2.0**24 + 1]


def test_meanwhile_no_more_than_a_few_cells_too_many_are_held():
    plan = plan_sketch(BATCH, 150, seed=0)
    rows = KeptRows(plan, BATCH, novelty=novelty)
    for start in range(N_CELLS):
        rows.add(Block(start, COUNTS[start : start + 1]))
        assert sum(len(part.cells) for part in rows.parts.values()) <= 1.3 * 150


def test_without_novelty_the_even_ones_are_kept():
    plan = plan_sketch(BATCH, 150, seed=0)
    rows = KeptRows(plan, BATCH)
    rows.add(Block(0, COUNTS))
    np.testing.assert_array_equal(rows.finish()[0], np.flatnonzero(plan.even))


def test_cells_that_cannot_be_novel_are_not_kept_for_it():
    plan = plan_sketch(BATCH, 150, seed=0)
    rows = KeptRows(plan, BATCH, novelty=lambda counts, _: np.full(counts.shape[0], -np.inf))
    rows.add(Block(0, COUNTS))
    np.testing.assert_array_equal(rows.finish()[0], np.flatnonzero(plan.even))


def test_a_floor_from_a_few_cells_changes_nothing_but_what_is_held_meanwhile():
    rng = np.random.default_rng(1)
    batch, score = rng.integers(0, 2, 60_000).astype(np.int32), rng.standard_normal(60_000)
    counts = sparse.csr_array(score.astype(np.float32)[:, None] + 10)
    plan, pilot = plan_sketch(batch, 3000, seed=0), pilot_rows(batch, seed=0)

    def novelty(some, _):
        return some.toarray()[:, 0].astype(np.float64)

    floor = least_novelty(novelty(counts[pilot], None), batch[pilot], plan, batches=batch)
    held, chosen = [], []
    for least in (None, floor):
        pieces = [KeptRows(plan, batch, novelty=novelty, floor=least) for _ in range(20)]
        for piece, start in zip(pieces, range(0, 60_000, 3000), strict=True):
            piece.add(Block(start, counts[start : start + 3000]))
        held.append(sum(len(part.cells) for piece in pieces for part in piece.parts.values()))
        for piece in pieces[1:]:
            pieces[0].merge(piece)
        chosen.append(pieces[0].finish()[0])
    np.testing.assert_array_equal(*chosen)
    assert len(chosen[0]) == 3000
    assert held[1] < 2 * 3000 < held[0] / 2


def test_a_few_cells_that_tell_nothing_give_no_floor():
    plan = plan_sketch(BATCH, 150, seed=0)
    few = np.flatnonzero(BATCH >= 0)[:12]
    assert np.isneginf(least_novelty(np.arange(12.0), BATCH[few], plan, batches=BATCH)).all()
    assert np.isneginf(least_novelty(np.zeros(0), BATCH[few[:0]], plan, batches=BATCH)).all()
