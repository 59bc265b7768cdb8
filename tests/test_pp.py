"""Adjusted counts: counts over effects, as a layer, on the count scale."""

import anndata as ad
import numpy as np
import pytest
import zarr
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


def test_raw_counts_are_not_written_over():
    adata = ub.simulate(n_cells=200, n_genes=30, n_batches=2, seed=8, n_types=3)
    for name in ("counts", "moved"):
        adata.layers[name] = adata.X.copy()
    ub.tl.batch_effects(adata, batch_key="batch", layer="counts")
    for use in (
        lambda: ub.pp.adjust_counts(adata, key_added="counts"),
        lambda: ub.pp.adjust_counts(adata, layer="moved", key_added="counts"),
        lambda: ub.pp.adjust_counts(adata, layer="moved", key_added="moved"),
        lambda: ub.pp.add_offsets(adata, key_added="counts"),
    ):
        with pytest.raises(ub.InputError, match=r"key_added is '(counts|moved)', where the raw counts are"):
            use()
    for name in ("counts", "moved"):
        assert (adata.layers[name] != adata.X).nnz == 0
    assert "adjusted" not in adata.uns["unbatch"]


def test_the_record_is_not_put_into_other_data_with_the_same_uns(fitted):
    one, other = fitted.copy(), fitted.copy()
    other.uns["unbatch"] = one.uns["unbatch"]
    ub.pp.adjust_counts(one)
    ub.pp.adjust_counts(one, key_added="again")
    assert set(one.uns["unbatch"]["adjusted"]) == {"adjusted", "again"}
    assert "adjusted" not in other.uns["unbatch"]


def test_a_view_of_a_backed_file_is_to_be_read_first(fitted, tmp_path):
    fitted.write_h5ad(tmp_path / "fit.h5ad")
    backed = ad.read_h5ad(tmp_path / "fit.h5ad", backed="r")
    for use in (ub.pp.adjust_counts, ub.pp.add_offsets):
        with pytest.raises(ub.InputError, match=r"is a view of a backed one.*adata.to_memory\(\)"):
            use(backed[:100])
        use(backed[:100].to_memory())
        use(backed)
    backed.file.close()


def test_the_largest_seed_survives_every_file(fitted, tmp_path):
    adata = fitted.copy()
    ub.pp.adjust_counts(adata, mode="thin", seed=2**63 - 1)
    group = zarr.open_group(tmp_path / "fit.zarr", mode="w")
    with ad.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        ad.io.write_elem(group, "uns", adata.uns["unbatch"]["adjusted"])
    assert ad.io.read_elem(group["uns"])["adjusted"]["seed"] == 2**63 - 1
    with pytest.raises(ub.InputError, match="seed is 9223372036854775808"):
        ub.pp.adjust_counts(adata, mode="thin", seed=2**63)


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


def small(**options):
    return ub.simulate(n_cells=300, n_genes=40, n_batches=3, n_types=3, seed=8, **options)


@pytest.fixture(scope="module")
def by_state():
    """A fit that was asked for effects of states, and some planted in its slot."""
    adata = small(size_factor_sd=0.4)
    ub.tl.batch_effects(adata, batch_key="batch", state_specific=True)
    states = adata.uns["unbatch"]["state_effects"]
    states["steps"] = np.random.default_rng(0).integers(-100, 101, states["steps"].shape).astype(np.int8)
    states["unit"] = 0.005
    return adata


def test_thinned_counts_are_whole_and_at_the_level_of_the_least_affected_batch(fitted):
    adata = fitted.copy()
    ub.pp.adjust_counts(adata, mode="thin", seed=4)
    layer, effects = adata.layers["adjusted"], np.exp(adata.varm["batch_effects"])
    assert layer.dtype == np.int32
    assert layer.format == "csr"
    assert layer.data.min() > 0
    column = {name: k for k, name in enumerate(adata.uns["unbatch"]["batches"])}
    codes = [column[label] for label in adata.obs["batch"]]
    expected = adata.X.toarray() * np.maximum(effects.min(axis=1, keepdims=True) / effects, 1 / 20).T[codes]
    assert layer.sum() == pytest.approx(expected.sum(), rel=0.05)
    least = np.argmin(effects, axis=1)
    for gene in range(adata.n_vars):
        its = np.array(codes) == least[gene]
        np.testing.assert_array_equal(layer[its][:, [gene]].toarray(), adata.X[its][:, [gene]].toarray())
    record = adata.uns["unbatch"]["adjusted"]["adjusted"]
    assert record["expressed_in"] == "batch that detects each gene least"
    assert (record["mode"], record["seed"]) == ("thin", 4)


