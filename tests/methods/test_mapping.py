"""Placing mapped cells adds up to the same bits for any blocks, in any order, over any tree of merges."""

import numpy as np
import pytest

import unbatch as ub
from unbatch._progress import Silent
from unbatch.core.mapping import MapSettings
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.source import open_counts
from unbatch.methods.map_placing import MapPlacing
from unbatch.methods.map_plan import plan_mapping
from unbatch.methods.mapping import map_cells

pytestmark = pytest.mark.filterwarnings("ignore:.*very counts of a cell of another batch")  # of the short file


@pytest.fixture(scope="module")
def parts():
    adata = ub.simulate(
        n_cells=900, n_genes=200, n_batches=3, n_types=4, composition=3.0, log_delta_sd=0.5, median_depth=900, seed=4
    )
    batch = adata.obs["batch"].to_numpy()
    old = open_counts(adata[batch != "batch_3"].copy())
    model = ub.BatchModel().fit_source(old, read_batches(old, "batch"))
    new = adata[np.isin(batch, ["batch_1", "batch_3"])].copy()
    short = new[:100, 20:].copy()
    short.obs["batch"] = "short"
    new.obs["batch"] = new.obs["batch"].astype(str)
    source = open_counts({"new": new, "short": short})
    batches = label_cells(source, "batch")
    plan = plan_mapping(source, model.result, batches)
    found = map_cells(source, batches, plan, settings=MapSettings(), sketch_size=150, seed=0, progress=Silent()).found
    return source, batches, plan, found


def placed(parts, bounds, *, merged):
    source, batches, plan, found = parts
    large = [b for b, batch in found.items() if batch.identifiable]
    accumulators = []
    for block in bounds(source):
        accumulators.append(MapPlacing(plan, batches.codes, found=found, large=large))
        accumulators[-1].add(block)
    if merged == "backwards":
        accumulators.reverse()
    first, *others = accumulators
    for other in others:
        first.merge(other)
    tables = [sums.finish() for sums in first.sums]
    return first.finish(found), tables


@pytest.mark.parametrize("merged", ["forwards", "backwards"])
@pytest.mark.parametrize("size", [1000, 64, 17])
def test_blocks_and_merges_change_no_bit(parts, size, merged):
    whole, tables = placed(parts, lambda source: source.blocks(), merged="forwards")
    again, others = placed(parts, lambda source: source.blocks(size), merged=merged)
    for slot in ("embedding", "sample", "members", "compared"):
        np.testing.assert_array_equal(getattr(again, slot), getattr(whole, slot))
    assert len(tables) == 2
    for table, other in zip(tables, others, strict=True):
        for name in ("counts", "squares", "exposure", "cells"):
            np.testing.assert_array_equal(getattr(table, name), getattr(other, name))


def test_sums_are_those_of_the_cells_that_count(parts):
    source, batches, plan, found = parts
    cells, tables = placed(parts, lambda source: source.blocks(), merged="forwards")
    counts = source.rows(np.arange(source.n_cells))
    large = [b for b, batch in found.items() if batch.identifiable]
    for b, table in zip(large, tables, strict=True):
        for state in range(plan.landmarks.n_states):
            mine = np.flatnonzero((batches.codes == b) & (cells.sample == state)) if cells.compared[state, b] else []
            np.testing.assert_array_equal(table.counts[:, state, 0], np.asarray(counts[mine].sum(axis=0)).ravel())
            assert table.cells[state, 0] == len(mine)


def test_cells_that_lack_genes_have_a_view_of_their_own(parts):
    _, batches, plan, _ = parts
    assert len(plan.views) == 2
    view = {name: plan.views[plan.view_of[b]] for b, name in enumerate(batches.levels)}
    assert view["batch_1"].states.whole
    assert view["batch_3"] is view["batch_1"]
    assert not view["short"].states.whole
