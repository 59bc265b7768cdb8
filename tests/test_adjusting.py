"""Effects find their genes and batches by name, or the user is told which name is missing."""

from contextlib import contextmanager

import anndata as ad
import numpy as np
import pytest

import unbatch as ub
from unbatch._check import InputError
from unbatch._progress import Silent
from unbatch.adjusting import Adjustment
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts


@pytest.fixture(scope="module")
def toy():
    adata = ub.simulate(n_cells=120, n_genes=20, n_batches=2, seed=2)
    adata.obs["lane"] = ["x", "y", "y"] * 40
    return adata


def fitted(data, key):
    source = open_counts(data)
    return ub.BatchModel().fit_source(source, read_batches(source, key)).result


def adjusted(data, fit):
    return np.vstack([block.counts.toarray() for block in Adjustment(open_counts(data), fit).blocks()])


def test_genes_are_found_by_name(toy):
    fit = fitted(toy, "batch")
    shuffled = toy[:, ::-1].copy()
    np.testing.assert_array_equal(adjusted(shuffled, fit), adjusted(toy, fit)[:, ::-1])
    np.testing.assert_array_equal(adjusted(toy[:, 3:9].copy(), fit), adjusted(toy, fit)[:, 3:9])


def test_a_gene_that_was_not_fitted_is_refused(toy):
    fit = fitted(toy[:, :18].copy(), "batch")
    with pytest.raises(InputError, match=r"2 of 20 genes .* not part of the fit \(first: 'gene_19'\)"):
        adjusted(toy, fit)


def test_several_columns_name_a_batch_as_in_the_fit(toy):
    fit = fitted(toy, ["batch", "lane"])
    assert len(fit.batches) == 4
    column = {name: k for k, name in enumerate(fit.batches)}
    codes = [column[f"{batch} | {lane}"] for batch, lane in zip(toy.obs["batch"], toy.obs["lane"], strict=True)]
    np.testing.assert_allclose(adjusted(toy, fit), toy.X.toarray() / fit.delta[:, codes].T, rtol=1e-6)


@pytest.mark.parametrize("labels", [[1, 2], [1.5, 2.5], [True, False]])
def test_labels_that_are_not_text_are_found_again(toy, labels):
    adata = toy.copy()
    adata.obs["number"] = [labels[lane == "x"] for lane in adata.obs["lane"]]
    fit = fitted(adata, "number")
    assert set(fit.batches) == {str(label) for label in labels}
    assert adjusted(adata, fit).shape == (120, 20)


def test_labels_joined_in_a_second_place_let_empty_ones_pass(toy):
    fit = fitted(toy, ["batch", "lane"])
    other = toy.copy()
    other.obs["lane"] = ["x", "", "y"] * 40
    with pytest.raises(InputError, match=r"obs\['lane'\] .* no label for 40 of 120 cells"):
        adjusted(other, fit)


def test_a_single_cell_can_be_adjusted(toy):
    fit = fitted(toy, ["batch", "lane"])
    np.testing.assert_array_equal(adjusted(toy[7:8].copy(), fit), adjusted(toy, fit)[7:8])


def test_one_of_the_files_that_were_batches_can_be_adjusted_alone(toy, tmp_path):
    for name, rows in {"one": slice(0, 60), "two": slice(60, 120)}.items():
        toy[rows].copy().write_h5ad(tmp_path / f"{name}.h5ad")
    fit = fitted([tmp_path / "one.h5ad", tmp_path / "two.h5ad"], None)
    together = adjusted([tmp_path / "one.h5ad", tmp_path / "two.h5ad"], fit)
    np.testing.assert_array_equal(adjusted(tmp_path / "two.h5ad", fit), together[60:])


def test_a_missing_column_lists_the_columns(toy):
    fit = fitted(toy, "batch")
    other = toy.copy()
    other.obs = other.obs.rename(columns={"batch": "sample"})
    with pytest.raises(InputError, match=r"no obs column 'batch'.*'sample'"):
        adjusted(other, fit)


def test_a_missing_label_is_counted(toy):
    fit = fitted(toy, "batch")
    other = toy.copy()
    labels = other.obs["batch"].astype(object)
    labels.iloc[[4, 9]] = None
    other.obs["batch"] = labels
    with pytest.raises(InputError, match=r"no label for 2 of 120 cells"):
        adjusted(other, fit)


def test_unknown_batches_are_counted(toy):
    fit = fitted(toy, "batch")
    other = ad.concat([toy, toy[:5]], index_unique="-")
    other.obs["batch"] = [*toy.obs["batch"], *["new"] * 5]
    with pytest.raises(InputError, match=r"'new' .*\(1 such batches, 5 cells\): the fit knows 'batch_1', 'batch_2'"):
        adjusted(other, fit)


def test_nothing_is_read_before_the_names_are_checked(toy):
    fit = fitted(toy, "batch")
    other = toy.copy()
    other.obs["batch"] = "new"
    other.X = toy.X * 0.5
    with pytest.raises(InputError, match="was not part of the fit"):
        Adjustment(open_counts(other), fit)


def test_progress_counts_the_cells(toy):
    told = []

    class Told(Silent):
        @contextmanager
        def stage(self, name, *, total=None):
            told.append((name, total))
            yield told.append

    fit = fitted(toy, "batch")
    two = [toy[:50].copy(), toy[50:].copy()]
    assert len(list(Adjustment(open_counts(two), fit, progress=Told()).blocks())) == 2
    assert told == [("adjusting counts", 120), 50, 70]
