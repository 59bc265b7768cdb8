"""The published method over blocks: planted effects come back, and how the counts are read changes nothing."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch._progress import Silent
from unbatch.core.concept import fit_concept
from unbatch.core.matching import match_cells
from unbatch.core.projection import batch_design, random_basis, regress_out
from unbatch.core.pseudobulk import sign_codes
from unbatch.core.statistics import SampleStatistics
from unbatch.io.batches import Batches, read_batches
from unbatch.io.source import open_counts
from unbatch.methods.concept import ConceptOptions, fit

OPTIONS = ConceptOptions(n_dims=4, max_iter=200)


class InBlocksOf:
    """A source that hands out its cells some at a time."""

    def __init__(self, source, size):
        self._source, self._size = source, size

    def __getattr__(self, name):
        return getattr(self._source, name)

    def bounds(self, block_size=None):
        return self._source.bounds(block_size or self._size)

    def blocks(self, block_size=None, *, cells=None):
        return self._source.blocks(block_size or self._size, cells=cells)


@pytest.fixture(scope="module")
def toy():
    return ub.simulate(n_cells=300, n_genes=60, n_batches=3, seed=3)


def run(adata, *, batch="batch", size=None, seed=0, min_cells=2, options=OPTIONS):
    source = open_counts(adata)
    batches = read_batches(source, batch, min_cells=min_cells)
    return fit(InBlocksOf(source, size) if size else source, batches, options, seed=seed, progress=Silent())


def contrasts(log_delta):
    return log_delta - log_delta.mean(axis=1, keepdims=True)


def test_planted_effects_are_recovered(toy):
    found = run(toy)
    truth = contrasts(toy.varm["log_delta_true"])
    assert np.corrcoef(contrasts(found.log_delta).ravel(), truth.ravel())[0, 1] > 0.99


def test_agrees_with_the_steps_in_memory(toy):
    counts = toy.X.toarray().astype(np.float64)
    codes = read_batches(open_counts(toy), "batch").codes
    basis = random_basis(60, 4, rng=np.random.default_rng(0))
    features = regress_out(counts @ basis, batch_design(codes, 3))
    samples = sign_codes(features)
    counterfactual = match_cells(features, codes, n_neighbors=3).weights @ counts
    onehot = batch_design(codes, 3)
    groups = [samples.codes == s for s in range(samples.n_samples)]
    stats = SampleStatistics(
        ybar=np.stack([counts[group].mean(axis=0) for group in groups], axis=1),
        zbar=np.stack([counterfactual[group].mean(axis=0) for group in groups], axis=1),
        n_sk=np.stack([onehot[group].sum(axis=0) for group in groups], axis=1),
        s_gk=counts.T @ onehot,
        n_matched=np.array([float(group.sum()) for group in groups]),
    )
    expected = fit_concept(stats, max_iter=200, tol=1e-6)

    found = run(toy)
    np.testing.assert_allclose(found.embedding, features, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found.sample, samples.codes)
    np.testing.assert_allclose(found.log_delta, np.log(expected.delta), atol=1e-6)
    np.testing.assert_allclose(found.mu, expected.mu, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.se, 1 / np.sqrt(stats.s_gk))
    assert found.stop_reason == expected.stop_reason


@pytest.mark.parametrize("size", [1, 7, 299, 5000])
def test_block_size_changes_no_bit(toy, size):
    whole, pieces = run(toy), run(toy, size=size)
    for name in ("log_delta", "mu", "embedding", "sample"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def test_the_seed_decides_the_projection(toy):
    np.testing.assert_array_equal(run(toy).basis, run(toy).basis)
    assert not np.array_equal(run(toy).basis, run(toy, seed=1).basis)


def test_cells_of_a_tiny_batch_change_nothing_for_the_others(toy):
    alien = ad.AnnData(np.full((1, 60), 900.0, dtype=np.float32), obs={"batch": ["solo"]}, var=toy.var)
    alien.obs_names = ["alien"]
    both = ad.concat([toy, alien])
    with pytest.warns(ub.InputWarning, match="'solo'"):
        found = run(both)
    alone = run(toy)
    kept = [column for column, level in enumerate(read_levels(both)) if level != "solo"]
    np.testing.assert_array_equal(found.log_delta[:, kept], alone.log_delta)
    np.testing.assert_array_equal(found.mu, alone.mu)
    np.testing.assert_array_equal(found.embedding[:-1], alone.embedding)
    assert found.sample[-1] == -1
    assert not found.informative[:, [column for column in range(4) if column not in kept]].any()


def with_empty_cells(toy, n_empty):
    empty = toy[:n_empty].copy()
    empty.X = empty.X * 0
    empty.obs_names = [f"empty_{cell}" for cell in range(n_empty)]
    return ad.concat([toy, empty])


def test_empty_cells_were_matched_once_the_batch_was_regressed_out(toy):
    both = with_empty_cells(toy, 30)
    with pytest.warns(ub.InputWarning, match="30 of 330 cells have no counts"):
        found = run(both)
    alone = run(toy)
    for name in ("log_delta", "se", "mu"):
        np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    np.testing.assert_array_equal(found.embedding[:300], alone.embedding)
    assert (found.sample[300:] == -1).all()
    assert not found.embedding[300:].any()


def test_empty_cells_overlap_with_nothing(toy):
    adata = with_empty_cells(toy, 3)
    with pytest.warns(ub.InputWarning, match="no counts"):
        ub.tl.batch_effects(adata, batch_key="batch", method="concept")
    assert (adata.obs["unbatch_sample"].iloc[300:] == -1).all()
    assert (adata.obs["unbatch_overlap"].iloc[300:] == 0).all()
    assert adata.obs["unbatch_overlap"].iloc[:300].mean() > 0.5


def test_a_batch_of_empty_cells_gets_no_effect(toy):
    adata = with_empty_cells(toy, 4)
    adata.obs["batch"] = [*toy.obs["batch"], *["blank"] * 4]
    with pytest.warns(ub.InputWarning, match="no counts"):
        found = run(adata)
    assert not found.informative[:, 3].any()
    assert found.informative[:, :3].all()
    assert np.isfinite(found.log_delta).all()


def test_counts_in_one_batch_alone_are_refused(toy):
    adata = toy[toy.obs["batch"] == "batch_1"].copy()
    adata.obs["batch"] = ["full", *["blank"] * (adata.n_obs - 1)]
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(adata.n_obs) == 0)[:, None])
    refused = pytest.raises(ub.InputError, match=r"only 1 of 2 batches has cells with counts .*'full'")
    with pytest.warns(ub.InputWarning, match="no counts"), refused:
        run(adata, min_cells=1)


def read_levels(adata):
    with pytest.warns(ub.InputWarning):
        return read_batches(open_counts(adata), "batch").levels


def test_genes_that_a_file_lacks_do_not_move_its_cells(toy):
    parts = [toy[toy.obs["batch"] == level].copy() for level in ("batch_1", "batch_2", "batch_3")]
    lacking = parts[2][:, :45].copy()
    found = run([parts[0], parts[1], lacking], batch=None)
    assert (found.basis[45:] == 0).all()
    assert not found.informative[45:, 2].any()
    assert found.informative[:45].all()
    common = run([part[:, :45].copy() for part in parts], batch=None)
    np.testing.assert_array_equal(found.basis[:45], common.basis)
    np.testing.assert_array_equal(found.embedding, common.embedding)
    truth = contrasts(toy.varm["log_delta_true"][:, :2])
    assert np.corrcoef(contrasts(found.log_delta[:, :2])[45:].ravel(), truth[45:].ravel())[0, 1] > 0.98


def test_files_without_a_gene_common_to_all_are_refused(toy):
    chain = [toy[:100, :30].copy(), toy[100:200, 15:45].copy(), toy[200:, 30:].copy()]
    with pytest.raises(ub.InputError, match=r"no gene .* in all 3 batches .*measured 30 of 60"):
        run(chain, batch=None)


@pytest.mark.parametrize(
    ("option", "value"),
    [("n_dims", 0), ("n_dims", 63), ("n_neighbors", 0), ("max_iter", 0), ("tol", -1.0), ("tol", np.nan)],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ub.InputError, match=f"{option} is"):
        ConceptOptions(**{option: value})


def test_values_that_are_no_counts_are_refused(toy):
    broken = toy.copy()
    broken.X = toy.X * 0.5
    with pytest.raises(ub.InputError, match="not counts"):
        run(broken)


def test_one_dimension_one_neighbour_and_one_update_suffice(toy):
    found = run(toy, options=ConceptOptions(n_dims=1, n_neighbors=1, max_iter=1))
    assert found.mu.shape == (60, 2)
    assert len(found.trace["objective"]) == 1


def test_batches_are_taken_as_given():
    adata = ad.AnnData(sparse.csr_matrix(np.arange(12, dtype=np.float32).reshape(4, 3)))
    batches = Batches(np.array([0, 1, 0, 1], dtype=np.int32), ("a", "b"))
    found = fit(open_counts(adata), batches, ConceptOptions(n_dims=1), seed=0, progress=Silent())
    assert found.log_delta.shape == (3, 2)