def test_thinning_does_not_depend_on_format_layer_or_gene_selection(fitted):
    one, other = fitted.copy(), fitted.copy()
    other.X = sparse.csc_matrix(other.X)
    dense, part = fitted.copy(), fitted[:, [7, 2, 20]].copy()
    dense.X = dense.X.toarray()
    for adata in (one, other, dense, part):
        ub.pp.adjust_counts(adata, mode="thin")
    for adata in (other, dense):
        np.testing.assert_array_equal(adata.layers["adjusted"].toarray(), one.layers["adjusted"].toarray())
    np.testing.assert_array_equal(part.layers["adjusted"].toarray(), one.layers["adjusted"][:, [7, 2, 20]].toarray())


def test_library_sizes_stay_if_asked(fitted):
    adata = fitted.copy()
    ub.pp.adjust_counts(adata, keep_library_size=True)
    np.testing.assert_allclose(adata.layers["adjusted"].sum(axis=1), adata.X.sum(axis=1), rtol=1e-6)
    with pytest.raises(ub.InputError, match="can only take counts away"):
        ub.pp.adjust_counts(adata, mode="thin", keep_library_size=True)


def test_a_gene_nearly_absent_in_a_batch_does_not_explode():
    """As a user meets it: hundreds of counts of a gene in each cell of one batch, four in all in the other."""
    adata = small(median_depth=2000, log_delta_sd=0.3)
    counts = adata.X.toarray()
    absent = (adata.obs["batch"] == "batch_2").to_numpy()
    counts[:, 0] = np.where(absent, 0, 400)
    counts[np.flatnonzero(absent)[:2], 0] = 4
    adata.X = sparse.csr_matrix(counts)
    ub.tl.batch_effects(adata, batch_key="batch")
    ub.pp.adjust_counts(adata)
    adjusted, record = adata.layers["adjusted"], adata.uns["unbatch"]["adjusted"]["adjusted"]
    assert adata.varm["batch_effects"][0, 1] < -np.log(20)
    assert adjusted[absent][:, [0]].max() == 80.0
    assert (adjusted.toarray() <= 20 * counts).all()
    assert record["capped_counts"] == 2
    assert record["capped_effects"] == 1
    assert list(record["capped_genes"]) == [adata.var_names[0]]
    ub.pp.adjust_counts(adata, mode="thin", key_added="thinned")
    assert adata.layers["thinned"][~absent][:, [0]].sum() == pytest.approx(counts[~absent, 0].sum() / 20, rel=0.2)


def test_effects_of_states_are_taken_out_and_survive_a_file(by_state, tmp_path):
    by_state.write_h5ad(tmp_path / "fit.h5ad")
    adata = ad.read_h5ad(tmp_path / "fit.h5ad")
    ub.pp.adjust_counts(adata, state_specific=True)
    states, state = adata.uns["unbatch"]["state_effects"], adata.obs["unbatch_sample"].to_numpy()
    assert states["steps"].dtype == np.int8
    column = {name: k for k, name in enumerate(adata.uns["unbatch"]["batches"])}
    codes = np.array([column[label] for label in adata.obs["batch"]])
    assert (state >= 0).all()
    rho = np.exp(states["unit"] * states["steps"][state, codes].astype(float))
    expected = np.minimum(1 / (np.exp(adata.varm["batch_effects"][:, codes].T) * rho), 20) * adata.X.toarray()
    np.testing.assert_allclose(adata.layers["adjusted"].toarray(), expected, rtol=1e-5)
    part = adata[40:90, [5, 3]].copy()
    ub.pp.adjust_counts(part, state_specific=True)
    np.testing.assert_array_equal(part.layers["adjusted"].toarray(), adata.layers["adjusted"][40:90, [5, 3]].toarray())


def test_asking_for_effects_of_states_does_not_change_the_effects_of_batches():
    one, other = small(), small()
    ub.tl.batch_effects(one, batch_key="batch")
    ub.tl.batch_effects(other, batch_key="batch", state_specific=True)
    np.testing.assert_array_equal(one.varm["batch_effects"], other.varm["batch_effects"])
    assert "state_effects" not in one.uns["unbatch"]
    with pytest.raises(ub.InputError, match=r"no effects of states: fit again with state_specific=True"):
        ub.pp.adjust_counts(one, state_specific=True)
    ub.tl.batch_effects(other, batch_key="batch")
    assert "state_effects" not in other.uns["unbatch"]


def test_what_cannot_have_effects_of_states_is_refused(by_state):
    with pytest.raises(ub.InputError, match="effects_only gives the cells no state"):
        ub.tl.batch_effects(small(), batch_key="batch", effects_only=True, state_specific=True)
    with pytest.raises(ub.InputError, match="method 'concept' knows no state_specific"):
        ub.tl.batch_effects(small(), batch_key="batch", method="concept", state_specific=True)
    labels = by_state.obs["batch"]
    model = ub.BatchModel().fit(by_state.X, labels)
    with pytest.raises(ub.InputError, match="rows of a matrix have no names"):
        model.adjust(by_state.X, labels, options=ub.AdjustOptions(state_specific=True))
    thinned = model.adjust(by_state.X, labels, options=ub.AdjustOptions(mode="thin"))
    assert thinned.dtype == np.int32
