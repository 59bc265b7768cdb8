"""The table of decision 41 measures what it says."""

import numpy as np
import pytest

import copies


def test_ways_hold_the_cells_they_say():
    batch = np.sqrt(np.arange(copies.N_CELLS) * copies.N_BATCHES**2 / copies.N_CELLS).astype(int)
    for way, (cells, batches) in copies.ways(batch, seed=0).items():
        assert len(cells) == len(batches)
        assert len(np.unique(cells)) == copies.N_CELLS
        moved = (batches != batch[cells]).sum()
        assert moved == (len(cells) - copies.N_CELLS if "once more" in way else 0)


def test_a_table_of_one_set():
    table = copies.table(1)
    once = table.loc["each 1 times"]
    assert 0.02 < once["error"] < 0.15
    assert 0.85 < once["95% intervals hold"] <= 1
    assert table.loc["each 4 times", "error"] == pytest.approx(once["error"], abs=1e-9)
    assert table.loc["20% once more in another batch", "error"] < 1.5 * once["error"]
