"""The cells that were sampled are found again by name, and are not taken for others."""

import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch.sampled_cells import find_sampled

NAMES = pd.Index(["a", "b", "c", "d"])
SAMPLED = pd.DataFrame({"row": [1, 3], "name": ["b", "d"]})


def test_cells_in_their_places_are_where_they_were():
    assert find_sampled(SAMPLED, NAMES, n_fitted=4).tolist() == [1, 3]


def test_cells_in_other_places_are_found_and_lost_ones_are_not():
    assert find_sampled(SAMPLED, NAMES[::-1], n_fitted=4).tolist() == [2, 0]
    assert find_sampled(SAMPLED, NAMES[:3], n_fitted=4).tolist() == [1, -1]


def test_cells_that_share_names_are_found_in_their_places_only():
    twice = pd.Index(["d", "b", "b", "d"])
    assert find_sampled(SAMPLED, twice, n_fitted=4).tolist() == [1, 3]
    assert find_sampled(SAMPLED, twice[::-1], n_fitted=4).tolist() == [1, 3]
    assert find_sampled(SAMPLED, pd.Index(["d", "b", "b"]), n_fitted=4).tolist() == [-1, -1]


def test_a_table_without_names_is_taken_at_its_word():
    assert find_sampled(SAMPLED[["row"]], NAMES, n_fitted=4).tolist() == [1, 3]
    assert find_sampled(SAMPLED[["row"]], NAMES[:3], n_fitted=4).tolist() == [-1, -1]


@pytest.fixture(scope="module")
def fitted():
    adata = ub.simulate(n_cells=300, n_genes=60, n_batches=2, n_types=3, median_depth=300, seed=1)
    ub.tl.batch_effects(adata, batch_key="batch")
    adata.obs["place"] = np.asarray(adata.obsm["X_unbatch"][:, 0], dtype=np.float64)
    return adata


def test_a_figure_of_reordered_cells_has_each_cell_in_its_own_colour(fitted):
    turned = fitted[np.random.default_rng(0).permutation(300)].copy()
    drawn = [
        np.asarray(ub.pl.embedding(adata, "place", basis="after")[0].collections[0].get_array(), dtype=np.float64)
        for adata in (fitted, turned)
    ]
    assert len(set(drawn[0])) > 200
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_a_figure_whose_cells_were_taken_away_says_so(fitted):
    gone = fitted[10:].copy()
    with pytest.raises(ub.InputError, match="cannot be found by name among the 290 that are left"):
        ub.pl.embedding(gone, "cell_type", basis="before")
    ub.pl.embedding(gone, basis="before")
