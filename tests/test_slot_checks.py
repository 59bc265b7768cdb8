"""A model from elsewhere is looked at before it is used: each thing that cannot be is refused, and by its name."""

import re

import anndata as ad
import numpy as np
import pytest

import unbatch as ub
from unbatch._check import InputError
from unbatch.core.rounds import Rounds
from unbatch.stored_fit import as_anndata, read_slots


@pytest.fixture(scope="module")
def cells():
    adata = ub.simulate(n_cells=120, n_genes=25, n_batches=2, seed=6)
    adata.obs["condition"] = np.where(np.arange(120) % 2, "a", "b")
    return adata


@pytest.fixture(scope="module")
def whole(cells):
    fitted = cells.copy()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Rounds, "_better_together", lambda *_: True)  # so that all parts are there
        ub.tl.batch_effects(fitted, batch_key="batch", match_within="condition", state_specific=True)
    return as_anndata(read_slots(fitted))


@pytest.fixture
def stored(whole):
    return whole.copy()


def at(stored, path):
    """Give the group of a record and the name in it that a path leads to."""
    *groups, name = path.split("/")
    record = stored.uns["unbatch"]
    for group in groups:
        record = record[group]
    return record, name


def refused(stored, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_slots(stored, where="model.h5ad")
    assert str(caught.value).startswith("model.h5ad ")
    return str(caught.value)


def only(array, value):
    """Give an array with another value in its first place."""
    changed = np.array(array, dtype=np.result_type(array, np.min_scalar_type(value)))
    changed.flat[0] = value
    return changed


BY_RANGE = {
    "measured": 2,
    "batch_sizes": 0.5,
    "support": -0.1,
    "mu": np.nan,
    "basis": np.inf,
    "state_effects/steps": -128,
    "state_effects/unit": 1e300,
    "state_effects/sd": -1.0,
    "embedder/basis": np.nan,
    "embedder/centre": 1e4,
    "embedder/origin": np.nan,
    "embedder/rounds/0/centres": np.inf,
    "embedder/rounds/0/level": -1,
    "embedder/rounds/0/width": 0.0,
    "embedder/rounds/0/spread": np.nan,
    "embedder/rounds/0/target": -np.inf,
    "embedder/rounds/0/share": 1.5,
    "embedder/rounds/0/shift": np.nan,
    "embedder/denoising/centres": np.nan,
    "embedder/denoising/level": 0.5,
    "embedder/denoising/share": 1.5,
    "embedder/denoising/signal": 0.0,
    "embedder/denoising/noise": -1.0,
    "landmarks/shifts/0/centres": np.inf,
    "landmarks/shifts/0/level": -1,
    "landmarks/shifts/0/width": 0.0,
    "landmarks/shifts/0/spread": np.nan,
    "landmarks/shifts/0/target": -np.inf,
    "landmarks/shifts/0/share": 1.5,
    "landmarks/shifts/0/shift": np.nan,
    "landmarks/scale": 0.0,
    "landmarks/noise": -1.0,
    "landmarks/log_delta": 800.0,
    "landmarks/gene_shift": -800.0,
    "landmarks/exposure": -1.0,
    "landmarks/dispersion": 0.0,
    "landmarks/expression": np.nan,
    "landmarks/mean_logs": np.inf,
    "landmarks/embedding_logs": np.nan,
    "landmarks/centres": 1e300,
    "landmarks/spread": np.nan,
    "landmarks/level": 0.5,
    "landmarks/cells": -1.0,
    "landmarks/sizes": np.inf,
    "landmarks/support": 2,
    "landmarks/group": -2,
    "evidence/composition_factors": -1.0,
    "evidence/composition_strength": np.nan,
    "evidence/dispersion": np.nan,
    "trace/change": np.nan,
}
"""Of each, a value that it cannot have."""


@pytest.mark.parametrize(("path", "value"), BY_RANGE.items())
def test_a_value_out_of_range_is_refused(stored, path, value):
    record, name = at(stored, path)
    record[name] = only(record[name], value)
    message = refused(stored, "uns['unbatch']" + "".join(f"['{part}']" for part in path.split("/")))
    assert f"1 of {np.size(record[name])} values" in message


@pytest.mark.parametrize("path", [path for path in BY_RANGE if path not in {"evidence/dispersion", "trace/change"}])
def test_another_shape_is_refused(stored, path):
    record, name = at(stored, path)
    record[name] = np.zeros((3, 1, 2, 1))
    assert "is of shape (3, 1, 2, 1) where (" in refused(stored, f"['{name}'] is of shape")


@pytest.mark.parametrize("path", ["mu", "landmarks/centres", "embedder/basis", "trace/change", "state_effects/unit"])
@pytest.mark.parametrize("value", ["text", {"a": 1}, np.array(["x", "y"], dtype=object), 1j])
def test_what_is_no_number_is_refused(stored, path, value):
    record, name = at(stored, path)
    record[name] = value
    refused(stored, f"['{name}'] is no array of numbers")


@pytest.mark.parametrize("path", ["basis", "landmarks/centres", "landmarks/shifts/0/shift", "embedder/rounds/0/shift"])
def test_parts_that_do_not_fit_together_are_refused(stored, path):
    record, name = at(stored, path)
    record[name] = record[name][..., :-1]
    refused(stored, " is of shape (")


@pytest.mark.parametrize("group", ["parameters", "trace", "landmarks", "embedder", "state_effects", "evidence"])
def test_an_array_in_the_place_of_a_group_is_refused(stored, group):
    stored.uns["unbatch"][group] = np.zeros(3)
    refused(stored, f"uns['unbatch']['{group}'] is no group")


@pytest.mark.parametrize("path", ["batches", "genes", "batch_key", "landmarks/level_names"])
def test_names_that_are_no_texts_are_refused(stored, path):
    record, name = at(stored, path)
    record[name] = np.arange(len(record[name]))
    refused(stored, f"['{name}'] is no list of names")


@pytest.mark.parametrize("path", ["batches", "genes", "landmarks/level_names"])
def test_names_that_are_there_twice_are_refused(stored, path):
    record, name = at(stored, path)
    record[name] = np.array([record[name][0]] * len(record[name]), dtype=object)
    refused(stored, f"{len(record[name]) - 1} of {len(record[name])} names in")


@pytest.mark.parametrize("name", ["reference", "too_small"])
def test_a_batch_that_is_none_is_refused(stored, name):
    stored.uns["unbatch"][name] = "nobody" if name == "reference" else np.array(["nobody"], dtype=object)
    refused(stored, "'nobody' is taken for one of its batches")


@pytest.mark.parametrize("value", ["text", -1, 0.5, np.nan, True, None, np.zeros(3)])
@pytest.mark.parametrize("name", ["min_cells", "seed"])
def test_a_parameter_that_cannot_be_is_refused(stored, name, value):
    stored.uns["unbatch"]["parameters"][name] = value
    refused(stored, f"uns['unbatch']['parameters']['{name}'] is")


def test_indices_beyond_what_they_point_to_are_refused(stored):
    record = stored.uns["unbatch"]
    n_states = record["mu"].shape[1]
    stored.obs["unbatch_sample"] = np.full(stored.n_obs, n_states)
    refused(stored, f"120 of 120 values of obs['unbatch_sample'] are no whole numbers from -1 to {n_states - 1}")
    stored.obs["unbatch_sample"] = np.full(stored.n_obs, n_states - 1)
    read_slots(stored)
    level = record["landmarks"]["level"]
    record["landmarks"]["level"] = np.full_like(level, 2)
    refused(stored, "uns['unbatch']['landmarks']['level'] has a condition beyond the 2 that there are")
    record["landmarks"]["level"] = level
    record["embedder"]["rounds"]["0"]["level"] = record["embedder"]["rounds"]["0"]["level"] + 2
    refused(stored, "uns['unbatch']['embedder']['rounds']['0']['level'] has a condition beyond the 2")


def test_a_state_of_the_denoising_in_no_condition_is_refused(stored):
    record = stored.uns["unbatch"]
    record["embedder"]["denoising"]["level"] = record["embedder"]["denoising"]["level"] + 2
    refused(stored, "uns['unbatch']['embedder']['denoising']['level'] has a condition beyond the 2")


def test_more_groups_than_batches_are_refused(stored):
    stored.uns["unbatch"]["landmarks"]["group"] = np.array([0, 2])
    refused(stored, "uns['unbatch']['landmarks']['group'] has more groups than batches")


def test_more_factors_than_states_are_refused(stored):
    evidence = stored.uns["unbatch"]["evidence"]
    evidence["composition_factors"], evidence["composition_strength"] = np.array([1e12]), np.array([1.0])
    refused(stored, "is said to have 1e+12 factors")
    evidence["composition_factors"] = np.array([0.0])
    refused(stored, "is said to have 0 factors")


@pytest.mark.parametrize("entry", [(0, 0), (0, 1)])
def test_what_is_no_covariance_is_refused(stored, entry):
    stored.uns["unbatch"]["landmarks"]["spread"][0][entry] -= 1.0  # a negative variance, and one half changed
    refused(stored, "uns['unbatch']['landmarks']['spread'] holds what is no covariance")


@pytest.mark.parametrize("name", ["0", "4"])
def test_a_round_that_is_missing_is_refused(stored, name):
    rounds = stored.uns["unbatch"]["embedder"]["rounds"]
    rounds["7"] = rounds.pop(name)
    refused(stored, "uns['unbatch']['embedder']['rounds'] are not numbered from 0 on")


@pytest.mark.parametrize("path", ["embedder/basis", "embedder/rounds/0/width", "evidence/composition_factors"])
def test_a_part_that_is_missing_is_refused(stored, path):
    record, name = at(stored, path)
    del record[name]
    refused(stored, f"['{name}'] is missing")


@pytest.mark.parametrize("name", ["batch_effects", "batch_effects_se"])
def test_effects_that_cannot_be_are_refused(stored, name):
    stored.varm[name] = only(stored.varm[name], np.nan)
    refused(stored, f"1 of 50 values of varm['{name}'] are NaN")
    stored.varm[name] = only(stored.varm[name], -1e6)
    refused(stored, f"1 of 50 values of varm['{name}'] are no numbers from ")


def test_repeated_gene_names_are_refused(stored):
    stored.var_names = [stored.var_names[0]] * stored.n_vars
    refused(stored, "gene names occur more than once")


def test_a_model_of_another_method_with_states_is_not_mapped_onto(stored, cells, tmp_path):
    record = stored.uns["unbatch"]
    record["method"] = "concept"
    record["parameters"] = {"n_dims": 5, "n_neighbors": 3, "max_iter": 10, "tol": 1e-6, "min_cells": 2, "seed": 0}
    stored.write_h5ad(tmp_path / "model.h5ad")
    with pytest.raises(InputError, match="holds states, but says it is of method 'concept'"):
        ub.BatchModel.load(tmp_path / "model.h5ad").map(cells, batch_key="batch")


@pytest.mark.parametrize("own", [{"n_dims": "many"}, {"caliper": np.nan}, {"colour": 3}, {"max_rounds": 0}])
def test_options_that_cannot_be_are_refused_when_a_model_is_loaded(stored, tmp_path, own):
    stored.uns["unbatch"]["parameters"] |= own
    stored.write_h5ad(tmp_path / "model.h5ad")
    with pytest.raises(InputError, match=next(iter(own))):
        ub.BatchModel.load(tmp_path / "model.h5ad")


def test_a_model_that_asks_for_endless_rounds_does_not_get_them(stored, cells, tmp_path, monkeypatch):
    monkeypatch.setattr("unbatch.mapping._MOST_ROUNDS", 3)
    stored.uns["unbatch"]["parameters"] |= {"max_rounds": 10**15, "tol": 1e-300}
    stored.write_h5ad(tmp_path / "model.h5ad")
    new = cells.copy()
    new.obs["batch"] = "new"
    found = ub.BatchModel.load(tmp_path / "model.h5ad").map(new, batch_key="batch").result
    assert len(found.trace["change"]) == 3


def test_numbers_that_contradict_each_other_give_no_nan(stored, cells, tmp_path, monkeypatch):
    """Each is in its range, but not with the others; what could still come of it is no answer."""
    stored.write_h5ad(tmp_path / "model.h5ad")
    model = ub.BatchModel.load(tmp_path / "model.h5ad")
    monkeypatch.setattr("unbatch.mapping._effects", lambda *_: (np.full((25, 2), np.nan), np.ones((25, 2))))
    with pytest.raises(InputError, match=r"contradict each other \(50 results are not finite\)"):
        model.map(cells, batch_key="batch")


def test_a_fit_that_was_stored_is_sound(whole, tmp_path):
    whole.write_h5ad(tmp_path / "model.h5ad")
    read_slots(ad.read_h5ad(tmp_path / "model.h5ad"))
