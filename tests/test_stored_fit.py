"""What is written is read back."""

import dataclasses
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.stored_fit import as_anndata, read_slots, write_slots


@pytest.fixture(scope="module")
def fit():
    toy = ub.simulate(n_cells=90, n_genes=12, n_batches=3, seed=5)
    return (
        ub.BatchModel()
        .fit(toy.X, [["a/b", "été 🎈", ""][int(label[-1]) - 1] or "c" for label in toy.obs["batch"]])
        .result
    )


def same(left, right):
    if isinstance(left, pd.DataFrame):
        pd.testing.assert_frame_equal(left, right, check_dtype=False, check_categorical=False, check_names=False)
    elif isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            same(left[key], right[key])
    elif dataclasses.is_dataclass(left):
        assert type(left) is type(right)
        same(vars(left), vars(right))
    elif isinstance(left, tuple):
        same(dict(enumerate(left)), dict(enumerate(right)))
    else:
        assert left == right


@pytest.mark.parametrize("through_disk", [False, True])
def test_every_field_comes_back(fit, tmp_path, through_disk):
    adata = as_anndata(fit)
    if through_disk:
        adata.write_h5ad(tmp_path / "fit.h5ad")
        adata = ad.read_h5ad(tmp_path / "fit.h5ad")
    back = read_slots(adata)
    for field in dataclasses.fields(fit):
        same(getattr(fit, field.name), getattr(back, field.name))


def test_a_subset_of_cells_and_genes_keeps_its_rows(fit):
    part = as_anndata(fit)[10:40, [7, 2, 5]].copy()
    back = read_slots(part)
    for name in ("log_delta", "se", "measured", "mu", "basis"):
        np.testing.assert_array_equal(getattr(back, name), getattr(fit, name)[[7, 2, 5]])
    np.testing.assert_array_equal(back.sample, fit.sample[10:40])


def test_the_design_is_kept_also_by_a_subset(fit, tmp_path):
    design = {"reference": "a/b", "match_within": ("stim", "day"), "control_genes": ("g1", "g 2")}
    centred = fit.se + 0.5
    as_anndata(dataclasses.replace(fit, centred_se=centred, **design)).write_h5ad(tmp_path / "fit.h5ad")
    back = read_slots(ad.read_h5ad(tmp_path / "fit.h5ad")[:, [3, 1]].copy())
    assert {name: getattr(back, name) for name in design} == design
    np.testing.assert_array_equal(back.centred_se, centred[[3, 1]])
    assert "a/b" in ad.read_h5ad(tmp_path / "fit.h5ad").uns["unbatch"]["convention"]


def test_without_a_design_nothing_is_made_up(fit, tmp_path):
    as_anndata(fit).write_h5ad(tmp_path / "fit.h5ad")
    back = read_slots(ad.read_h5ad(tmp_path / "fit.h5ad"))
    assert (back.reference, back.centred_se, back.match_within, back.control_genes) == (None, None, (), ())


def test_files_of_before_there_were_designs_are_read(fit):
    adata = as_anndata(fit)
    for name in ("reference", "match_within", "control_genes"):
        del adata.uns["unbatch"][name]
    assert read_slots(adata).reference is None


def test_writing_does_not_change_the_annotation_that_the_fit_holds(fit):
    before = fit.obs.columns.tolist()
    as_anndata(fit)
    assert fit.obs.columns.tolist() == before


def test_a_second_fit_replaces_the_first(fit):
    adata = as_anndata(fit)
    write_slots(adata, dataclasses.replace(fit, stop_reason="other"))
    assert read_slots(adata).stop_reason == "other"
    assert list(adata.obs.columns).count("unbatch_sample") == 1


def test_an_index_that_bears_the_name_of_a_column_can_be_written(fit, tmp_path):
    var = fit.var.assign(symbol="other").rename_axis("symbol")
    as_anndata(dataclasses.replace(fit, var=var)).write_h5ad(tmp_path / "fit.h5ad")
    assert ad.read_h5ad(tmp_path / "fit.h5ad").var["symbol"].tolist() == ["other"] * 12
    assert var.index.name == "symbol"


def test_repeated_cell_names_were_warned_of_a_second_time_by_anndata(tmp_path):
    toy = ub.simulate(n_cells=90, n_genes=12, seed=5)
    toy.obs_names = ["twin", "twin", *toy.obs_names[2:]]
    toy.write_h5ad(tmp_path / "toy.h5ad")
    with pytest.warns(ub.InputWarning, match="'twin'"):
        source = open_counts(tmp_path / "toy.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ub.BatchModel().fit_source(source, read_batches(source, "batch")).save(tmp_path / "fit.h5ad")
        back = ub.BatchModel.load(tmp_path / "fit.h5ad").result
    assert back.obs.index.tolist()[:2] == ["twin", "twin"]
