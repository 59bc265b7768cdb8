"""Which cell of the fit a cell is: by its name and its batch, as they are there."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from unbatch.fitted_cells import fitted_rows
from unbatch.io.source import open_counts


def cells(*names):
    return AnnData(np.ones((len(names), 2), dtype=np.float32), obs=pd.DataFrame(index=list(names)))


def fit_of(names, batch, batches=("run1", "run2")):
    codes = None if batch is None else np.array(batch, dtype=np.int32)
    return SimpleNamespace(obs=pd.DataFrame(index=list(names)), batch=codes, batches=batches)


def test_a_cell_of_the_fit_has_its_name_and_its_batch():
    fit = fit_of(["a", "b", "c"], [0, 0, 1])
    rows = fitted_rows(open_counts(cells("c", "b", "a", "d")), fit, np.array([1, 1, 0, 0], dtype=np.int32))
    assert rows.tolist() == [2, -1, 0, -1]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cells_that_share_a_name_are_told_apart_by_their_batches():
    fit = fit_of(["a", "a", "b", "b"], [0, 1, 1, 1])
    rows = fitted_rows(open_counts(cells("b", "a", "a")), fit, np.array([1, 1, 0], dtype=np.int32))
    assert rows.tolist() == [2, 1, 0]


def test_a_fit_that_kept_no_batches_is_searched_by_name():
    rows = fitted_rows(open_counts(cells("b", "c")), fit_of("ab", None), np.array([1, 1], dtype=np.int32))
    assert rows.tolist() == [1, -1]


@pytest.fixture
def files(tmp_path):
    """Three files with cells of the same names, and one of its own each."""
    paths = [tmp_path / f"{name}.h5ad" for name in ("lab1/d1", "lab1/d2", "lab2/d1")]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        cells("AC-1", f"own{number}-1").write_h5ad(path)
    return paths


@pytest.mark.parametrize("together", [(0,), (0, 1), (2, 1), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("fitted", [(0, 1), (2, 0, 1)])
def test_cells_whose_names_clash_between_files_are_found_whatever_files_come_along(files, fitted, together):
    whole = open_counts([files[number] for number in fitted])
    fit = fit_of(whole.obs.index, whole.part, whole.parts)
    source = open_counts([files[number] for number in together])
    of_file = np.array([fitted.index(number) if number in fitted else -1 for number in together], dtype=np.int32)
    batch = of_file[source.part]
    rows = fitted_rows(source, fit, batch)
    expected = np.where(batch < 0, -1, 2 * batch + np.arange(source.n_cells) % 2)
    assert rows.tolist() == expected.tolist()


def test_cells_whose_names_clash_here_and_not_in_the_fit_are_found(files):
    source = open_counts(files[:2])
    assert source.obs.index.tolist() == ["AC-1-d1", "own0-1-d1", "AC-1-d2", "own1-1-d2"]
    fit = fit_of(["own1-1", "AC-1"], [1, 0])
    assert fitted_rows(source, fit, source.part).tolist() == [1, -1, -1, 0]
