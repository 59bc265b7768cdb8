"""Raw counts may have moved since the fit: they are where the user says, and adjusted ones are not taken for them."""

import anndata
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub


@pytest.fixture
def fitted():
    adata = ub.simulate(n_cells=300, n_genes=40, n_batches=2, n_types=2, median_depth=500, seed=1)
    adata.obs["donor"] = np.where(np.arange(300) % 2, "a", "b")
    ub.tl.batch_effects(adata, batch_key="batch")
    return adata


def moved(adata):
    """As after the usual steps of scanpy."""
    adata.layers["counts"] = adata.X.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()).astype(np.float32))
    return adata


def test_every_later_step_takes_raw_counts_from_the_layer_that_is_named(fitted):
    before = fitted.copy()
    ub.pp.adjust_counts(before)
    ub.tl.factors(before, n_factors=3)
    after = moved(fitted)
    with pytest.raises(ub.InputError, match="layer='counts'"):
        ub.pp.adjust_counts(after)
    ub.pp.adjust_counts(after, layer="counts")
    ub.tl.factors(after, n_factors=3, layer="counts")
    ub.tl.diagnose(after, layer="counts")
    np.testing.assert_array_equal(after.layers["adjusted"].toarray(), before.layers["adjusted"].toarray())
    np.testing.assert_array_equal(after.obsm["X_factors"], before.obsm["X_factors"])
    ours, theirs = (
        ub.get.pseudobulks(adata, groupby="donor", layer=layer) for adata, layer in ((after, "counts"), (before, None))
    )
    np.testing.assert_array_equal(ours.X, theirs.X)
    np.testing.assert_array_equal(ub.get.offsets(after, groupby="donor", layer="counts"), theirs.layers["log_delta"])
    np.testing.assert_array_equal(ub.get.offsets(after), ub.get.offsets(before))
    ub.pp.add_offsets(after)


def test_thinned_counts_in_x_are_not_adjusted_again(fitted):
    fitted.layers["counts"] = fitted.X.copy()
    ub.pp.adjust_counts(fitted, mode="thin")
    fitted.X = fitted.layers["adjusted"].copy()
    for use in (
        lambda adata, **options: ub.pp.adjust_counts(adata, key_added="again", **options),
        lambda adata, **options: ub.get.pseudobulks(adata, groupby="donor", **options),
    ):
        with pytest.raises(ub.InputError, match=r"adjusted counts of layers\['adjusted'\]"):
            use(fitted)
        use(fitted, layer="counts")
    with pytest.raises(ub.InputError, match=r"adjusted counts of layers\['adjusted'\]"):
        ub.pp.adjust_counts(fitted, layer="adjusted")


def test_adjusted_counts_are_known_as_such_after_another_fit(fitted, tmp_path):
    fitted.layers["counts"] = fitted.X.copy()
    ub.pp.adjust_counts(fitted, mode="thin")
    ub.pp.adjust_counts(fitted, key_added="gone")
    del fitted.layers["gone"]
    fitted.X = fitted.layers["adjusted"].copy()
    ub.tl.batch_effects(fitted, batch_key="batch", layer="counts", seed=1)
    assert fitted.uns["unbatch"]["adjusted"]["adjusted"]["by_an_earlier_fit"]
    assert list(fitted.uns["unbatch"]["adjusted"]) == ["adjusted"]
    with pytest.raises(ub.InputError, match=r"adjusted counts of layers\['adjusted'\]"):
        ub.pp.adjust_counts(fitted, layer="adjusted", key_added="again")
    ub.pp.adjust_counts(fitted, key_added="again")  # of the layer that was fitted
    assert "by_an_earlier_fit" not in fitted.uns["unbatch"]["adjusted"]["again"]
    ub.tl.batch_effects(fitted, batch_key="batch")  # X is taken for raw
    with pytest.raises(ub.InputError, match=r"X of .* holds the adjusted counts of layers\['adjusted'\]"):
        ub.pp.adjust_counts(fitted)
    fitted.write_h5ad(tmp_path / "fitted.h5ad")
    with pytest.raises(ub.InputError, match=r"X of .* holds the adjusted counts of layers\['adjusted'\]"):
        ub.pp.adjust_counts(anndata.read_h5ad(tmp_path / "fitted.h5ad"))
    assert ub.get.offsets(fitted).shape == fitted.shape


