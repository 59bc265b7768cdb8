from importlib.resources import files

import numpy as np
import pandas as pd

from unbatch import datasets


def test_cell_lines_are_raw_counts_with_labels_source_and_licence() -> None:
    adata = datasets.cell_lines()
    assert adata.shape == (1394, 788)
    assert adata.X.format == "csr"
    assert (adata.X.data > 0).all()
    np.testing.assert_array_equal(adata.X.data, np.rint(adata.X.data))
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    table = pd.crosstab(adata.obs["batch"], adata.obs["cell_type"])
    assert table.to_dict("index") == {
        "10x": {"H1975": 310, "H2228": 312, "HCC827": 273},
        "CELseq2": {"H1975": 114, "H2228": 81, "HCC827": 79},
        "Dropseq": {"H1975": 92, "H2228": 65, "HCC827": 68},
    }
    assert "MIT" in adata.uns["licence"]
    assert any("sc_mixology" in source for source in adata.uns["source"])


def test_source_and_licence_lie_beside_the_file() -> None:
    folder = files("unbatch") / "data"
    assert "MIT License" in (folder / "LICENSE-cell_lines.txt").read_text()
    assert "sc_mixology" in (folder / "README.md").read_text()


def test_a_caller_may_change_what_it_got() -> None:
    datasets.cell_lines().X.data[:] = 0
    assert datasets.cell_lines().X.sum() > 0


def test_toy_is_the_note_and_always_the_same() -> None:
    adata, again = datasets.toy(), datasets.toy()
    assert adata.shape == (1000, 500)
    assert adata.obs["batch"].nunique() == 2
    assert adata.varm["log_delta_true"].shape == (500, 2)
    assert adata.obsm["theta_true"].shape == (1000, 5)
    assert (adata.X != again.X).nnz == 0
