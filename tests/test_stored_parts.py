"""Parts of a fit are read back as they were, also from files of before there was all of them."""

import dataclasses

import numpy as np
import pytest

import unbatch as ub
from unbatch.stored_fit import as_anndata, read_slots


@pytest.fixture(scope="module")
def fit():
    toy = ub.simulate(n_cells=90, n_genes=12, n_batches=3, seed=5)
    return ub.BatchModel().fit(toy.X, toy.obs["batch"]).result


def test_files_of_before_coordinates_were_centred_stay_as_they_were(fit):
    adata = as_anndata(fit)
    del adata.uns["unbatch"]["embedder"]["origin"]
    back = read_slots(adata).embedder
    np.testing.assert_array_equal(back.origin, np.zeros(fit.embedding.shape[1]))
    assert np.abs(fit.embedder.origin).max() > 0.1


def test_files_of_before_noise_was_taken_out_stay_as_they_were(fit):
    adata = as_anndata(fit)
    back = read_slots(adata).embedder.denoising
    for field in dataclasses.fields(back):
        np.testing.assert_array_equal(getattr(back, field.name), getattr(fit.embedder.denoising, field.name))
    del adata.uns["unbatch"]["embedder"]["denoising"]
    assert read_slots(adata).embedder.denoising is None