def test_raw_keeps_genes_that_were_taken_away():
    adata = ub.simulate(n_cells=300, n_genes=40, n_batches=2, n_types=2, median_depth=500, seed=1)
    adata.raw = adata.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()).astype(np.float32))
    ub.tl.batch_effects(adata, batch_key="batch", layer="raw")
    whole = adata.copy()
    ub.pp.adjust_counts(whole)
    part = adata[:, 5:25].copy()
    ub.pp.adjust_counts(part)
    np.testing.assert_array_equal(part.layers["adjusted"].toarray(), whole.layers["adjusted"].toarray()[:, 5:25])
    assert ub.get.offsets(part).shape == (300, 20)


def test_raw_keeps_the_order_that_genes_had():
    adata = ub.simulate(n_cells=300, n_genes=40, n_batches=2, n_types=2, median_depth=500, seed=1)
    adata.raw = adata.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray()).astype(np.float32))
    ub.tl.batch_effects(adata, batch_key="batch", layer="raw")
    turned = adata[:, ::-1].copy()
    for one in (adata, turned):
        ub.pp.adjust_counts(one)
        ub.tl.factors(one, n_factors=3)
    np.testing.assert_array_equal(turned.layers["adjusted"].toarray(), adata.layers["adjusted"].toarray()[:, ::-1])
    np.testing.assert_allclose(turned.varm["factors"], adata.varm["factors"][::-1], rtol=1e-6)
    sums = [ub.get.pseudobulks(one, groupby="cell_type") for one in (adata, turned)]
    np.testing.assert_array_equal(sums[1].X, sums[0].X[:, ::-1])


def test_counts_of_a_backed_file_with_its_genes_in_another_order_are_refused(tmp_path):
    adata = ub.simulate(n_cells=300, n_genes=40, n_batches=2, n_types=2, median_depth=500, seed=1)
    adata.raw = adata.copy()
    ub.tl.batch_effects(adata, batch_key="batch", layer="raw")
    adata[:, ::-1].copy().write_h5ad(tmp_path / "turned.h5ad")
    backed = anndata.read_h5ad(tmp_path / "turned.h5ad", backed="r")
    with pytest.raises(ub.InputError, match=r"in another order.*to_memory"):
        ub.get.pseudobulks(backed, groupby="cell_type")
    assert ub.get.pseudobulks(backed.to_memory(), groupby="cell_type").n_vars == 40


@pytest.mark.parametrize("mode", ["scale", "thin"])
def test_counts_that_adjusting_does_not_change_are_not_taken_for_adjusted(fitted, mode):
    ub.tl.batch_effects(fitted, batch_key="batch", reference="batch_1")
    if mode == "thin":  # to the least of the batches, which for these genes is the first
        fitted = fitted[:, fitted.varm["batch_effects"][:, 1] >= 0].copy()
    ub.pp.adjust_counts(fitted, mode=mode)
    first = fitted[fitted.obs["batch"] == "batch_1"].copy()
    np.testing.assert_array_equal(first.layers["adjusted"].toarray(), first.X.toarray())
    ub.pp.adjust_counts(first, mode=mode, key_added="again")
    np.testing.assert_array_equal(first.layers["again"].toarray(), first.X.toarray())
    fitted.X = fitted.layers["adjusted"].copy()
    with pytest.raises(ub.InputError, match=r"adjusted counts of layers\['adjusted'\]"):
        ub.get.pseudobulks(fitted, groupby="donor")


def test_a_layer_called_raw_is_taken_as_the_fit_took_it_whatever_is_in_raw(fitted):
    adata = fitted[:, :30].copy()
    adata.layers["raw"] = adata.X.copy()
    ub.tl.batch_effects(adata, batch_key="batch", layer="raw")
    ub.pp.adjust_counts(adata)
    before = adata.layers["adjusted"].copy()
    other = fitted.copy()
    other.X = other.X * 2
    adata.raw = other
    ub.pp.adjust_counts(adata, key_added="again")
    np.testing.assert_array_equal(adata.layers["again"].toarray(), before.toarray())


def test_a_fit_of_a_layer_called_x_is_refused(fitted):
    fitted.layers["X"] = fitted.X * 2
    with pytest.raises(ub.InputError, match="also a layer called 'X': rename the layer"):
        ub.tl.batch_effects(fitted, batch_key="batch", layer="X")
