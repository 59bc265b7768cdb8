"""The model object: recovers planted effects, gives the same bits again, adjusts, and survives the disk."""

import dataclasses

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import unbatch as ub
from unbatch import methods
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.methods import Method


@pytest.fixture(scope="module")
def toy():
    return ub.simulate(n_cells=400, n_genes=80, n_batches=3, log_delta_sd=0.7, seed=11)


@pytest.fixture(scope="module")
def model(toy):
    return ub.BatchModel().fit(toy.X, toy.obs["batch"])


def test_planted_contrasts_are_recovered(toy, model):
    truth = toy.varm["log_delta_true"]
    error = (model.result.log_delta - model.result.log_delta.mean(axis=1, keepdims=True)) - (
        truth - truth.mean(axis=1, keepdims=True)
    )
    spread = truth.std()
    assert np.abs(error - np.median(error, axis=0)).mean() < 0.2 * spread


def test_adjusting_takes_the_planted_effects_out(toy, model):
    labels = toy.obs["batch"].to_numpy()
    adjusted = model.adjust(toy.X, labels)

    def spread(counts):
        means = np.stack([counts[labels == level].mean(axis=0) for level in model.result.batches])
        logs = np.log(means / means.sum(axis=1, keepdims=True))
        return np.std(logs, axis=0).mean()

    assert spread(adjusted.toarray()) < 0.2 * spread(toy.X.toarray())


def test_adjusted_counts_are_counts_over_effects(toy, model):
    labels = toy.obs["batch"].to_numpy()
    column = {name: k for k, name in enumerate(model.result.batches)}
    expected = toy.X.toarray() / model.result.delta[:, [column[label] for label in labels]].T
    adjusted = model.adjust(toy.X, labels)
    assert adjusted.dtype == np.float32
    np.testing.assert_allclose(adjusted.toarray(), expected, rtol=1e-6)
    assert ((adjusted.toarray() == 0) == (toy.X.toarray() == 0)).all()


def test_new_cells_of_a_known_batch_can_be_adjusted(toy, model):
    some = model.adjust(toy.X[:7], ["batch_2"] * 7)
    np.testing.assert_allclose(some.toarray(), toy.X[:7].toarray() / model.result.delta[:, 1], rtol=1e-6)


@pytest.mark.parametrize(
    "form", [sparse.csc_matrix, sparse.csr_array, lambda x: x.toarray(), lambda x: x.toarray().astype(int)]
)
def test_the_form_of_the_matrix_changes_no_bit(toy, model, form):
    again = ub.BatchModel().fit(form(toy.X), list(toy.obs["batch"])).result
    np.testing.assert_array_equal(again.log_delta, model.result.log_delta)
    np.testing.assert_array_equal(again.embedding, model.result.embedding)


def test_the_seed_is_used(toy, model):
    other = ub.BatchModel(seed=1).fit(toy.X, toy.obs["batch"]).result
    assert not np.array_equal(other.embedding, model.result.embedding)
    assert other.parameters["seed"] == 1


def test_effects_relative_to_a_reference(toy, model):
    result = ub.BatchModel(reference="batch_2").fit(toy.X, toy.obs["batch"]).result
    truth = toy.varm["log_delta_true"] - toy.varm["log_delta_true"][:, [1]]
    error = result.log_delta - truth
    assert np.abs(error - np.median(error, axis=0)).mean() < 0.2 * truth[:, [0, 2]].std()
    assert (result.log_delta[:, 1] == 0).all()
    assert (result.se[:, 1] == 0).all()
    assert (result.se[:, [0, 2]] > 0).all()
    assert result.reference == "batch_2"
    assert "relative to batch 'batch_2'" in result.convention
    differences = model.result.log_delta - model.result.log_delta[:, [1]]
    assert np.ptp(result.log_delta - differences, axis=0).max() < 1e-9


