"""Fits whose cells were drawn together before states were found: what comes later finds cells in the same places."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch._progress import Silent
from unbatch.diagnosing.judged import _placed
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.methods.matched import fit
from unbatch.methods.matched_options import MatchedOptions


@pytest.fixture(scope="module")
def cells():
    """Two batches that change each of five types in their own way, and a third that does not."""
    options = {"n_types": 5, "n_factors": 3, "composition": 2.0, "variation": 0.1, "log_delta_sd": 0.4}
    adata = ub.simulate(
        n_cells=1500, n_genes=300, n_batches=3, median_depth=4000, size_factor_sd=0.3, seed=0, **options
    )
    rng = np.random.default_rng(0)
    own = rng.normal(0, 0.25, size=(3, 5, 300))
    own -= own.mean(axis=1, keepdims=True)
    own[2] = 0
    batch, kind = (np.array(adata.obs[key].cat.codes) for key in ("batch", "cell_type"))
    adata.X = sparse.csr_array(rng.poisson(adata.X.toarray() * np.exp(own[batch, kind] - 1)).astype(np.float32))
    return adata


@pytest.fixture(scope="module")
def stored(cells, tmp_path_factory):
    """A fit that went through a file."""
    fitted, path = cells.copy(), tmp_path_factory.mktemp("drawn") / "fit.h5ad"
    ub.tl.batch_effects(fitted, batch_key="batch")
    fitted.write_h5ad(path)
    return path


def test_a_file_keeps_how_cells_were_drawn(stored):
    shifts = ub.BatchModel.load(stored).result.landmarks.shifts
    assert len(shifts) > 0
    assert all(np.abs(one.shift).max() > 0 for one in shifts)
    record = ad.read_h5ad(stored).uns["unbatch"]["landmarks"]["shifts"]
    for number, one in enumerate(shifts):
        np.testing.assert_array_equal(record[str(number)]["shift"], one.shift)


def test_cells_of_the_fit_are_mapped_to_where_they_were(cells, stored):
    model, there = ub.BatchModel.load(stored), ad.read_h5ad(stored)
    mapped = model.map(cells.copy()).result
    np.testing.assert_array_equal(mapped.sample, there.obs["unbatch_sample"])
    np.testing.assert_array_equal(mapped.embedding, there.obsm["X_unbatch"])


def test_some_of_its_batches_are_mapped_to_where_they_were(cells, stored):
    some = (cells.obs["batch"] != "batch_1").to_numpy()
    model, there = ub.BatchModel.load(stored), ad.read_h5ad(stored)[some]
    mapped = model.map(cells[some].copy()).result
    np.testing.assert_array_equal(mapped.sample, there.obs["unbatch_sample"])


def test_the_judgement_finds_cells_in_their_states(cells, stored):
    result = ub.BatchModel.load(stored).result
    genes = np.ones(cells.n_vars, dtype=bool)
    batch = np.array(cells.obs["batch"].cat.codes, dtype=np.int32)
    state = _placed(result, sparse.csr_array(cells.X), batch, genes=genes, level=None)
    np.testing.assert_array_equal(state, result.sample)


@pytest.mark.parametrize("within", [None, np.tile([0, 1], 750).astype(np.int32)])
def test_of_a_sketch_all_cells_have_counterparts(cells, within):
    source = open_counts(cells)
    batches = read_batches(source, "batch")
    options = MatchedOptions(sketch_size=900)
    found = fit(source, batches, options, seed=0, progress=Silent(), within=within)
    assert found.landmarks.shifts
    support = found.evidence["state_support"][found.sample, batches.codes]
    kind = np.array(cells.obs["cell_type"].cat.codes)
    table = np.zeros((int(found.sample.max()) + 1, 5))
    np.add.at(table, (found.sample, kind), 1)
    assert support.mean() > 0.85
    assert table.max(axis=1).sum() > 0.97 * len(kind)
    assert found.evidence["state_cells"].sum() > 0.9 * len(kind)
