"""New cells onto a finished fit: known batches come out as they were, new ones as truth and a joint fit have them."""

import warnings
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_info, threadpool_limits

import unbatch as ub
import unbatch.methods.mapping
from unbatch import methods
from unbatch.adjusting import Adjustment
from unbatch.core.adjust import AdjustOptions
from unbatch.core.convention import weighted_median
from unbatch.io.batches import label_cells, read_batches
from unbatch.io.source import open_counts
from unbatch.stored_fit import as_anndata, read_slots, write_slots


def fitted(adata, **options):
    source = open_counts(adata)
    within = options.pop("within", None)
    return ub.BatchModel(**options).fit_source(
        source, read_batches(source, "batch"), within=None if within is None else label_cells(source, within)
    )


def centred(values, genes):
    return values[genes] - np.median(values[genes])


@pytest.fixture(scope="module")
def cells():
    adata = ub.simulate(
        n_cells=1800, n_genes=400, n_batches=4, n_types=5, composition=2.0, log_delta_sd=0.5, median_depth=1200, seed=3
    )
    adata.obs["condition"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    return adata


@pytest.fixture(scope="module")
def held_out(cells):
    return (cells.obs["batch"] == "batch_4").to_numpy()


@pytest.fixture(scope="module")
def model(cells, held_out):
    return fitted(cells[~held_out].copy())


@pytest.fixture(scope="module")
def new(cells, held_out):
    return cells[held_out].copy()


@pytest.fixture(scope="module")
def mapped(model, new):
    return model.map(new)


@pytest.fixture(scope="module")
def truth(cells):
    true = cells.varm["log_delta_true"]
    return true[:, 3] - true[:, :3].mean(axis=1)


@pytest.fixture(scope="module")
def loud(cells):
    return np.asarray(cells.X.sum(axis=0)).ravel() > 200


def test_cells_of_the_fit_come_out_as_they_were_to_the_bit(cells, held_out, model):
    again = model.map(cells[~held_out].copy()).result
    for slot in ("embedding", "sample", "overlap", "log_delta", "se", "support", "mu", "basis"):
        np.testing.assert_array_equal(getattr(again, slot), getattr(model.result, slot), err_msg=slot)
    assert again.stop_reason == "no new batch"
    assert again.mapped_onto.known == model.result.batches


def test_counts_are_thinned_to_the_least_affected_batch_of_the_model_whatever_else_is_mapped(cells, model):
    def thinned(adata, fit):
        done = Adjustment(open_counts(adata), fit, options=AdjustOptions(mode="thin", seed=1))
        return np.vstack([block.counts.toarray() for block in done.blocks()]), done.record()["expressed_in"]

    batch = cells.obs["batch"].to_numpy()
    own, new = cells[batch != "batch_4"].copy(), cells[batch == "batch_4"].copy()
    ours, _ = thinned(own, model.result)
    again, there = thinned(own, model.map(own).result)
    np.testing.assert_array_equal(again, ours)
    assert there == "batch that detects each gene least, of the model"
    alone, _ = thinned(new, model.map(new).result)
    both = cells[np.argsort(batch != "batch_4", kind="stable")].copy()
    beside, _ = thinned(both, model.map(both).result)
    np.testing.assert_array_equal(beside[: len(alone)], alone)
    delta = np.exp(model.map(new).result.log_delta[:, 0])
    least = np.exp(model.result.log_delta.min(axis=1))
    expected = new.X.toarray().sum(axis=0) * np.clip(least / delta, 1 / 20, 1)
    loud = np.flatnonzero(expected > 100)
    np.testing.assert_allclose(alone.sum(axis=0)[loud], expected[loud], rtol=0.4)
    assert abs(alone[:, loud].sum() / expected[loud].sum() - 1) < 0.02


def test_a_new_batch_gets_the_planted_effects_with_honest_errors(mapped, truth, loud):
    result = mapped.result
    error = centred(result.log_delta[:, 0], loud) - centred(truth, loud)
    assert np.sqrt(np.mean(error**2)) < 0.2 * np.std(truth[loud])
    assert 0.9 < np.mean(np.abs(error) < 1.96 * result.se[loud, 0]) < 0.99
    assert result.stop_reason == "converged"
    assert (result.overlap > 0).mean() > 0.95


def test_a_new_batch_gets_what_a_joint_fit_finds(cells, held_out, mapped, loud):
    joint = fitted(cells).result
    difference = joint.log_delta[:, 3] - joint.log_delta[:, :3].mean(axis=1)
    apart = centred(mapped.result.log_delta[:, 0], loud) - centred(difference, loud)
    assert np.sqrt(np.mean(apart**2)) < 0.5 * np.median(mapped.result.se[loud, 0])
    types = cells.obs["cell_type"].to_numpy()[held_out]
    for sample in np.unique(mapped.result.sample):
        inside = types[mapped.result.sample == sample]
        assert np.unique(inside, return_counts=True)[1].max() > 0.9 * len(inside)


def test_cells_of_a_new_batch_lie_among_those_of_their_type(cells, held_out, model, mapped):
    types = cells.obs["cell_type"].to_numpy()
    for name in np.unique(types):
        old = model.result.embedding[types[~held_out] == name]
        there = mapped.result.embedding[types[held_out] == name]
        spread = np.sqrt(((old - old.mean(axis=0)) ** 2).sum(axis=1).mean())
        assert np.linalg.norm(there.mean(axis=0) - old.mean(axis=0)) < 0.35 * spread


def test_the_reference_does_not_move(model, new):
    before = {name: np.copy(value) for name, value in vars(model.result).items() if isinstance(value, np.ndarray)}
    marks = {name: np.copy(value) for name, value in vars(model.result.landmarks).items()}
    model.map(new)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(model.result, name), value)
    for name, value in marks.items():
        np.testing.assert_array_equal(getattr(model.result.landmarks, name), value)


