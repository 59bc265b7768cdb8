"""Where a gene was counted by cells that are compared: elsewhere nothing is known of its effect."""

import numpy as np
import pytest

import unbatch as ub

pytestmark = pytest.mark.filterwarnings("ignore::unbatch.InputWarning")


def test_a_gene_that_only_a_private_state_expresses_is_unknown():
    adata = ub.simulate(
        n_cells=1500, n_genes=150, n_batches=3, n_types=4, median_depth=1500, private_types={3: 2}, seed=4
    )
    counts = adata.X.toarray()
    counts[(adata.obs["cell_type"] != "type_4").to_numpy(), 7] = 0
    counts[(adata.obs["cell_type"] == "type_4").to_numpy(), 7] = 3
    adata.X = counts
    assert adata.obs["batch"][adata.obs["cell_type"] == "type_4"].nunique() == 1
    ub.tl.batch_effects(adata, batch_key="batch")
    assert np.isinf(adata.varm["batch_effects_se"][7]).all()
    assert not adata.varm["batch_effects"][7].any()
    assert np.isfinite(adata.varm["batch_effects_se"]).mean() > 0.9


def test_a_gene_that_one_group_of_batches_does_not_count_is_unknown_there():
    adata = ub.simulate(n_cells=1600, n_genes=150, n_batches=4, n_types=3, median_depth=1500, seed=4)
    adata.obs["condition"] = np.where(adata.obs["batch"].isin(["batch_1", "batch_2"]), "x", "y")
    gene = int(np.asarray(adata.X.sum(axis=0)).ravel().argmax())
    counts = adata.X.toarray()
    counts[(adata.obs["condition"] == "y").to_numpy(), gene] = 0
    adata.X = counts
    ub.tl.batch_effects(adata, batch_key="batch", match_within="condition")
    assert np.isfinite(adata.varm["batch_effects_se"][gene]).tolist() == [True, True, False, False]
