"""Counts that were multiplied, or normalised and rounded, are noticed; others are not taken for such."""

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch import InputWarning
from unbatch.io.scaled import smallest_counts, warn_of_scaled


@pytest.fixture
def adata():
    return ub.simulate(n_cells=300, n_genes=400, median_depth=250, n_batches=3, seed=1)


def test_smallest_counts_are_those_of_cells_that_tell():
    dense = np.random.default_rng(0).poisson(0.4, (40, 200)) * 2
    dense[0], dense[1, :60], dense[2, 40:] = 0, 3, 0
    dense[1, 60:], dense[3] = 0, 5
    found = smallest_counts(sparse.csr_array(dense))
    for row, smallest in zip(dense, found, strict=True):
        seen = row[row > 0]
        assert smallest == (seen.min() if 50 <= seen.size < 100 else 0)
    assert found[:4].tolist() == [0, 3, 0, 0]
    assert (found > 0).sum() > 20


def test_an_empty_last_cell_and_no_cell_are_nothing():
    few = np.zeros((3, 200), dtype=int)
    few[1, :60] = 4
    assert smallest_counts(sparse.csr_array(few)).tolist() == [0, 4, 0]
    assert smallest_counts(sparse.csr_array((0, 200), dtype=np.float32)).tolist() == []


@pytest.mark.parametrize(
    ("share", "said"), [(0.6, r"12 of 20 cells of batch 'b' .* smallest is 3\): such"), (0.5, None), (0.0, None)]
)
def test_a_batch_is_named_if_most_of_its_cells_are_scaled(share, said, recwarn):
    batch = np.repeat([0, 1, 0], [30, 20, 4]).astype(np.int32)
    smallest = np.ones(54, dtype=np.int64)
    smallest[30 : 30 + round(20 * share)] = 3
    smallest[50:] = [0, 0, 2, 2]
    if said:
        with pytest.warns(InputWarning, match=said):
            warn_of_scaled(smallest, batch, batches=["a", "b"])
    else:
        warn_of_scaled(smallest, batch, batches=["a", "b"])
        assert not recwarn


def test_other_batches_are_counted():
    with pytest.warns(InputWarning, match=r"10 of 10 cells of batch 'a' .*, and of 1 other batches likewise: such"):
        warn_of_scaled(np.full(20, 2), np.repeat([0, 1], 10).astype(np.int32), batches=["a", "b"])


def scaled_in_one_batch(adata, how):
    counts, mine = adata.X.toarray(), np.array(adata.obs["batch"] == "batch_2")
    if how == "multiplied each":
        counts[mine] *= np.resize([2, 3], mine.sum())[:, None]
    else:
        counts[mine] = np.rint(1e4 * counts[mine] / counts[mine].sum(axis=1, keepdims=True))
    scaled = adata.copy()
    scaled.X = sparse.csr_matrix(counts)
    return scaled


@pytest.mark.parametrize("how", ["multiplied each", "normalised and rounded"])
def test_a_fit_names_it_and_mapping_and_inspect_do(adata, how, tmp_path):
    from typer.testing import CliRunner

    from unbatch.cli import app

    scaled, said = scaled_in_one_batch(adata, how), r"of batch 'batch_2' lack most genes, but none has a count of 1"
    with pytest.warns(InputWarning, match=said):
        ub.BatchModel().fit(scaled.X, scaled.obs["batch"])
    others = adata[adata.obs["batch"] != "batch_2"].copy()
    model = ub.BatchModel().fit(others.X, others.obs["batch"])
    new = scaled[scaled.obs["batch"] == "batch_2"].copy()
    new.var_names = model.result.var.index
    with pytest.warns(InputWarning, match=said):
        model.map(new, batch_key="batch")
    scaled.write_h5ad(tmp_path / "in.h5ad")
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "in.h5ad"), "-b", "batch"])
    assert done.exit_code == 0
    assert "of batch 'batch_2' lack most genes, but none has a count of 1" in done.stdout
    assert "Nothing stands in the way" in done.stdout