def test_each_new_batch_is_mapped_on_its_own(cells, held_out, model, new, mapped):
    others = cells[~held_out].copy()
    strange = others[(others.obs["batch"] == "batch_1").to_numpy()].copy()
    strange.obs["batch"] = "another"
    some = others[(others.obs["batch"] == "batch_2").to_numpy()][:50].copy()
    together = ad.concat([strange, new, some])
    together.obs["batch"] = together.obs["batch"].astype(str)
    result = model.map(together[np.random.default_rng(0).permutation(together.n_obs)].copy()).result
    column = result.batches.index("batch_4")
    np.testing.assert_allclose(result.log_delta[:, column], mapped.result.log_delta[:, 0], atol=0.02)
    in_order = model.map(together).result
    column = in_order.batches.index("batch_4")
    mine = (together.obs["batch"] == "batch_4").to_numpy()
    for slot in ("log_delta", "se"):
        np.testing.assert_array_equal(getattr(in_order, slot)[:, column], getattr(mapped.result, slot)[:, 0])
    for slot in ("embedding", "sample", "overlap"):
        np.testing.assert_array_equal(getattr(in_order, slot)[mine], getattr(mapped.result, slot))


def test_each_shallow_batch_is_mapped_on_its_own(cells, held_out, model, new):
    """Beside a deep one, one of another depth, and one that the model knows."""
    rng = np.random.default_rng(0)
    parts = {"deep": new.copy(), "third": new.copy(), "tenth": new.copy(), "batch_1": cells[~held_out].copy()}
    parts["batch_1"] = parts["batch_1"][(parts["batch_1"].obs["batch"] == "batch_1").to_numpy()].copy()
    for name, kept in (("third", 0.3), ("tenth", 0.1)):
        parts[name].X = rng.binomial(new.X.toarray().astype(int), kept).astype(np.float32)
    for name, part in parts.items():
        part.obs["batch"], part.obs_names = name, [f"{name}-{cell}" for cell in part.obs_names]
    together = ad.concat([parts["tenth"], parts["deep"], parts["batch_1"], parts["third"]])
    together.obs["batch"] = together.obs["batch"].astype(str)
    result = model.map(together).result
    for name, part in parts.items():
        own, column = model.map(part.copy()).result, result.batches.index(name)
        mine = (together.obs["batch"] == name).to_numpy()
        for slot in ("log_delta", "se"):
            np.testing.assert_array_equal(getattr(result, slot)[:, column], getattr(own, slot)[:, 0])
        for slot in ("embedding", "sample"):
            np.testing.assert_array_equal(getattr(result, slot)[mine], getattr(own, slot))


def test_the_convention_is_that_of_the_reference(model, mapped):
    fit, result = model.result, mapped.result
    weights = fit.landmarks.expression
    usual = weighted_median(fit.log_delta[:, 0], weights * np.isfinite(fit.se[:, 0]))
    own = weighted_median(result.log_delta[:, 0], weights * np.isfinite(result.se[:, 0]))
    assert own == pytest.approx(usual, abs=1e-9)
    assert "relative to the mean over batches of the model" in result.convention
    assert result.expressed_in == "mean over batches of the model"


