"""What the README tells users to type must run."""

import re
import shlex
import sys
from pathlib import Path
from unittest.mock import MagicMock

import anndata
import matplotlib as mpl
import numpy as np
import pytest

import unbatch as ub
from unbatch.__main__ import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    mpl.use("agg")
    monkeypatch.chdir(tmp_path)
    adata = ub.simulate(n_cells=120, n_genes=40, n_types=2, seed=1)
    adata.obs["donor"] = np.where(np.arange(120) % 2, "a", "b")
    adata.write_h5ad("cells.h5ad")
    return tmp_path


def test_the_commands_run(folder, monkeypatch):
    commands = [line for block in blocks("") for line in block.splitlines() if line.startswith("unbatch ")]
    assert [command.split()[1] for command in commands] == ["fit", "adjust", "report"]
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
    assert (folder / "adjusted.h5ad").is_file()
    assert (folder / "fit.html").is_file()


@pytest.mark.usefixtures("folder")
def test_the_workflow_runs_and_hands_scanpy_the_embedding(monkeypatch):
    import matplotlib.pyplot as plt

    scanpy = MagicMock()
    scanpy.read_h5ad = anndata.read_h5ad
    monkeypatch.setitem(sys.modules, "scanpy", scanpy)
    names = {}
    for block in blocks("python"):
        exec(block, names)  # noqa: S102 - our own README
    plt.close("all")
    adata, sums = names["adata"], names["sums"]
    scanpy.pp.neighbors.assert_called_once_with(adata, use_rep="X_unbatch")
    assert adata.obsm["X_unbatch"].shape[0] == adata.n_obs
    adjusted = adata.layers["adjusted"].toarray()
    np.testing.assert_allclose(adjusted, adata.X.toarray() / np.exp(adata.layers["log_delta"]), rtol=1e-5)
    assert sums.shape == (4, 40)
    assert {"exposure", "n_cells"} <= set(sums.obs)


def test_its_links_lead_somewhere_and_it_is_short_on_python():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).is_file(), target
    lines = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 10
