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