def test_relative_to_a_reference_batch(cells, held_out, new, loud):
    model = fitted(cells[~held_out].copy(), reference="batch_2")
    result = model.map(new).result
    true = cells.varm["log_delta_true"]
    error = centred(result.log_delta[:, 0], loud) - centred(true[:, 3] - true[:, 1], loud)
    assert np.sqrt(np.mean(error**2)) < 0.25 * np.std(true[loud])
    assert 0.9 < np.mean(np.abs(error) < 1.96 * result.se[loud, 0]) < 0.99
    assert result.reference is None
    assert result.expressed_in == "batch 'batch_2' of the model"


def test_a_batch_that_shares_no_state_gets_no_effect_and_a_warning(model, new):
    stranger = new.copy()
    rng = np.random.default_rng(0)
    stranger.X = rng.poisson(rng.lognormal(0, 2.5, size=(20, 400))[rng.integers(0, 20, new.n_obs)]).astype(np.float32)
    with pytest.warns(ub.InputWarning, match="share no cell state with the model.*'batch_4'"):
        result = model.map(stranger).result
    assert (result.log_delta == 0).all()
    assert np.isinf(result.se).all()
    assert (result.sample == -1).all()
    assert (result.overlap == 0).all()
    assert result.stop_reason == "nothing shared"


def test_cells_of_a_new_type_are_told_apart_and_do_no_harm(cells, held_out, truth, loud):
    types = cells.obs["cell_type"].to_numpy()
    novel = types == "type_1"
    model = fitted(cells[~held_out & ~novel].copy())
    result = model.map(cells[held_out].copy()).result
    own = novel[held_out]
    assert 0.1 < own.mean() < 0.6
    assert (result.overlap[own] == 0).mean() > 0.9
    assert (result.overlap[~own] > 0).mean() > 0.9
    error = centred(result.log_delta[:, 0], loud) - centred(truth, loud)
    assert np.sqrt(np.mean(error**2)) < 0.3 * np.std(truth[loud])


def test_missing_genes_are_not_zeros(model, new, mapped, loud):
    kept = np.sort(np.random.default_rng(1).permutation(400)[:280])
    with pytest.warns(ub.InputWarning, match="120 of the 400 genes of the model are not in"):
        result = model.map(new[:, kept].copy()).result
    both = loud[kept]
    apart = centred(result.log_delta[:, 0], both) - centred(mapped.result.log_delta[kept, 0], both)
    assert np.sqrt(np.mean(apart**2)) < 0.5 * np.median(result.se[both, 0])
    moved = result.embedding - mapped.result.embedding
    spread = np.sqrt(np.einsum("sdd->s", model.result.landmarks.spread).mean())
    assert np.linalg.norm(moved.mean(axis=0)) < 0.1 * spread
    assert np.sqrt((moved**2).sum(axis=1).mean()) < 0.6 * spread
    assert result.mapped_onto.missing_genes == 120


def test_a_known_batch_that_lacks_genes_is_placed_without_bias(cells, held_out, model):
    known = cells[~held_out].copy()
    kept = np.sort(np.random.default_rng(1).permutation(400)[:280])
    with pytest.warns(ub.InputWarning, match="120 of the 400 genes"):
        result = model.map(known[:, kept].copy()).result
    moved = result.embedding - model.result.embedding
    spread = np.sqrt(np.einsum("sdd->s", model.result.landmarks.spread).mean())
    assert np.linalg.norm(moved.mean(axis=0)) < 0.1 * spread
    np.testing.assert_array_equal(result.log_delta, model.result.log_delta[kept])


