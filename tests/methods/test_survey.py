"""The first pass: who takes part, on which genes, and what the counts look like along some directions."""

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import unbatch as ub
from unbatch import InputError
from unbatch._progress import Silent
from unbatch.io.batches import Batches, measured_by_batch, read_batches
from unbatch.io.source import open_counts
from unbatch.methods import METHODS
from unbatch.methods.survey import MeasuredOnly, _Projection, active_codes, survey


def test_cells_of_small_batches_have_no_code():
    batches = Batches(np.array([0, 1, 0, 2, 2], dtype=np.int32), ("a", "b", "c"), min_cells=2)
    assert active_codes(batches).tolist() == [0, -1, 0, 2, 2]
    assert active_codes(batches).dtype == np.int32


def test_cells_whose_projection_is_nothing_have_no_code():
    batches = Batches(np.array([0, 1, 0, 1, 2], dtype=np.int32), ("a", "b", "c"), min_cells=2)
    projected = np.array([[0.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    codes = active_codes(batches, projected)
    assert codes.tolist() == [-1, 1, 0, 1, -1]
    assert codes.dtype == np.int32


def test_survey_projects_every_cell():
    rng = np.random.default_rng(1)
    counts = rng.poisson(1.0, (50, 8)).astype(np.float32)
    basis = rng.standard_normal((8, 3))
    values = survey(open_counts(ad.AnnData(sparse.csr_matrix(counts))), basis, progress=Silent()).projected
    np.testing.assert_allclose(values, counts.astype(float) @ basis, rtol=1e-12)


def test_projections_merge_in_any_order():
    rng = np.random.default_rng(1)
    counts = rng.poisson(1.0, (50, 8)).astype(np.float32)
    source, basis = open_counts(ad.AnnData(counts)), rng.standard_normal((8, 3))
    pieces = []
    for cells in ((40, 50), (0, 17), (17, 40)):
        pieces.append(_Projection(basis))
        for block in source.blocks(5, cells=cells):
            pieces[-1].add(block)
    pieces[1].merge(pieces[0])
    pieces[1].merge(pieces[2])
    np.testing.assert_array_equal(pieces[1].values(), survey(source, basis, progress=Silent()).projected)


def test_survey_checks_at_the_door():
    counts = np.ones((4, 3), dtype=np.float32)
    counts[2, 1] = -1
    with pytest.raises(InputError, match="1 negative"):
        survey(open_counts(ad.AnnData(counts)), np.ones((3, 1)), progress=Silent())


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_counts_of_a_gene_that_a_batch_measured_in_one_file_of_two_are_left_out(method):
    toy = ub.simulate(n_cells=300, n_genes=80, n_batches=3, n_types=3, median_depth=800, seed=5)
    first = toy.obs["batch"] == "batch_1"
    whole, less = toy[first | (np.arange(300) % 2 == 0)].copy(), toy[~first & (np.arange(300) % 2 == 1), :60].copy()
    silent = whole.copy()
    counts = whole.X.toarray()
    counts[(whole.obs["batch"] != "batch_1").to_numpy(), 60:] = 0
    silent.X = sparse.csr_matrix(counts)

    def fitted(one):
        source = open_counts({"one": one, "two": less})
        batches = read_batches(source, "batch")
        assert measured_by_batch(source, batches).sum(axis=0).tolist() == [80, 60, 60]
        return ub.BatchModel(method=method).fit_source(source, batches).result

    assert whole.X[:, 60:].nnz > silent.X[:, 60:].nnz
    found, expected = fitted(whole), fitted(silent)
    np.testing.assert_array_equal(found.log_delta, expected.log_delta)
    np.testing.assert_array_equal(found.se, expected.se)
    np.testing.assert_array_equal(found.mu, expected.mu)
    assert np.isinf(found.se[60:]).all()
    assert np.isfinite(found.se[:60]).all()


def test_only_counts_of_unmeasured_genes_are_left_out():
    def one(genes, batch):
        cells = pd.DataFrame({"batch": list(batch)}, index=[f"{genes}{cell}" for cell in range(len(batch))])
        counts = np.ones((len(batch), len(genes)), dtype=np.float32)
        return ad.AnnData(counts, obs=cells, var=pd.DataFrame(index=list(genes)))

    source = open_counts([one("xyz", "ab"), one("xy", "bc")])
    batches = read_batches(source, "batch", min_cells=1)
    kept = []
    for block in source.blocks():
        MeasuredOnly(SimpleNamespace(add=kept.append), source, batches).add(block)
    assert [block.start for block in kept] == [0, 2]
    assert kept[0].counts.toarray().tolist() == [[1, 1, 1], [1, 1, 0]]
    assert kept[1].counts.toarray().tolist() == [[1, 1, 0], [1, 1, 0]]
    assert kept[0].counts.nnz == 5


@pytest.mark.filterwarnings("ignore::unbatch.InputWarning")
def test_cells_with_counts_of_unmeasured_genes_alone_are_as_empty_as_others():
    adata = ub.simulate(n_cells=600, n_genes=100, n_batches=3, n_types=3, median_depth=400, seed=3)
    adata.obs["batch"] = adata.obs["batch"].astype(str)

    def fitted(stray):
        counts = adata.X.toarray()
        here = np.flatnonzero((adata.obs["batch"] == "batch_1").to_numpy() & (np.arange(600) < 300))[:40]
        counts[here] = 0
        counts[here, 95] = stray
        parts = (
            ad.AnnData(counts[:300], obs=adata.obs[["batch"]][:300], var=adata.var[[]]),
            ad.AnnData(counts[300:, :90], obs=adata.obs[["batch"]][300:], var=adata.var[[]][:90]),
        )
        source = open_counts(list(parts))
        return ub.BatchModel().fit_source(source, read_batches(source, "batch")).result

    empty, ghosts = fitted(0), fitted(5)
    assert (ghosts.sample[ghosts.sample < 0]).size >= 40
    np.testing.assert_array_equal(ghosts.sample, empty.sample)
    np.testing.assert_array_equal(ghosts.log_delta, empty.log_delta)
