"""Batches whose counts were multiplied are found, and read as what was counted."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from typer.testing import CliRunner

import unbatch as ub
from unbatch import InputWarning
from unbatch._check import InputError
from unbatch._progress import Silent
from unbatch.cli import app
from unbatch.diagnosing.again import diagnose_source
from unbatch.io.batches import read_batches
from unbatch.io.common_factors import CommonFactors, without_common_factors
from unbatch.io.source import Block, open_counts

SAID = r"all counts of batch 'b' are multiples of 6: they were multiplied"


def table(counts, labels):
    obs = pd.DataFrame({"batch": labels}, index=[f"c{cell}" for cell in range(len(labels))])
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs)


def divided(adata):
    source = open_counts(adata)
    return source, without_common_factors(source, read_batches(source, "batch"), progress=Silent())


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.7, (60, 40)).astype(np.float32)


@pytest.fixture
def labels():
    return np.resize(["a", "b", "c"], 60)


def test_factors_of_batches_do_not_depend_on_how_cells_are_shared_out(counts, labels):
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    multiplied = sparse.csr_array(counts * np.array([1, 6, 4], dtype=np.float32)[codes][:, None])
    whole, parts = CommonFactors(codes, 4), [CommonFactors(codes, 4) for _ in range(2)]
    whole.add(Block(0, multiplied))
    for start in (0, 20, 40):
        parts[start // 40].add(Block(start, multiplied[start : start + 20]))
    parts[1].merge(parts[0])
    for found in (whole, parts[1]):
        assert found.values().tolist() == [1, 6, 4, 1]


@pytest.mark.parametrize(("n_counts", "factor"), [(49, 1), (50, 3)])
def test_few_counts_tell_of_no_factor(n_counts, factor):
    found = CommonFactors(np.zeros(1, dtype=np.int32), 1)
    found.add(Block(0, sparse.csr_array(np.full((1, n_counts), 3.0))))
    assert found.values().tolist() == [factor]


def test_other_counts_are_read_as_they_are(counts, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        source, found = divided(table(counts, labels))
    assert found is source


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint16])
def test_a_multiplied_batch_is_divided(counts, labels, dtype):
    multiplied = table((counts * np.where(labels == "b", 6, 1)[:, None]).astype(dtype), labels)
    with pytest.warns(InputWarning, match=SAID):
        source, found = divided(multiplied)
    for name in ("n_cells", "n_genes", "description", "path", "paths", "parts", "trails"):
        assert getattr(found, name) == getattr(source, name)
    assert found.obs is source.obs
    assert found.var is source.var
    assert found.bounds(7) == source.bounds(7)
    np.testing.assert_array_equal(found.part, source.part)
    np.testing.assert_array_equal(found.measured, source.measured)
    assert found.alternatives() == source.alternatives()
    for block in found.blocks(7, cells=(3, 50)):
        np.testing.assert_array_equal(block.counts.toarray(), counts[block.start : block.stop])
    np.testing.assert_array_equal(found.rows([0, 4, 4, 59]).toarray(), counts[[0, 4, 4, 59]])
    np.testing.assert_array_equal(found.rows([0, 3]).toarray(), counts[[0, 3]])  # none of the multiplied ones
    np.testing.assert_array_equal(multiplied.X.toarray(), counts * np.where(labels == "b", 6, 1)[:, None])


def test_other_multiplied_batches_are_counted(counts, labels):
    with pytest.warns(InputWarning, match=r"of batch 'a' are multiples of 2, and those of 1 other batches likewise:"):
        divided(table(counts * np.where(labels == "b", 1, 2)[:, None], labels))


@pytest.mark.parametrize("odd", [3000, 1500, None])
def test_one_count_far_behind_is_enough(odd):
    """A few cells look multiplied; all of them tell."""
    counts = np.full((4000, 3), 6.0)
    if odd is not None:
        counts[odd, 1] = 7
    adata = table(counts, np.repeat(["a", "b"], [1000, 3000]))
    adata.X[0, 0] = 1
    if odd is None:
        with pytest.warns(InputWarning, match=SAID):
            assert (divided(adata)[1].rows([1000, 3999]).toarray() == 1).all()
    else:
        source, found = divided(adata)
        assert found is source


def test_empty_cells_at_the_beginning_tell_nothing_and_are_passed_over():
    counts = np.zeros((4000, 3))
    counts[::2000], counts[3000:] = 1, 6
    counts[3999] = 0
    with pytest.warns(InputWarning, match=SAID):
        _, found = divided(table(counts, np.repeat(["a", "b"], [2001, 1999])))
    np.testing.assert_array_equal(found.rows([2000, 2999, 3000, 3999]).toarray()[:, 0], [1, 0, 1, 0])


@pytest.mark.parametrize("place", [0, 3900])
def test_what_are_no_counts_is_said_as_ever(place):
    counts = np.full((4000, 3), 6.0)
    counts[place, 1] = 1.5
    model = ub.BatchModel()
    source = open_counts(table(counts, np.resize(["a", "b"], 4000)))
    with pytest.raises(InputError, match=r"not counts: 1 fractional .* cell 'c(0|3900)', gene '1'"):
        model.fit_source(source, read_batches(source, "batch"))


@pytest.fixture
def adata():
    return ub.simulate(n_cells=300, n_genes=60, median_depth=250, n_batches=3, seed=1)


@pytest.fixture
def multiplied(adata):
    found = adata.copy()
    found.X = sparse.csr_matrix(adata.X.toarray() * np.where(adata.obs["batch"] == "batch_2", 6, 1)[:, None])
    return found


def named(name):
    return pytest.warns(InputWarning, match=SAID.replace("'b'", f"'{name}'"))


def test_new_cells_of_a_multiplied_batch_are_mapped_as_those_that_were_counted(adata, multiplied):
    others = adata[adata.obs["batch"] != "batch_2"].copy()
    model = ub.BatchModel().fit_source(open_counts(others), read_batches(open_counts(others), "batch"))
    mine = adata.obs["batch"] == "batch_2"
    expected = model.map(adata[mine].copy(), batch_key="batch").result
    with named("batch_2"):
        found = model.map(multiplied[mine].copy(), batch_key="batch").result
    for name in ("log_delta", "se", "embedding", "sample"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_programmes_are_those_of_what_was_counted(adata, multiplied):
    ub.tl.batch_effects(adata, batch_key="batch")
    ub.tl.factors(adata, n_factors=3)
    with named("batch_2"):
        ub.tl.batch_effects(multiplied, batch_key="batch")
    with named("batch_2"):
        ub.tl.factors(multiplied, n_factors=3)
    np.testing.assert_array_equal(multiplied.varm["factors"], adata.varm["factors"])
    np.testing.assert_array_equal(multiplied.obsm["X_factors"], adata.obsm["X_factors"])


def test_a_fit_that_is_judged_again_is_judged_as_it_judged_itself(multiplied):
    source = open_counts(multiplied)
    with named("batch_2"):
        fit = ub.BatchModel().fit_source(source, read_batches(source, "batch")).result
    with named("batch_2"):
        again = diagnose_source(source, fit)
    assert fit.diagnostics.tables.keys() == again.tables.keys()
    for name, expected in fit.diagnostics.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], expected)


def test_inspect_names_it(multiplied, tmp_path):
    multiplied.write_h5ad(tmp_path / "in.h5ad")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "in.h5ad"), "-b", "batch"])
    assert done.exit_code == 0
    assert "all counts that were looked at of batch 'batch_2' are multiples of 6" in done.stdout
    assert "lack most genes" not in done.stdout
