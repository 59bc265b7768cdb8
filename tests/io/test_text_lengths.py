"""The lengths of texts are those that HDF5 finds; one that cannot be is refused before HDF5 takes memory for it."""

import struct
import zlib

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch._check import InputError
from unbatch.io import text_lengths
from unbatch.io.text_lengths import check_texts

FORMS = {
    "plain": {},
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "chunks": {"chunks": (7,), "maxshape": (None,)},
}
REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])


def texts(count=300):
    return np.array(["é" * (number % 50) + str(number) for number in range(count)], dtype=object)


def total(path):
    """Give what the texts of a file claim."""
    with h5py.File(path) as group, path.open("rb") as file:
        return sum(int(lengths.sum()) for _, lengths in text_lengths._all_lengths(group, file, "x"))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("form", FORMS)
def test_lengths_are_those_of_the_texts(tmp_path, form, libver):
    values = texts()
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        file.create_dataset("texts", data=values, dtype=h5py.string_dtype(), **FORMS[form])
        file["texts"].attrs["about"] = "a text"
        file["texts"].attrs.create("several", values[:20], dtype=h5py.string_dtype())
        file["numbers"] = np.arange(9)
        file.create_dataset("none", (0,), h5py.string_dtype())
        file.create_dataset("unset", (5,), h5py.string_dtype())
        file.create_dataset("one", data="a single one")
    written = [*values, "a text", *values[:20], "a single one"]
    assert total(tmp_path / "x.h5") == sum(len(text.encode()) for text in written)
    with h5py.File(tmp_path / "x.h5") as file:
        check_texts(file, "x.h5")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_texts_in_tables_and_in_arrays_are_found(tmp_path, libver):
    """Of the kinds of old AnnData files, and of tools that keep their results in record arrays."""
    text = h5py.string_dtype()
    kind = np.dtype([("number", "<f8"), ("first", text), ("flag", "?"), ("several", text, (3,)), ("fixed", "S5")])
    values = np.zeros(4, kind)
    for row in range(4):
        values[row] = (row, "a" * row, True, ["b" * 10, "c" * row, ""], b"fixed")
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        file["table"] = values
        file.attrs["table"] = values
    assert total(tmp_path / "x.h5") == 2 * (2 * (0 + 1 + 2 + 3) + 4 * 10)


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_a_model_of_any_compression_is_read(tmp_path, compression):
    adata = ub.simulate(n_cells=60, n_genes=10, n_batches=2, seed=1)
    adata.uns["ranked"] = np.rec.array([("a", 1.0), ("bc", 2.0)], dtype=[("names", "O"), ("scores", "f8")])
    ub.tl.batch_effects(adata, batch_key="batch")
    adata.write_h5ad(tmp_path / "model.h5ad", compression=compression)
    assert ub.BatchModel.load(tmp_path / "model.h5ad").result.batches == ("batch_1", "batch_2")


def spoil_attribute(path):
    with h5py.File(path, "r+") as file:
        file.attrs["mark"] = "m" * 4321
    _spoil_reference(path, 4321)


def spoil_array(path):
    with h5py.File(path, "r+") as file:
        file["obs/mark"] = "m" * 4321
    _spoil_reference(path, 4321)


def _spoil_reference(path, length):
    """Make the text of this length one of 3 GB: its length stands before the place of its heap."""
    content = bytearray(path.read_bytes())
    heaps = [place for place in range(len(content)) if content.startswith(b"GCOL", place)]
    found = [content.find(struct.pack("<IQ", length, heap)) for heap in heaps]
    (place,) = [place for place in found if place >= 0]
    content[place : place + 4] = struct.pack("<I", 3 * 10**9)
    path.write_bytes(content)


def spoil_packed_array(path):
    _rewrite(path, lambda references: references["length"].fill(3 * 10**9), 5)


def one_text_many_times(path):
    """A trap: a million times the same text, packed to nothing."""
    _rewrite(path, lambda references: references.fill(references[0]), 10**6)


def _rewrite(path, change, count):
    with h5py.File(path, "r+") as file:
        data = file.create_dataset(
            "obs/mark", (count,), h5py.string_dtype(), chunks=(count,), compression="gzip", shuffle=False
        )
        data[:1] = ["m" * 4321]
        file.flush()
        references = np.frombuffer(zlib.decompress(data.id.read_direct_chunk((0,))[1]), REFERENCE).copy()
        change(references)
        data.id.write_direct_chunk((0,), zlib.compress(references.tobytes()))


@pytest.mark.parametrize("spoil", [spoil_attribute, spoil_array, spoil_packed_array, one_text_many_times])
def test_a_text_longer_than_the_file_is_refused(tmp_path, spoil):
    path = tmp_path / "model.h5ad"
    adata = ub.simulate(n_cells=60, n_genes=10, n_batches=2, seed=1)
    ub.tl.batch_effects(adata, batch_key="batch")
    adata.write_h5ad(path)
    spoil(path)
    with pytest.raises(InputError, match=r"the texts up to .* claim more than the \d+ bytes that the file holds"):
        ub.BatchModel.load(path)


def sequences(file):
    file.create_dataset("x", (3,), h5py.vlen_dtype(np.int32))


def shared_type(file):
    file["kind"] = h5py.string_dtype()
    file.create_dataset("x", (3,), file["kind"])


def many_attributes(file):
    group = file.create_group("x", track_order=True)
    for number in range(20):
        group.attrs[f"a{number}"] = "text"


def huge_chunks(file):
    file.create_dataset("x", (3 * 10**6,), h5py.string_dtype(), chunks=(3 * 10**6,))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (sequences, "sequences of any length"),
        (shared_type, "a type that objects share"),
        (many_attributes, "more attributes than a header holds"),
        (huge_chunks, "are larger than what is stored"),
    ],
)
def test_what_anndata_never_writes_is_refused(tmp_path, write, message):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write(file)
    with h5py.File(tmp_path / "x.h5") as file, pytest.raises(InputError, match=f"x.h5: x could not be .*{message}"):
        check_texts(file, "x.h5")


def test_names_of_cells_that_fill_many_heaps_are_counted(tmp_path):
    names = [f"cell {number} été" for number in range(20_000)]
    ad.AnnData(obs=pd.DataFrame(index=names)).write_h5ad(tmp_path / "x.h5ad", compression="gzip")
    with h5py.File(tmp_path / "x.h5ad") as group, (tmp_path / "x.h5ad").open("rb") as file:
        found = [lengths for name, lengths in text_lengths._all_lengths(group, file, "x") if name == "obs/_index"]
    np.testing.assert_array_equal(np.concatenate(found)[-20_000:], [len(name.encode()) for name in names])
