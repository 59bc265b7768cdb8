"""The tables of decisions 41 and 42 measure what they say."""

import numpy as np
import pytest

import spoilt_counts


def test_ways_hold_the_cells_they_say():
    batch = np.sqrt(np.arange(spoilt_counts.N_CELLS) * spoilt_counts.N_BATCHES**2 / spoilt_counts.N_CELLS).astype(int)
    for way, spoilt in spoilt_counts.ways(batch, seed=0).items():
        assert len(spoilt.cells) == len(spoilt.batch)
        assert len(np.unique(spoilt.cells)) == spoilt_counts.N_CELLS
        moved = (spoilt.batch != batch[spoilt.cells]).sum()
        assert moved == (len(spoilt.cells) - spoilt_counts.N_CELLS if "once more" in way else 0)
        assert (max(spoilt.times) > 1) == way.startswith("counts of")


def test_a_table_of_one_set():
    table = spoilt_counts.table(1)
    once = table.loc["each 1 times"]
    assert 0.02 < once["error"] < 0.15
    assert 0.85 < once["95% intervals hold"] <= 1
    assert table.loc["each 4 times", "error"] == pytest.approx(once["error"], abs=1e-9)
    assert table.loc["20% once more in another batch", "error"] < 1.5 * once["error"]
    assert table.loc["counts of one batch times 10", "error"] == pytest.approx(once["error"], abs=1e-12)
