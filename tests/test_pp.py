"""Adjusted counts: counts over effects, as a layer, on the count scale."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub


@pytest.fixture(scope="module")
def fitted():
    adata = ub.simulate(n_cells=200, n_genes=30, n_batches=2, seed=8, n_types=3)
    ub.tl.batch_effects(adata, batch_key="batch")
    return adata


def oracle(adata):
    column = {name: k for k, name in enumerate(adata.uns["unbatch"]["batches"])}
    codes = [column[label] for label in adata.obs["batch"]]
    return adata.X.toarray() / np.exp(adata.varm["batch_effects"][:, codes].T)


def test_the_layer_is_counts_over_effects(fitted):
    adata = fitted.copy()
    assert ub.pp.adjust_counts(adata) is None
    layer = adata.layers["adjusted"]
    assert sparse.issparse(layer)
    assert layer.format == "csr"
    assert layer.dtype == np.float32
    np.testing.assert_allclose(layer.toarray(), oracle(adata), rtol=1e-6)


def test_never_negative_and_zeros_stay(fitted):
    adata = fitted.copy()
    ub.pp.adjust_counts(adata)
    assert adata.layers["adjusted"].min() >= 0
    np.testing.assert_array_equal(adata.layers["adjusted"].toarray() == 0, adata.X.toarray() == 0)


def test_the_record_says_what_the_layer_is_expressed_in(fitted, tmp_path):
    adata = fitted.copy()
    ub.pp.adjust_counts(adata, key_added="mine")
    ub.pp.adjust_counts(adata)
    record = adata.uns["unbatch"]["adjusted"]
    assert {name: said["expressed_in"] for name, said in record.items()} == dict.fromkeys(
        ("mine", "adjusted"), "mean over batches"
    )
    assert "adjusted" not in fitted.uns["unbatch"]
    adata.write_h5ad(tmp_path / "adjusted.h5ad")
    back = ad.read_h5ad(tmp_path / "adjusted.h5ad")
    assert (back.layers["mine"] != adata.layers["adjusted"]).nnz == 0


def test_with_a_reference_its_cells_keep_their_counts(fitted):
    adata = fitted.copy()
    ub.tl.batch_effects(adata, batch_key="batch", reference="batch_2")
    ub.pp.adjust_counts(adata)
    np.testing.assert_allclose(adata.layers["adjusted"].toarray(), oracle(adata), rtol=1e-6)
    its = (adata.obs["batch"] == "batch_2").to_numpy()
    assert (adata.layers["adjusted"][its] != adata.X[its]).nnz == 0
    assert (adata.layers["adjusted"][~its] != adata.X[~its]).nnz > 0
    assert adata.uns["unbatch"]["adjusted"]["adjusted"]["expressed_in"] == "batch 'batch_2'"


def test_a_subset_is_adjusted_as_the_whole(fitted):
    whole, part = fitted.copy(), fitted[50:120, [4, 20, 9]].copy()
    ub.pp.adjust_counts(whole)
    ub.pp.adjust_counts(part)
    np.testing.assert_array_equal(
        part.layers["adjusted"].toarray(), whole.layers["adjusted"][50:120][:, [4, 20, 9]].toarray()
    )


def test_the_counts_of_the_fit_are_used(fitted):
    adata = ub.simulate(n_cells=200, n_genes=30, n_batches=2, seed=8, n_types=3)
    adata.layers["counts"] = adata.X.tocsc()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    ub.tl.batch_effects(adata, batch_key="batch", layer="counts")
    ub.pp.adjust_counts(adata)
    np.testing.assert_allclose(adata.layers["adjusted"].toarray(), oracle(fitted), rtol=1e-6)


def test_before_a_fit_it_says_what_to_run():
    with pytest.raises(ub.InputError, match=r"run unbatch.tl.batch_effects\(adata, batch_key=...\)"):
        ub.pp.adjust_counts(ub.simulate(n_cells=10, n_genes=5))


def test_labels_that_changed_since_are_refused(fitted):
    adata = fitted.copy()
    adata.obs["batch"] = adata.obs["batch"].astype(str).replace("batch_1", "renamed")
    with pytest.raises(ub.InputError, match=r"'renamed' .*was not part of the fit"):
        ub.pp.adjust_counts(adata)


def test_counts_that_were_normalised_since_are_refused(fitted):
    adata = fitted.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()))
    with pytest.raises(ub.InputError, match="not counts"):
        ub.pp.adjust_counts(adata)
