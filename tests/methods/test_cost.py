"""Costs grow with what they depend on."""

import numpy as np
import pytest

from unbatch.methods.cost import expected_cost


def cost(sizes=(1000, 1000), n_genes=1000, **options):
    return expected_cost(np.array(sizes), n_genes, pass_seconds=1.0, base_bytes=1e8, **options)


def test_a_fit_needs_more_than_the_base():
    assert cost().n_bytes > 1e8
    assert cost().seconds > 5.0


@pytest.mark.parametrize(
    "more", [{"sizes": (4000, 4000)}, {"n_genes": 30_000}, {"n_dims": 9}, {"sizes": (1000,) * 8}, {"n_neighbors": 50}]
)
def test_memory_grows(more):
    assert cost(**more).n_bytes > cost().n_bytes


def test_time_grows_with_the_square_of_the_cells():
    small, large = cost(sizes=(20_000, 20_000)).seconds, cost(sizes=(200_000, 200_000)).seconds
    assert large / small > 20
