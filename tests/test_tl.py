"""Estimating on an AnnData: the slots are those of the model, wherever the counts are."""

import dataclasses

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import unbatch as ub
from unbatch import methods
from unbatch.methods import Method, concept


@pytest.fixture(scope="module")
def toy():
    return ub.simulate(n_cells=150, n_genes=25, n_batches=2, seed=6)


@pytest.fixture(scope="module")
def expected(toy):
    return ub.BatchModel().fit(toy.X, toy.obs["batch"]).result


def check(adata, expected):
    np.testing.assert_array_equal(adata.varm["batch_effects"], expected.log_delta)
    np.testing.assert_array_equal(adata.varm["batch_effects_se"], expected.se)
    np.testing.assert_array_equal(adata.obsm["X_unbatch"], expected.embedding)
    np.testing.assert_array_equal(adata.obs["unbatch_sample"], expected.sample)
    np.testing.assert_array_equal(adata.obs["unbatch_overlap"], expected.overlap)
    assert list(adata.uns["unbatch"]["batches"]) == list(expected.batches)


def test_slots_are_set_in_place(toy, expected):
    adata = toy.copy()
    assert ub.tl.batch_effects(adata, batch_key="batch") is None
    check(adata, expected)
    assert list(adata.uns["unbatch"]["batch_key"]) == ["batch"]


def test_a_copy_leaves_the_original_alone(toy, expected):
    changed = ub.tl.batch_effects(toy, batch_key="batch", copy=True)
    check(changed, expected)
    assert "unbatch" not in toy.uns
    assert "X_unbatch" not in toy.obsm


def test_counts_in_a_layer(toy, expected):
    adata = toy.copy()
    adata.layers["counts"] = adata.X
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    with pytest.raises(ub.InputError, match="layer='counts'"):
        ub.tl.batch_effects(adata, batch_key="batch")
    ub.tl.batch_effects(adata, batch_key="batch", layer="counts")
    check(adata, expected)
    assert adata.uns["unbatch"]["layer"] == "counts"


def test_counts_in_raw(toy, expected):
    adata = toy.copy()
    adata.raw = adata
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    ub.tl.batch_effects(adata, batch_key="batch", layer="raw")
    check(adata, expected)


def test_raw_with_other_genes_has_no_place_for_its_effects(toy):
    adata = toy.copy()
    adata.raw = adata
    with pytest.raises(ub.InputError, match=r"layer 'raw' has 25 genes, adata 10.*raw.to_adata"):
        ub.tl.batch_effects(adata[:, :10].copy(), batch_key="batch", layer="raw")


def test_raw_that_lacks_genes_is_told_by_their_names(toy):
    adata = toy.copy()
    adata.raw = adata[:, ::-1].copy()
    adata.var_names = ["new", *adata.var_names[1:]]
    with pytest.raises(ub.InputError, match=r"layer 'raw' lacks 1 of the 25 genes of adata \(first: 'new'\)"):
        ub.tl.batch_effects(adata, batch_key="batch", layer="raw")


@pytest.mark.parametrize("layer", ["raw", "raw.X"])
def test_raw_with_the_same_genes_in_another_order(toy, expected, layer):
    adata = toy.copy()
    adata.raw = adata[:, ::-1].copy()
    adata.X = None
    ub.tl.batch_effects(adata, batch_key="batch", layer=layer)
    check(adata, expected)
    ub.pp.adjust_counts(adata)
    whole = toy.copy()
    ub.tl.batch_effects(whole, batch_key="batch")
    ub.pp.adjust_counts(whole)
    np.testing.assert_array_equal(adata.layers["adjusted"].toarray(), whole.layers["adjusted"].toarray())


def test_raw_of_a_backed_file_in_another_order_is_refused_with_the_cure(toy, tmp_path):
    adata = toy.copy()
    adata.raw = adata[:, ::-1].copy()
    adata.write_h5ad(tmp_path / "toy.h5ad")
    backed = ad.read_h5ad(tmp_path / "toy.h5ad", backed="r")
    with pytest.raises(ub.InputError, match=r"layer 'raw' has the genes of adata in another order.*to_memory"):
        ub.tl.batch_effects(backed, batch_key="batch", layer="raw")


def test_backed_counts(toy, expected, tmp_path):
    toy.write_h5ad(tmp_path / "toy.h5ad")
    adata = ad.read_h5ad(tmp_path / "toy.h5ad", backed="r")
    ub.tl.batch_effects(adata, batch_key="batch")
    check(adata, expected)


