"""Results go into the AnnData that was given, or a copy of it, and into no copy of what is in a file."""

import anndata as ad
import numpy as np
import pytest

import unbatch as ub
from unbatch._results import results_in


@pytest.fixture
def adata():
    return ad.AnnData(np.ones((4, 3), dtype=np.float32))


def test_it_is_the_same_or_a_copy(adata):
    assert results_in(adata) is adata
    copy = results_in(adata, copy=True)
    copy.X[0, 0] = 7
    assert adata.X[0, 0] == 1


def test_a_backed_one_is_taken_as_it_is_but_not_copied(adata, tmp_path):
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert results_in(backed) is backed
    with pytest.raises(ub.InputError, match=r"copy=True was given for a backed AnnData.*adata.to_memory\(\)"):
        results_in(backed, copy=True)
    with pytest.raises(ub.InputError, match=r"is a view of a backed one.*adata.to_memory\(\)"):
        results_in(backed[:2])