def test_with_a_reference_its_counts_stay_and_the_others_come_to_it(toy):
    labels = toy.obs["batch"].to_numpy()
    model = ub.BatchModel(reference="batch_2").fit(toy.X, labels)
    adjusted, counts = model.adjust(toy.X, labels).toarray(), toy.X.toarray()
    np.testing.assert_array_equal(adjusted[labels == "batch_2"], counts[labels == "batch_2"])
    means = {level: adjusted[labels == level].mean(axis=0) for level in np.unique(labels)}
    loud = means["batch_2"] > 1
    for level in ("batch_1", "batch_3"):
        ratio = np.log(means[level] / means["batch_2"])[loud]
        assert np.abs(ratio - np.median(ratio)).mean() < 0.2


@pytest.mark.parametrize("reference", ["batch_9", "few"])
def test_a_reference_that_is_no_usable_batch_is_refused_with_the_choices(toy, reference):
    labels = toy.obs["batch"].astype(str).to_numpy()
    labels[:3] = "few"
    start = "the reference 'batch_9' is no batch" if reference == "batch_9" else "'few', has fewer than 4 cells"
    with (
        pytest.warns(ub.InputWarning, match="'few'"),
        pytest.raises(ub.InputError, match=f"{start}.* choose 'batch_1', 'batch_2', 'batch_3'"),
    ):
        ub.BatchModel(reference=reference, min_cells=4).fit(toy.X, labels)


class Recorded(Exception):  # noqa: N818
    """What a method was given."""


@dataclasses.dataclass(frozen=True)
class RecorderOptions:
    """Options of a method that gives up with what it was given."""

    n_dims: int = 2


@pytest.fixture
def recorder(monkeypatch):
    """A method that takes a design."""

    def give_up(source, batches, options, *, seed, progress, within=None, control_genes=None, driver=None):  # noqa: ARG001
        raise Recorded(within, control_genes)

    method = Method("recorder", RecorderOptions, give_up)
    monkeypatch.setattr(methods, "METHODS", (*methods.METHODS, method))
    return RecorderOptions()


def test_the_design_reaches_the_method(toy, recorder):
    condition = np.where(np.arange(400) % 3 == 0, "stim", "ctrl")
    with pytest.raises(Recorded) as caught:
        ub.BatchModel(method=recorder).fit(toy.X, toy.obs["batch"], within=condition, control_genes=[7, 2])
    within, control = caught.value.args
    assert within.dtype == np.int32
    assert np.array_equal(np.array(["ctrl", "stim"])[within], condition)
    assert np.flatnonzero(control).tolist() == [2, 7]
    with pytest.raises(Recorded) as caught:
        ub.BatchModel(method=recorder).fit(toy.X, toy.obs["batch"])
    assert caught.value.args == (None, None)


def test_confounded_conditions_are_told_before_the_method_starts(toy, recorder):
    with (
        pytest.raises(Recorded),
        pytest.warns(ub.InputWarning, match=r"obs\['condition'\] are fully .* 'batch_1', 'batch_3' \| 'batch_2'"),
    ):
        ub.BatchModel(method=recorder).fit(toy.X, toy.obs["batch"], within=toy.obs["batch"] == "batch_2")


def test_one_condition_per_cell_is_needed(toy, recorder):
    with pytest.raises(ub.InputError, match="there are 2 conditions for 400 cells"):
        ub.BatchModel(method=recorder).fit(toy.X, toy.obs["batch"], within=["a", "b"])


def test_a_method_without_design_refuses_one(toy, recorder):
    assert recorder
    with pytest.raises(ub.InputError, match=r"'concept' knows no match_within \(only .*method 'recorder' does\)"):
        ub.BatchModel(method="concept").fit(toy.X, toy.obs["batch"], within=toy.obs["batch"])
    with pytest.raises(ub.InputError, match=r"knows no match_within or control_genes .* leave them out"):
        ub.BatchModel(method="concept").fit(toy.X, toy.obs["batch"], within=toy.obs["batch"], control_genes=[1])


