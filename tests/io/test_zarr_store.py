import json
import os
import pickle

import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.io.source import open_counts

from .conftest import example_adata, write_zarr


class _Trap:
    """Makes a folder where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def _set_trap(store, key, filters):
    """Make an array one of pickled objects, as format 2 of zarr can hold them."""
    folder = store / key
    described = json.loads((folder / ".zarray").read_text())
    described |= {"dtype": "|O", "filters": filters, "compressor": None, "chunks": described["shape"]}
    (folder / ".zarray").write_text(json.dumps(described | {"fill_value": None}))
    objects = np.empty(described["shape"], dtype=object)
    objects[...] = _Trap()
    (folder / ".".join("0" * objects.ndim)).write_bytes(pickle.dumps(objects))


@pytest.mark.parametrize("key", ["X/data", "obs/_index", "obs/batch/codes", "obs/batch/categories", "var/gene_ids"])
@pytest.mark.parametrize("codecs", [["pickle"], ["vlen-utf8", "pickle"], ["Pickle"]])
@pytest.mark.parametrize("consolidated", [False, True])
def test_nothing_is_unpickled(tmp_path, monkeypatch, key, codecs, consolidated):
    monkeypatch.chdir(tmp_path)
    store = write_zarr(example_adata(), tmp_path / "a.zarr", zarr_format=2)
    _set_trap(store, key, [{"id": codec} for codec in codecs])
    if consolidated:
        found = {str(path.relative_to(store)): json.loads(path.read_text()) for path in store.rglob(".z*")}
        (store / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": found}))
    with pytest.raises(InputError, match=r"asks for unpickling, which can run any program: it is not read"):
        list(open_counts(store).blocks())
    assert not (tmp_path / "sprung").exists()


def test_the_trap_would_spring(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(_Trap()))  # noqa: S301 - to see that it does
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_name_or_an_attribute_is_no_codec(tmp_path, zarr_format):
    adata = example_adata()
    adata.obs["pickle"] = 1.5
    adata.obs.index.name = "pickle_id"
    store = write_zarr(adata, tmp_path / "a.zarr", zarr_format=zarr_format)
    assert open_counts(store).obs["pickle"].tolist() == [1.5] * adata.n_obs
