"""The benchmark of missing genes measures what it says."""

import pytest

import mapping_genes
from unbatch.simulation import simulate

pytestmark = pytest.mark.filterwarnings("ignore::unbatch.InputWarning")


def test_missing_genes_move_cells_less_than_zeros_do():
    adata = simulate(n_cells=1200, n_genes=250, n_batches=3, n_types=4, composition=3.0, median_depth=900, seed=2)
    lines = mapping_genes.measure("some", adata)
    assert [line.split(" | ")[1] for line in lines] == ["10%", "30%", "60%", "the loudest 5%"]
    for line in lines:
        _, what, *numbers = line.strip("| ").split(" | ")
        moved, bias, width, state, zeros, zeros_bias = map(float, numbers)
        assert moved < zeros
        assert bias < 0.5 < zeros_bias
        assert 0.6 < width < (2 if what == "the loudest 5%" else 1.4)  # quiet genes say little, and mistake states
        assert state > 0.5