def test_options_reach_the_method(toy):
    model = ub.BatchModel(method=ub.MatchedOptions(n_dims=2, n_embedding_dims=3, max_rounds=1))
    result = model.fit(toy.X, toy.obs["batch"]).result
    assert result.basis.shape[1] == 2
    assert result.embedding.shape == (400, 3)
    assert len(result.trace["change"]) == 1
    assert result.stop_reason == "max_rounds"
    result = ub.BatchModel(method=ub.ConceptOptions(n_dims=2, max_iter=3)).fit(toy.X, toy.obs["batch"]).result
    assert result.embedding.shape == (400, 2)
    assert len(result.trace["max_change"]) == 3
    assert result.stop_reason == "max_iter"


def test_nothing_is_nan(model):
    for field in dataclasses.fields(model.result):
        values = getattr(model.result, field.name)
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            assert not np.isnan(values).any(), field.name
    assert ((model.result.overlap >= 0) & (model.result.overlap <= 1)).all()


@pytest.mark.parametrize("method", ["matched", "concept"])
def test_empty_genes_have_no_effect_and_infinite_error(toy, method):
    counts = toy.X.toarray()
    counts[:, 3] = 0
    with pytest.warns(ub.InputWarning, match="1 of 80 genes have no counts"):
        result = ub.BatchModel(method=method).fit(counts, toy.obs["batch"]).result
    assert (result.log_delta[3] == 0).all()
    assert np.isinf(result.se[3]).all()
    assert np.isfinite(np.delete(result.se, 3, axis=0)).all()


def test_a_gene_that_one_batch_never_counts_is_known_to_be_low_there(toy, model):
    counts = toy.X.toarray()
    counts[toy.obs["batch"] == "batch_1", 4] = 0
    result = ub.BatchModel().fit(counts, toy.obs["batch"]).result
    assert result.log_delta[4, 0] < -1
    assert np.isfinite(result.se[4]).all()
    assert result.se[4, 0] > 2 * model.result.se[4, 0]


def test_the_published_method_knows_nothing_of_a_gene_in_a_batch_that_never_counts_it(toy):
    counts = toy.X.toarray()
    counts[toy.obs["batch"] == "batch_1", 4] = 0
    result = ub.BatchModel(method="concept").fit(counts, toy.obs["batch"]).result
    assert np.isinf(result.se[4]).tolist() == [True, False, False]
    assert result.log_delta[4, 0] == 0
    assert result.log_delta[4, 1] == pytest.approx(-result.log_delta[4, 2])


def test_batches_with_few_cells_take_no_part(toy):
    labels = toy.obs["batch"].astype(str).to_numpy()
    labels[:3] = "few"
    with pytest.warns(ub.InputWarning, match="'few'"):
        result = ub.BatchModel(min_cells=4).fit(toy.X, labels).result
    column = result.batches.index("few")
    assert result.too_small == ("few",)
    assert (result.log_delta[:, column] == 0).all()
    assert np.isinf(result.se[:, column]).all()
    assert (result.sample[:3] == -1).all()
    assert (result.overlap[:3] == 0).all()
    assert (result.sample[3:] >= 0).all()


def test_saving_and_loading_keeps_everything(toy, model, tmp_path):
    model.save(tmp_path / "model.h5ad")
    back = ub.BatchModel.load(tmp_path / "model.h5ad")
    assert back.options == model.options
    assert (back.min_cells, back.seed) == (model.min_cells, model.seed)
    for name in ("log_delta", "se", "measured", "sample", "overlap", "embedding", "support", "mu", "basis"):
        np.testing.assert_array_equal(getattr(back.result, name), getattr(model.result, name))
    assert back.result.batches == model.result.batches
    labels = toy.obs["batch"]
    assert (back.adjust(toy.X, labels) != model.adjust(toy.X, labels)).nnz == 0


def test_a_reference_survives_the_disk(toy, tmp_path):
    labels = toy.obs["batch"]
    model = ub.BatchModel(reference="batch_3").fit(toy.X, labels)
    model.save(tmp_path / "model.h5ad")
    assert "relative to batch 'batch_3'" in ad.read_h5ad(tmp_path / "model.h5ad").uns["unbatch"]["convention"]
    back = ub.BatchModel.load(tmp_path / "model.h5ad")
    assert back.reference == back.result.reference == "batch_3"
    np.testing.assert_array_equal(back.result.centred_se, model.result.centred_se)
    np.testing.assert_array_equal(back.result.se, model.result.se)
    assert (back.adjust(toy.X, labels) != model.adjust(toy.X, labels)).nnz == 0


