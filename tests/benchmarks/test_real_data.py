"""The table of real data measures what it says."""

import dataclasses

import numpy as np
import pytest
from scipy import sparse

import real_data
from unbatch.demo.measures import Mixing
from unbatch.simulation import simulate

ROW = real_data.Row(
    name="some",
    n_cells=1234,
    n_genes=567,
    n_batches=3,
    plain=Mixing(before=0.9, after=0.6, expected=0.5),
    sized=Mixing(before=0.91, after=0.61, expected=0.5),
    published=0.65,
    by_type=0.55,
    purity=(0.8, 0.82),
    fit_seconds=1.25,
    adjust_seconds=0.5,
    source="`there` (MIT)",
)


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    adata = simulate(n_cells=300, n_genes=100, seed=1)
    adata.uns["source"] = np.array(["somebody/somewhere"], dtype=object)
    path = tmp_path_factory.mktemp("data") / "small.h5ad"
    adata.write_h5ad(path)
    return real_data.measure(path, method="matched")


def test_a_file_is_fitted_adjusted_and_measured_by_the_command_line(row):
    assert (row.name, row.n_cells, row.n_genes, row.n_batches) == ("small", 300, 100, 2)
    assert row.plain.before > 0.95
    assert row.plain.expected < row.plain.after < row.plain.before - 0.2
    assert row.plain.expected < row.published < row.plain.before - 0.2
    assert row.by_type < row.plain.before - 0.2
    assert min(row.purity) > 0.3
    assert min(row.fit_seconds, row.adjust_seconds) > 0.1
    assert row.source == "`somebody/somewhere` (licence not said)"


def test_factors_per_type_take_out_what_differs_from_type_to_type():
    rng = np.random.default_rng(0)
    batch, types = (np.tile(codes, 100).astype(np.int32) for codes in ([0, 1, 0, 1], [0, 0, 1, 1]))
    factor = np.exp(rng.normal(size=(2, 2, 40)))
    counts = sparse.csr_array(rng.poisson(2000 * factor[batch, types]).astype(np.float64))
    assert real_data._share_by_type(counts, batch, types) < 0.7


def test_the_way_runs_from_the_share_before_to_mixed():
    assert ROW.way == pytest.approx(0.75)
    mixed = dataclasses.replace(ROW, plain=Mixing(before=0.5, after=0.5, expected=0.5))
    assert mixed.way == 1.0


def test_the_page_has_every_number_and_a_word_on_sets_that_hardly_move(monkeypatch):
    monkeypatch.setitem(real_data.REMARKS, "stuck", "it is stuck.")
    still = Mixing(before=0.9, after=0.89, expected=0.5)
    rows = [ROW, *(dataclasses.replace(ROW, name=name, plain=still) for name in ("stuck", "new"))]
    page = real_data.page(rows, method="matched")
    line = "| some | 1,234 | 567 | 3 | 0.500 | 0.900 → 0.600 | 75% | 0.910 → 0.610 | 0.650 | 0.550 | 0.80 → 0.82 |"
    assert line in page
    assert "- **stuck** (0.900 → 0.890): it is stuck." in page
    assert "- **new** (0.900 → 0.890): not looked into." in page
    assert "**some** (" not in page
    assert "- **some**: `there` (MIT)" in page
    assert "METHOD=matched" in page


def test_the_page_says_so_if_every_share_falls_and_marks_what_has_no_labels():
    page = real_data.page([dataclasses.replace(ROW, published=None, by_type=None, purity=None)], method="concept")
    assert "It covers at least 25% of the way on every set." in page
    assert "| - | - | - | 1.2 | 0.5 |" in page
