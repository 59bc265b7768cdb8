"""What the how-to pages tell users to type runs, and finds what it says."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import unbatch as ub
from unbatch.__main__ import main

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "adjusted-counts.md").read_text()


def blocks(language):
    fenced = re.findall(r"^```(\S*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [block for label, block in fenced if label == language]


@pytest.fixture(scope="module")
def names():
    """What the Python of the page leaves behind."""
    found = {}
    for block in blocks("python"):
        exec(block, found)  # noqa: S102 - our own page
    return found


def test_the_offset_leaves_the_treatment_and_takes_the_batch(names):
    table, place = names["table"], names["place"]
    of_gene = place[names["adata"].var_names.get_indexer(table["gene"])]
    truth = np.select([of_gene == 0, of_gene == 10], [np.log(1.8), -np.log(1.8)], 0.0)
    z, responds = (table["log_fold"] - truth) / table["se"], truth != 0
    assert responds.sum() >= 10
    assert np.abs(table["log_fold"] - truth)[responds].mean() < 0.06
    assert np.mean(np.abs(z) < 1.96) > 0.9
    assert (table["pvalue"][responds] < 0.01).mean() > 0.9
    assert (table["pvalue"][~responds] < 0.01).mean() < 0.05


def test_without_the_offset_the_batch_is_in_the_residuals(names):
    sums = ub.get.pseudobulks(names["adata"], groupby=["donor", "treated", "batch"])
    rates = np.log((sums.X + 0.5) / sums.obs["exposure"].to_numpy()[:, None])
    loud = sums.X.sum(axis=0) > 1000
    apart = {}
    for name, values in {"raw": rates, "offset": rates - sums.layers["log_delta"]}.items():
        one, two = (values[(sums.obs["batch"] == batch).to_numpy()].mean(axis=0) for batch in ("batch_1", "batch_2"))
        apart[name] = np.sqrt(np.mean((one - two)[loud] ** 2))
    assert apart["raw"] > 1.0
    assert apart["offset"] < 0.1


def test_the_commands_run(tmp_path, monkeypatch):
    adata = ub.simulate(n_cells=200, n_genes=30, n_types=2, seed=1)
    adata.obs["donor"] = np.tile(["one", "two"], 100)
    monkeypatch.chdir(tmp_path)
    adata.write_h5ad("cells.h5ad")
    commands = [line for block in blocks("") for line in block.splitlines() if line.startswith("unbatch ")]
    assert [command.split()[1] for command in commands] == ["fit", "adjust", "adjust", "offsets"]
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
    assert (tmp_path / "sums.h5ad").is_file()
