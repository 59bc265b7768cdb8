"""What effects tell of unseen cells is what it says, and the right ones tell most."""

import numpy as np
import pytest

import unseen_cells
from unbatch.simulation import simulate

N_GENES = 60


@pytest.fixture(scope="module")
def problem():
    adata = simulate(n_genes=N_GENES, n_cells=600, n_types=3, n_batches=3, log_delta_sd=0.6, median_depth=600, seed=1)
    batch, cell_type = (np.array(adata.obs[key].cat.codes, dtype=np.int32) for key in ("batch", "cell_type"))
    data = unseen_cells.Data(unseen_cells.sparse.csr_array(adata.X).astype(float), batch, cell_type, 3)
    return data, np.array(adata.varm["log_delta_true"])


def test_the_effects_that_are_there_tell_most(problem):
    data, truth = problem
    told = [unseen_cells.gain(data, factor * truth) for factor in (0, 0.5, 1, 1.5)]
    assert told[0] == 0
    assert max(told) == told[2]
    assert unseen_cells.gain(data, -truth) < 0
    assert unseen_cells.gain(data, np.random.default_rng(0).permutation(truth)) < 0.2 * told[2]


def test_what_all_genes_of_a_batch_or_all_batches_of_a_gene_have_tells_nothing(problem):
    data, truth = problem
    shifted = truth + np.array([1.0, -2.0, 0.5]) + np.random.default_rng(1).standard_normal((N_GENES, 1))
    assert unseen_cells.gain(data, shifted) == pytest.approx(unseen_cells.gain(data, truth), rel=1e-6)


def test_a_type_that_one_batch_has_alone_tells_nothing(problem):
    data, truth = problem
    alone = unseen_cells.Data(data.counts, data.batch, data.batch, 3)
    assert unseen_cells.gain(alone, truth) == 0


def test_the_division_is_the_likelihood_of_shares_that_have_both_totals():
    counts = np.array([[30.0, 10.0], [5.0, 25.0], [0.0, 0.0]])
    odds = 3.0  # expected [[40 p, 40 (1 - p)], [30 q, 30 (1 - q)]] with columns 35 and 35, and this ratio of odds
    found = unseen_cells.divided(counts, np.log(np.array([[odds, 1.0], [1.0, 1.0], [1.0, 1.0]])))
    p = np.linspace(0.01, 0.86, 1_000_001)
    q = (35 - 40 * p) / 30
    at = np.argmin(np.abs(p / (1 - p) / (q / (1 - q)) - odds))
    expected = 30 * np.log(p[at]) + 10 * np.log(1 - p[at]) + 5 * np.log(q[at]) + 25 * np.log(1 - q[at])
    assert found == pytest.approx(expected, abs=1e-3)


def test_files_are_read_fitted_and_tabulated(tmp_path, monkeypatch, capsys):
    adata = simulate(n_genes=N_GENES, n_cells=400, n_types=3, n_batches=2, median_depth=600, seed=2)
    adata.write_h5ad(tmp_path / "mine.h5ad")
    del adata.obs["cell_type"]
    adata.write_h5ad(tmp_path / "unlabelled.h5ad")
    page = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["unseen_cells.py", "--data", str(tmp_path), "--seeds", "1", "--output", str(page)])
    assert unseen_cells.main() == 0
    text = page.read_text()
    assert text == capsys.readouterr().out.rstrip("\n") + "\n"
    (line,) = [line for line in text.splitlines() if line.startswith("| mine |")]
    told = [float(cell) for cell in line.strip("|").split("|")[3:]]
    assert len(told) == len(unseen_cells.METHODS)
    assert min(told) > 0
