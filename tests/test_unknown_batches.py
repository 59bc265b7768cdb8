"""Cells whose batch has no effect that is known go through as they are, and it is told."""

import anndata as ad
import numpy as np
import pytest
from typer.testing import CliRunner

import unbatch as ub
from unbatch.cli import app


@pytest.fixture(scope="module")
def fitted():
    """Batch 3 shares no type with the others, batch 4 is of one cell."""
    shares = [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    adata = ub.simulate(
        n_cells=800, n_genes=100, n_batches=3, n_types=4, composition=shares, log_delta_sd=0.5, median_depth=800, seed=1
    )
    adata.obs["batch"] = adata.obs["batch"].astype(str)
    adata.obs.iloc[0, adata.obs.columns.get_loc("batch")] = "batch_4"
    with pytest.warns(ub.InputWarning):
        ub.tl.batch_effects(adata, batch_key="batch")
    known = np.isfinite(adata.varm["batch_effects_se"]).any(axis=0)
    assert known.tolist() == [True, True, False, False]
    return adata


def said(adata):
    n_cells = adata.obs["batch"].isin(["batch_3", "batch_4"]).sum()
    return rf"of the batches of {n_cells} cells no effect is known \('batch_3', 'batch_4'\): their counts are left as"


@pytest.mark.parametrize("mode", ["scale", "thin"])
def test_cells_that_are_not_adjusted_are_told_once(fitted, mode):
    adata = fitted.copy()
    with pytest.warns(ub.InputWarning, match=said(adata)) as told:
        ub.pp.adjust_counts(adata, mode=mode)
    assert len(told) == 1
    unknown = adata.obs["batch"].isin(["batch_3", "batch_4"]).to_numpy()
    changed = (adata.layers["adjusted"] != adata.X).tocsr()
    assert changed[unknown].nnz == 0
    assert changed[~unknown].nnz > 0
    with pytest.warns(ub.InputWarning, match=said(adata)) as told:  # also where adjusted layers are looked at
        ub.pp.adjust_counts(adata, mode=mode, key_added="again")
    assert len(told) == 1


def test_cells_of_known_batches_are_not_told_of(fitted):
    ub.pp.adjust_counts(fitted[fitted.obs["batch"].isin(["batch_1", "batch_2"])].copy())


def test_the_command_line_tells_it_in_one_line(fitted, tmp_path):
    adata = fitted.copy()
    ad.AnnData(adata.X, obs=adata.obs[["batch"]], var=adata.var[[]]).write_h5ad(tmp_path / "in.h5ad")
    adata.write_h5ad(tmp_path / "fit.h5ad")
    given = ["adjust", "in.h5ad", "--model", "fit.h5ad", "--output", "out.h5ad"]
    done = CliRunner().invoke(app, [str(tmp_path / word) if word.endswith("h5ad") else word for word in given])
    assert done.exit_code == 0
    assert len(done.stderr.splitlines()) == 1
    assert "no effect is known ('batch_3', 'batch_4')" in done.stderr