def test_unknown_genes_are_left_out_with_a_count(model, new, mapped):
    more = ad.concat([new, ad.AnnData(X=new.X[:, :7], obs=new.obs, var=ad.AnnData(new.X[:, :7]).var)], axis=1)
    more.obs = new.obs
    with pytest.warns(ub.InputWarning, match="7 of 407 genes .* are unknown to the model and left out"):
        result = model.map(more).result
    np.testing.assert_allclose(result.log_delta[:400], mapped.result.log_delta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(result.embedding, mapped.result.embedding, rtol=1e-4, atol=1e-5)
    assert (result.log_delta[400:] == 0).all()
    assert np.isinf(result.se[400:]).all()
    assert result.mapped_onto.unknown_genes == 7


def test_a_wrong_value_is_named_where_it_is(model, new):
    wrong = new[np.random.default_rng(0).permutation(new.n_obs)].copy()
    batch = wrong.obs["batch"].astype(str).to_numpy()
    cell = int(np.flatnonzero(batch == batch[0])[-1])
    counts = wrong.X.toarray() if hasattr(wrong.X, "toarray") else np.array(wrong.X)
    counts[cell, 7] = 0.5
    wrong.X = counts
    named = f"first is 0.5 in cell '{wrong.obs_names[cell]}', gene '{wrong.var_names[7]}'"
    with pytest.raises(ub.InputError, match=named):
        model.map(wrong, batch_key="batch")


def test_the_order_of_genes_does_not_matter(model, new, mapped):
    order = np.random.default_rng(2).permutation(400)
    result = model.map(new[:, order].copy()).result
    np.testing.assert_allclose(result.log_delta, mapped.result.log_delta[order], atol=1e-6)
    np.testing.assert_allclose(result.embedding, mapped.result.embedding, atol=1e-4)


def test_a_new_batch_that_is_too_small_gets_no_effect(model, new):
    with pytest.warns(ub.InputWarning, match="fewer than 2 cells"):
        result = model.map(new[:1].copy()).result
    assert result.too_small == ("batch_4",)
    assert np.isinf(result.se).all()
    assert result.sample.tolist() == [-1]


def test_a_sketch_of_a_large_batch_leads_to_the_effects_of_all_its_cells(cells, held_out, new, mapped, loud):
    model = fitted(cells[~held_out].copy(), method=ub.MatchedOptions(sketch_size=2000))
    small = ub.BatchModel(method=ub.MatchedOptions(sketch_size=200))
    small._result = replace(model.result, parameters={**model.result.parameters, "sketch_size": 200})
    by_sketch, of_all = small.map(new).result, model.map(new).result
    np.testing.assert_array_equal(of_all.log_delta, mapped.result.log_delta)
    apart = (by_sketch.log_delta - of_all.log_delta)[loud, 0]
    assert 0 < np.sqrt(np.mean(apart**2)) < 0.4 * np.median(of_all.se[loud, 0])
    assert np.median(by_sketch.se[loud, 0]) < 1.1 * np.median(of_all.se[loud, 0])


def test_conditions_keep_cells_apart(cells, held_out):
    model = fitted(cells[~held_out].copy(), within="condition")
    other = cells[held_out].copy()
    level = model.result.landmarks.level
    result = model.map(other).result
    here = result.sample >= 0
    names = np.array(model.result.landmarks.level_names)[level[result.sample[here]]]
    np.testing.assert_array_equal(names, other.obs["condition"].to_numpy()[here])
    other.obs["condition"] = "c"
    with pytest.warns(ub.InputWarning) as told:
        result = model.map(other).result
    assert any("'c'" in str(warning.message) for warning in told)
    assert (result.sample == -1).all()
    assert np.isinf(result.se).all()


@pytest.mark.parametrize("kept", [0.3, 0.1])
def test_a_batch_that_is_shallower_than_the_model_comes_out_as_in_a_joint_fit(cells, held_out, model, new, kept):
    """Logs of 120 counts are not where those of 1,200 are, though the cells are the same."""
    rng, thinned = np.random.default_rng(0), cells.copy()
    counts = cells.X.toarray().astype(int)
    thinned.X = np.where(held_out[:, None], rng.binomial(counts, kept), counts).astype(np.float32)
    mapped = model.map(thinned[held_out].copy()).result
    joint = fitted(thinned).result
    loud = np.asarray(thinned.X[held_out].sum(axis=0)).ravel() > 100
    last = joint.batches.index("batch_4")
    truth = cells.varm["log_delta_true"]

    def error(found, k):
        relative = truth[:, k] - np.delete(truth, k, axis=1).mean(axis=1)
        return np.sqrt(np.mean((centred(found, loud) - centred(relative, loud)) ** 2))

    ours = error(mapped.log_delta[:, 0], last)
    theirs = error(joint.log_delta[:, last] - np.delete(joint.log_delta, last, axis=1).mean(axis=1), last)
    assert ours < 1.1 * theirs
    near = cKDTree(model.result.embedding).query(mapped.embedding, k=15)[1]
    kinds = cells.obs["cell_type"].to_numpy()
    assert (kinds[~held_out][near] == kinds[held_out][:, None]).mean() > 0.95
    deep = model.map(new).result.embedding
    there = [[at[kinds[held_out] == kind].mean(axis=0) for kind in np.unique(kinds)] for at in (mapped.embedding, deep)]
    spread = np.mean([deep[kinds[held_out] == kind].std(axis=0) for kind in np.unique(kinds)])
    assert np.sqrt(np.mean(np.subtract(*there) ** 2)) < spread


def test_a_condition_that_new_cells_lack_is_named_with_what_it_is_for(cells, held_out, new):
    model = fitted(cells[~held_out].copy(), within="condition")
    bare = new.copy()
    del bare.obs["condition"]
    with pytest.raises(ub.InputError, match=r"'condition', inside whose levels the fit compared cells.*such as 'a'"):
        model.map(bare)


def test_effects_of_states_are_not_those_of_mapped_cells(mapped, new):
    placed = new.copy()
    write_slots(placed, mapped.result)
    with pytest.raises(ub.InputError, match=r"these cells were mapped onto a fit, .* fit all cells together"):
        ub.pp.adjust_counts(placed, state_specific=True)


def test_blocks_and_threads_change_no_bit(model, new, mapped, tmp_path):
    new.write_h5ad(tmp_path / "new.h5ad")
    again = model.map(tmp_path / "new.h5ad").result
    for slot in ("log_delta", "se", "embedding", "sample", "overlap"):
        np.testing.assert_array_equal(getattr(again, slot), getattr(mapped.result, slot))


def test_several_files_are_batches_if_they_were_in_the_fit(cells, held_out, tmp_path):
    others = cells[~held_out]
    for name in ("batch_1", "batch_2"):
        others[(others.obs["batch"] == name).to_numpy()].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    source = open_counts([tmp_path / "batch_1.h5ad", tmp_path / "batch_2.h5ad"])
    model = ub.BatchModel().fit_source(source, read_batches(source))
    cells[held_out].copy().write_h5ad(tmp_path / "batch_4.h5ad")
    result = model.map([tmp_path / "batch_1.h5ad", tmp_path / "batch_4.h5ad"]).result
    assert result.batches == ("batch_1", "batch_4")
    assert result.mapped_onto.known == ("batch_1",)
    np.testing.assert_array_equal(result.log_delta[:, 0], model.result.log_delta[:, 0])


def test_what_was_saved_maps_alike_and_what_was_mapped_is_saved(model, new, mapped, tmp_path):
    model.save(tmp_path / "fit.h5ad")
    again = ub.BatchModel.load(tmp_path / "fit.h5ad").map(new)
    for slot in ("log_delta", "se", "embedding", "sample", "overlap"):
        np.testing.assert_array_equal(getattr(again.result, slot), getattr(mapped.result, slot))
    again.save(tmp_path / "mapped.h5ad")
    back = ub.BatchModel.load(tmp_path / "mapped.h5ad")
    assert back.result.mapped_onto == mapped.result.mapped_onto
    np.testing.assert_array_equal(back.result.log_delta, mapped.result.log_delta)
    np.testing.assert_allclose(
        back.adjust(new.X, ["batch_4"] * new.n_obs).sum(), (new.X / mapped.result.delta.T).sum(), rtol=1e-4
    )


def test_the_result_is_a_fit_for_all_that_reads_fits(mapped):
    adata = as_anndata(mapped.result)
    table = ub.get.batch_effects(adata)
    assert len(table) == 400
    assert np.isfinite(table["se"]).any()
    ranked = ub.tl.rank_batch_genes(adata)
    assert set(ranked["versus"]) == {"mean over batches of the model"}
    assert ranked["support"].between(0, 1).all()
    assert read_slots(adata).mapped_onto == mapped.result.mapped_onto


def test_two_new_batches_are_compared_by_independent_errors(model, new):
    half = new.copy()
    half.obs["batch"] = np.where(np.arange(new.n_obs) % 2, "x", "y")
    result = model.map(half)
    table = ub.tl.rank_batch_genes(as_anndata(result.result), batch="x", versus="y").set_index("gene")
    se = np.sqrt((result.result.se**2).sum(axis=1))
    np.testing.assert_allclose(table.loc[result.result.var.index, "se"], se, rtol=1e-6)
    z = table["z"][np.isfinite(table["se"])]
    assert 0.6 < np.std(z) < 1.3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda fit: replace(fit, landmarks=None), "fit again with this version"),
        (lambda fit: replace(fit, landmarks=None, method="concept"), "method 'concept' keeps no states"),
    ],
)
def test_a_model_without_states_is_refused(model, new, spoil, message):
    old = ub.BatchModel()
    old._result = spoil(model.result)
    with pytest.raises(ub.InputError, match=message):
        old.map(new)


