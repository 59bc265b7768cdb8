"""A batch that is mapped onto a fit of graded cells: its effects come out nearly as well as from a fit of all cells."""

import numpy as np

from unbatch import BatchModel, simulate
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts

_LOUD = 200


def test_effects_of_a_mapped_batch_are_those_planted():
    """Factors that begin from a poor grouping of the states of two batches doubled this error, to 0.094."""
    cells = simulate(n_cells=3000, n_batches=3, confounding=0.65, seed=0)
    held_out = (cells.obs["batch"] == "batch_3").to_numpy()
    source = open_counts(cells[~held_out].copy())
    reference = BatchModel().fit_source(source, read_batches(source, "batch"))
    found = reference.map(cells[held_out].copy(), batch_key="batch").result
    planted = cells.varm["log_delta_true"]
    expected = planted[:, 2] - planted[:, :2].mean(axis=1)
    loud = np.asarray(cells.X.sum(axis=0)).ravel() > _LOUD
    error = (found.log_delta[:, 0] - expected)[loud]
    assert np.sqrt(np.mean((error - np.median(error)) ** 2)) < 0.06
