import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch import InputError
from unbatch.report.reading import evenly, read_fitted

from .made import made

GENES, BATCHES = [f"g{place}" for place in range(6)], ["a", "b", "c"]


@pytest.fixture
def adata():
    return made(genes=GENES, batches=BATCHES, n_cells=200)


@pytest.fixture
def path(adata, tmp_path):
    adata.obs["kind"] = pd.Categorical(adata.obs["kind"])
    adata.obs["depth"] = np.arange(200.0)
    adata.write_h5ad(tmp_path / "fit.h5ad")
    return tmp_path / "fit.h5ad"


def test_a_file_and_the_same_in_memory_give_the_same(path):
    columns = ["kind", "depth"]
    one = read_fitted(path, most_cells=50, columns=columns)
    other = read_fitted(ad.read_h5ad(path), most_cells=50, columns=columns)
    assert (one.name, other.name) == ("fit.h5ad", "")
    assert one.n_cells == other.n_cells == 200
    assert one.genes == other.genes == tuple(GENES)
    assert one.batches == other.batches == tuple(BATCHES)
    for slot in ("log_delta", "se", "measured"):
        np.testing.assert_array_equal(getattr(one, slot), getattr(other, slot))
    for table in ("kind", "depth", "batch", "unbatch_sample"):
        assert one.cells.obs[table].tolist() == other.cells.obs[table].tolist()
    np.testing.assert_array_equal(one.cells.obsm["X_unbatch"], other.cells.obsm["X_unbatch"])
    assert one.diagnosed
    assert one.table("mixing").equals(other.table("mixing"))
    np.testing.assert_array_equal(one.array("before"), other.array("before"))


def test_cells_are_those_of_the_diagnostics_and_not_more_than_asked_for(path):
    whole = ad.read_h5ad(path)
    rows = whole.uns["unbatch"]["diagnostics"]["cells"]["row"].to_numpy()
    fitted = read_fitted(path, most_cells=50, columns=["depth"])
    assert fitted.cells.n_obs == 50
    assert set(fitted.cells.obs["depth"]) <= set(rows)
    expected = whole.obsm["X_unbatch"][fitted.cells.obs_names.astype(int)]
    np.testing.assert_array_equal(fitted.cells.obsm["X_unbatch"], expected)


def test_without_diagnostics_cells_are_spread_evenly(adata):
    del adata.uns["unbatch"]["diagnostics"]
    fitted = read_fitted(adata, most_cells=3)
    assert fitted.cells.obs_names.tolist() == ["0", "99", "199"]
    assert not fitted.diagnosed
    assert fitted.table("mixing").empty
    assert fitted.array("before") is None


def test_places_are_even():
    assert evenly(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert evenly(101, 3).tolist() == [0, 50, 100]
    assert evenly(7, 0).tolist() == []


def test_diagnostics_of_other_rows_do_not_lead_astray(adata):
    few = adata[:20].copy()
    fitted = read_fitted(few, most_cells=10)
    assert fitted.n_cells == 20
    assert fitted.cells.n_obs == 10


def test_genes_may_have_been_taken_away_since(adata):
    adata.uns["unbatch"]["measured"][4, 1] = False
    fitted = read_fitted(adata[:, ["g4", "g1"]].copy(), most_cells=0)
    assert fitted.genes == ("g4", "g1")
    assert fitted.measured.tolist() == [[True, False, True], [True, True, True]]


def test_a_file_is_read_without_its_other_cells(path, monkeypatch):
    taken = []
    getitem = h5py.Dataset.__getitem__

    def counting(self, key, **options):
        found = getitem(self, key, **options)
        taken.append((self.name, getattr(found, "shape", ())))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    read_fitted(path, most_cells=7)
    assert [shape for name, shape in taken if name == "/obsm/X_unbatch"] == [(7, 4)]
    assert [shape for name, shape in taken if name == "/obs/unbatch_overlap"] == [(7,)]


@pytest.mark.parametrize("name", ["varm", "uns", "obs", "obsm"])
def test_a_file_with_a_part_cut_off_is_refused_by_name(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(InputError, match=r"fit\.h5ad (holds|has no table)"):
        read_fitted(path, most_cells=5)


def test_what_is_no_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*gone\.h5ad"):
        read_fitted(tmp_path / "gone.h5ad", most_cells=5)
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with pytest.raises(InputError, match=r"text\.h5ad could not be read"):
        read_fitted(tmp_path / "text.h5ad", most_cells=5)
    ub.simulate(n_cells=20, n_genes=10, seed=0).write_h5ad(tmp_path / "counts.h5ad")
    with pytest.raises(InputError, match=r"counts\.h5ad holds no batch effects"):
        read_fitted(tmp_path / "counts.h5ad", most_cells=5)


def test_a_column_that_is_not_there_is_named_with_those_that_are(path, adata):
    for source in (path, adata):
        with pytest.raises(InputError, match="no obs column 'nonsense': choose among 'batch'"):
            read_fitted(source, most_cells=5, columns=["nonsense"])


def test_of_a_file_whose_cells_are_in_their_places_only_the_sampled_names_are_read(path, tmp_path, monkeypatch):
    adata = ad.read_h5ad(path)
    cells = adata.uns["unbatch"]["diagnostics"]["cells"].iloc[::10].reset_index(drop=True)
    cells["name"] = adata.obs_names[cells["row"].to_numpy()].to_numpy(dtype=object)
    adata.uns["unbatch"]["diagnostics"]["cells"] = cells
    adata.write_h5ad(tmp_path / "named.h5ad")
    whole = []
    monkeypatch.setattr("unbatch.report.reading.find_sampled", lambda *_, **__: whole.append(True))
    read_fitted(tmp_path / "named.h5ad", most_cells=50)
    assert len(cells) < 200
    assert not whole


@pytest.mark.parametrize("stored", [False, True])
def test_cells_in_another_order_are_found_by_name(path, tmp_path, stored):
    adata = ad.read_h5ad(path)
    cells = adata.uns["unbatch"]["diagnostics"]["cells"]
    cells["name"] = adata.obs_names[cells["row"].to_numpy()].to_numpy(dtype=object)
    depth = adata.obs["depth"].to_numpy()[cells["row"].to_numpy()]
    turned = adata[np.random.default_rng(0).permutation(200)].copy()
    turned.write_h5ad(tmp_path / "turned.h5ad")
    fitted = read_fitted(tmp_path / "turned.h5ad" if stored else turned, most_cells=200, columns=["depth"])
    places = fitted.cells.obs_names.get_indexer(fitted.table("cells")["row"].astype(str))
    np.testing.assert_array_equal(fitted.cells.obs["depth"].to_numpy()[places], depth)
    gone = read_fitted(turned[turned.obs_names != cells["name"].iloc[3]].copy(), most_cells=200)
    assert gone.table("cells")["row"].tolist().index(-1) == 3
    assert (gone.table("cells")["row"] >= 0).sum() == len(cells) - 1
