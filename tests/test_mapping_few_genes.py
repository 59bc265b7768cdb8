"""New batches of a few genes of the fit: which state a cell is of stays open, and effects and errors know it."""

import numpy as np
import pytest

import unbatch as ub
from unbatch.core import uncertain_states
from unbatch.core.convention import weighted_median
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts

pytestmark = pytest.mark.filterwarnings("ignore::unbatch.InputWarning")


@pytest.fixture(scope="module")
def made():
    adata = ub.simulate(
        n_cells=3000,
        n_genes=500,
        n_batches=4,
        n_types=5,
        composition=0.5,
        log_delta_sd=0.5,
        median_depth=500,
        size_factor_sd=0.3,
        seed=2,
    )
    last = (adata.obs["batch"] == "batch_4").to_numpy()
    source = open_counts(adata[~last].copy())
    model = ub.BatchModel().fit_source(source, read_batches(source, "batch"))
    return adata, model, last


def scores(made, n_genes):
    """Root mean square error, and that of the error over its standard error, in the convention of the output."""
    adata, model, last = made
    panel = np.sort(np.random.default_rng(2).permutation(500)[:n_genes])
    new = adata[last][:, panel].copy()
    new = new[np.asarray(new.X.sum(axis=1)).ravel() > 0].copy()
    mapped = model.map(new).result
    true = adata.varm["log_delta_true"][panel]
    true = true[:, 3] - true[:, :3].mean(axis=1)
    se, weights = mapped.se[:, 0], np.asarray(adata[~last].X.sum(axis=0)).ravel()[panel].astype(float)
    weights *= np.isfinite(se)
    off = mapped.log_delta[:, 0] - true
    off -= weighted_median(mapped.log_delta[:, 0], weights) - weighted_median(true, weights)
    told = np.isfinite(se) & (np.asarray(new.X.sum(axis=0)).ravel() > 50)
    return float(np.sqrt(np.mean(off[told] ** 2))), float(np.sqrt(np.mean((off / se)[told] ** 2)))


@pytest.mark.parametrize("n_genes", [30, 60])
def test_effects_and_errors_of_a_small_panel(made, n_genes):
    error, scaled = scores(made, n_genes)
    assert error < 0.2
    assert scaled < 1.5


@pytest.mark.parametrize("n_genes", [30, 60])
def test_to_take_states_for_known_would_be_wrong(made, n_genes, monkeypatch):
    monkeypatch.setattr(uncertain_states, "_MOST_LOST", np.inf)
    error, scaled = scores(made, n_genes)
    assert error > 0.3
    assert scaled > 2


def test_many_genes_tell_states(made, monkeypatch):
    """To the same bits as if no cell were ever shared out."""
    found = scores(made, 500)
    monkeypatch.setattr(uncertain_states, "_MOST_LOST", np.inf)
    assert found == scores(made, 500)