def test_bad_input_is_refused(model, new, mapped):
    with pytest.raises(ub.InputError, match="themselves mapped"):
        mapped.map(new)
    strange = new.copy()
    strange.var_names = [f"ENSG{gene}" for gene in range(400)]
    with pytest.raises(ub.InputError, match=r"no gene of .* is known to the model"):
        model.map(strange)
    with pytest.raises(ub.InputError, match="no obs column 'batch'"):
        model.map(ad.AnnData(X=new.X, var=new.var))
    for value in (-1.0, 0.5, np.nan):
        bad = new.copy()
        bad.X = bad.X.toarray()
        bad.X[3, 5] = value
        with pytest.raises(ub.InputError, match="counts"):
            model.map(bad)
    with pytest.raises(ub.InputError, match="has not been fitted"):
        ub.BatchModel().map(new)


def test_nothing_else_is_warned_of(model, new):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.map(new)


def test_slots_are_written_into_the_anndata(model, new, mapped, tmp_path):
    adata = new.copy()
    assert ub.tl.map_cells(adata, model=model) is None
    np.testing.assert_array_equal(adata.obsm["X_unbatch"], mapped.result.embedding)
    np.testing.assert_array_equal(adata.varm["batch_effects"], mapped.result.log_delta)
    model.save(tmp_path / "fit.h5ad")
    copy = ub.tl.map_cells(new, model=tmp_path / "fit.h5ad", batch_key="batch", copy=True)
    np.testing.assert_array_equal(copy.varm["batch_effects"], mapped.result.log_delta)
    assert "X_unbatch" not in new.obsm
    more = ad.concat([new, ad.AnnData(np.ones((new.n_obs, 2)), obs=new.obs)], axis=1)
    more.obs = new.obs
    more.raw = more
    with pytest.raises(ub.InputError, match="has 402 genes, adata 5"):
        ub.tl.map_cells(more[:, :5].copy(), model=model, layer="raw")
    turned = new[:, ::-1].copy()
    turned.raw = new
    ub.tl.map_cells(turned, model=model, batch_key="batch", layer="raw")
    np.testing.assert_allclose(turned.varm["batch_effects"][::-1], mapped.result.log_delta, rtol=1e-6, atol=1e-9)
    assert turned.uns["unbatch"]["layer"] == "raw"