def test_the_file_is_an_anndata_without_counts(model, tmp_path):
    model.save(tmp_path / "model.h5ad")
    adata = ad.read_h5ad(tmp_path / "model.h5ad")
    assert adata.X is None
    assert adata.shape == (400, 80)
    assert adata.obs["batch"].tolist() == model.result.obs["batch"].tolist()


def test_the_counts_of_a_fit_are_not_replaced_by_it(toy, tmp_path):
    path = tmp_path / "in.h5ad"
    toy.write_h5ad(path)
    before = path.read_bytes()
    source = open_counts(path)
    model = ub.BatchModel().fit_source(source, read_batches(source, "batch"))
    for fitted in (model, model.map(path, batch_key="batch")):
        with pytest.raises(ub.InputError, match="inputs are never overwritten"):
            fitted.save(path)
    assert path.read_bytes() == before


def test_an_unfitted_model_says_so(toy, tmp_path):
    for use in (lambda m: m.result, lambda m: m.save(tmp_path / "x.h5ad"), lambda m: m.adjust(toy.X, toy.obs["batch"])):
        with pytest.raises(ub.InputError, match="has not been fitted: call fit"):
            use(ub.BatchModel())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "no method 'magic'"),
        ({"min_cells": 0}, "min_cells is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"method": 3}, "is no method"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(ub.InputError, match=message):
        ub.BatchModel(**options)


@pytest.mark.parametrize(
    ("counts", "labels", "message"),
    [
        (np.ones((4, 2)), ["a", "b"], "2 batch labels for 4 cells"),
        (np.ones(4), ["a", "b", "a", "b"], "1 dimensions"),
        (np.ones((4, 2)), ["a"] * 4, "single batch"),
        (np.ones((4, 2)), ["a", None, "b", "b"], "no label"),
        (np.full((4, 2), 0.5), ["a", "a", "b", "b"], "not counts"),
    ],
)
def test_bad_input_is_refused(counts, labels, message):
    with pytest.raises(ub.InputError, match=message):
        ub.BatchModel().fit(counts, labels)


def test_adjusting_what_does_not_fit_is_refused(toy, model):
    with pytest.raises(ub.InputError, match=r"'batch_9' of .* not part of the fit .*'batch_1', 'batch_2', 'batch_3'"):
        model.adjust(toy.X[:2], ["batch_1", "batch_9"])
    with pytest.raises(ub.InputError, match=r"79 genes .* the model 80"):
        model.adjust(toy.X[:, :79], toy.obs["batch"])
    with pytest.raises(ub.InputError, match="not counts"):
        model.adjust(toy.X * 0.5, toy.obs["batch"])


def write_text(path):
    path.write_text("gene,cell\n")


def write_foreign(path):
    ad.AnnData(np.ones((2, 2)), obs=pd.DataFrame(index=["a", "b"])).write_h5ad(path)


def write_truncated(path):
    write_foreign(path)
    path.write_bytes(path.read_bytes()[:2000])


def write_nothing(path):
    assert not path.exists()


@pytest.mark.parametrize("write", [write_text, write_foreign, write_truncated, write_nothing])
def test_loading_anything_else_is_refused_by_name(tmp_path, write):
    path = tmp_path / "other.h5ad"
    write(path)
    with pytest.raises(ub.InputError, match=r"other\.h5ad"):
        ub.BatchModel.load(path)


def test_a_method_of_another_version_is_refused(model, tmp_path):
    changed = ub.BatchModel()
    changed._result = dataclasses.replace(model.result, method="future")
    changed.save(tmp_path / "model.h5ad")
    with pytest.raises(ub.InputError, match="method 'future', which this version lacks"):
        ub.BatchModel.load(tmp_path / "model.h5ad")