def test_what_cannot_be_copied_is_to_be_read_first(toy, tmp_path):
    done = ub.tl.batch_effects(toy, batch_key="batch", copy=True)
    done.write_h5ad(tmp_path / "done.h5ad")
    adata = ad.read_h5ad(tmp_path / "done.h5ad", backed="r")
    uses = (
        lambda adata, **options: ub.tl.batch_effects(adata, batch_key="batch", **options),
        ub.tl.diagnose,
        lambda adata, **options: ub.tl.map_cells(adata, model=tmp_path / "done.h5ad", **options),
    )
    for use in uses:
        with pytest.raises(ub.InputError, match=r"copy=True was given for a backed AnnData.*adata.to_memory\(\)"):
            use(adata, copy=True)
    for use in (*uses, ub.tl.factors):
        with pytest.raises(ub.InputError, match=r"a view of a backed one.*adata.to_memory\(\)"):
            use(adata[:])
    adata.file.close()


def test_the_result_can_be_written_and_is_the_model(toy, expected, tmp_path):
    adata = toy.copy()
    ub.tl.batch_effects(adata, batch_key="batch")
    adata.write_h5ad(tmp_path / "done.h5ad")
    np.testing.assert_array_equal(ub.BatchModel.load(tmp_path / "done.h5ad").result.log_delta, expected.log_delta)


def test_several_columns_make_a_batch(toy):
    adata = toy.copy()
    adata.obs["lane"] = ["a/b", "c"] * 75
    ub.tl.batch_effects(adata, batch_key=["batch", "lane"])
    assert adata.varm["batch_effects"].shape == (25, 4)
    assert list(adata.uns["unbatch"]["batch_key"]) == ["batch", "lane"]


def test_options_reach_the_fit(toy):
    adata = toy.copy()
    ub.tl.batch_effects(adata, batch_key="batch", method=ub.ConceptOptions(n_dims=2), min_cells=5, seed=3)
    assert adata.obsm["X_unbatch"].shape == (150, 2)
    assert adata.uns["unbatch"]["parameters"]["min_cells"] == 5
    assert adata.uns["unbatch"]["parameters"]["seed"] == 3


def test_a_reference_is_recorded(toy):
    adata = toy.copy()
    ub.tl.batch_effects(adata, batch_key="batch", reference="batch_2")
    assert (adata.varm["batch_effects"][:, 1] == 0).all()
    assert adata.uns["unbatch"]["reference"] == "batch_2"
    assert adata.uns["unbatch"]["convention"].startswith("natural log, relative to batch 'batch_2'")


@dataclasses.dataclass(frozen=True)
class OtherOptions(ub.ConceptOptions):
    """Options of a method that is the published one but takes a design."""


@pytest.fixture
def other(monkeypatch):
    """A method that takes a design and keeps it."""
    given = {}

    def fit(source, batches, options, *, seed, progress, within=None, control_genes=None, driver=None):
        given.update(within=within, control_genes=control_genes)
        return concept.fit(source, batches, options, seed=seed, progress=progress, driver=driver)

    monkeypatch.setattr(methods, "METHODS", (Method("other", OtherOptions, fit), *methods.METHODS))
    return given


def test_conditions_and_control_genes_reach_the_method_and_are_recorded(toy, other):
    adata = toy.copy()
    adata.obs["stim"] = pd.Categorical(["yes", "no", "no"] * 50, categories=["yes", "no"])
    genes = adata.var_names[[8, 3]].tolist()
    ub.tl.batch_effects(adata, batch_key="batch", method="other", match_within="stim", control_genes=genes)
    assert other["within"].tolist() == [0, 1, 1] * 50
    assert np.flatnonzero(other["control_genes"]).tolist() == [3, 8]
    assert list(adata.uns["unbatch"]["match_within"]) == ["stim"]
    assert list(adata.uns["unbatch"]["control_genes"]) == genes[::-1]


def test_faults_of_the_condition_are_those_of_any_label(toy, other):
    adata = toy.copy()
    adata.obs["stim"] = [None, "no", "yes"] * 50
    with pytest.raises(ub.InputError, match=r"obs\['stim'\] .* no label for 50 of 150 cells"):
        ub.tl.batch_effects(adata, batch_key="batch", method="other", match_within="stim")
    with pytest.raises(ub.InputError, match=r"no obs column 'stmi': likely columns are 'stim'"):
        ub.tl.batch_effects(adata, batch_key="batch", method="other", match_within="stmi")
    assert other == {}


def test_a_misspelt_column_lists_the_likely_ones(toy):
    with pytest.raises(ub.InputError, match=r"no obs column 'btach'.*'batch'"):
        ub.tl.batch_effects(toy.copy(), batch_key="btach")


def test_nothing_is_printed(toy, capsys):
    ub.tl.batch_effects(toy.copy(), batch_key="batch", progress=True)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