def test_three_cells_have_honest_errors():
    adata = ub.simulate(
        n_types=5,
        n_factors=3,
        n_batches=4,
        composition=1.0,
        n_genes=300,
        n_cells=2000,
        median_depth=1500,
        seed=1,
        log_delta_sd=0.5,
        size_factor_sd=0.3,
    )
    batch, true = adata.obs["batch"].to_numpy(), adata.varm["log_delta_true"]
    model, rest = fitted(adata[batch != "batch_4"].copy()), adata[batch == "batch_4"]
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > 200
    draw, scores = np.random.default_rng(0), []
    for _ in range(6):
        new = rest[draw.choice(rest.n_obs, 3, replace=False)].copy()
        result = model.map(new).result
        error = centred(result.log_delta[:, 0], loud) - centred(true[:, 3] - true[:, :3].mean(axis=1), loud)
        scores.append(error / result.se[loud, 0])
    inside = np.abs(np.array(scores)) < 1.96
    assert inside.mean(axis=1).min() > 0.9
    assert 0.9 < inside.mean() < 0.99


def test_a_batch_beyond_the_sketch_is_fitted_anew_by_one_thread(cells, held_out, monkeypatch):
    model = fitted(cells[~held_out].copy(), method=ub.MatchedOptions(sketch_size=2000))
    model._result = replace(model.result, parameters={**model.result.parameters, "sketch_size": 200})
    seen, once = [], methods.mapping.fit_new

    def fit_new(*given, **options):
        seen.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        return once(*given, **options)

    monkeypatch.setattr(methods.mapping, "fit_new", fit_new)
    with threadpool_limits(2, user_api="blas"):
        model.map(cells[held_out].copy())
    assert set(seen) == {1}
