"""Effects that are differences between cells are told from others, whatever their size and number."""

import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch.core.diagnostics.along_cells import share_along_cells

N_GENES, N_DIMS = 400, 20
RNG = np.random.default_rng(0)
BASIS = np.linalg.qr(RNG.standard_normal((N_GENES, N_DIMS)))[0] * (np.arange(N_GENES) < 300)[:, None]
SE = np.full((N_GENES, 1), 0.1)


def along(size=0.3):
    effects = BASIS @ RNG.standard_normal((N_DIMS, 1))
    return size * effects / np.sqrt(np.mean(effects[:300] ** 2))


def test_effects_along_the_axes_and_others():
    beside = 0.3 * RNG.standard_normal((N_GENES, 200))
    assert share_along_cells(BASIS, along(), SE)[0] == pytest.approx(1, abs=0.02)
    found = share_along_cells(BASIS, beside, np.full((N_GENES, 200), 0.1))
    assert np.mean(found) < 0.02  # 20 of 300 directions would have 0.07 by chance
    assert found.max() < 0.15
    half = share_along_cells(BASIS, along() + beside, np.full((N_GENES, 200), 0.1))
    assert np.mean(half) == pytest.approx(0.5, abs=0.03)


def test_what_is_common_to_all_genes_and_what_is_not_known_does_not_count():
    unknown, effects = SE.copy(), along() + 0.5
    unknown[:100] = np.inf
    effects[:100] = 7.0
    assert share_along_cells(BASIS, effects, unknown)[0] == pytest.approx(1, abs=0.05)


def test_small_effects_and_effects_of_few_genes_have_no_place():
    few = np.where(np.arange(N_GENES)[:, None] < 19, 0.1, np.inf)
    assert share_along_cells(BASIS, along(0.04), SE)[0] == 0
    assert share_along_cells(BASIS, along(), few)[0] == 0
    assert share_along_cells(np.zeros((N_GENES, 2)), along(), SE)[0] == 0


def test_a_type_that_is_taken_for_another_is_told():
    """A batch of one type alone, which of the others one has a few cells of: it is compared with the other type."""
    shares = [[0.93, 0.07], [1.0, 0.0], [0.0, 1.0]]
    options = {"n_types": 2, "n_batches": 3, "n_cells": 1500, "n_genes": 300, "median_depth": 2000, "variation": 0.1}
    adata = ub.simulate(composition=shares, log_delta_sd=0.0, marker_log_fold_sd=1.5, seed=119, **options)
    ub.tl.batch_effects(adata, batch_key="batch")
    verdicts = ub.get.diagnostics(adata, "verdicts").set_index("check")
    assert np.sqrt(np.mean(adata.varm["batch_effects"] ** 2)) > 0.3  # there are none
    assert verdicts.loc["effects", "verdict"] == "look here"
    assert "as if one type were compared with another (so with 3 of 3 batches)" in verdicts.loc["effects", "text"]
    adata.obs["type"] = pd.Categorical(adata.obs["cell_type"])
    ub.tl.batch_effects(adata, batch_key="batch", match_within="type")
    assert ub.get.diagnostics(adata, "verdicts").set_index("check").loc["effects", "verdict"] == "fine"
    assert np.sqrt(np.mean(adata.varm["batch_effects"] ** 2)) < 0.05
