"""Files that are none, or not what their names say."""

import os
import pickle
import shutil
import struct
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import zarr

from .ills import Ill, edited, sound, sound_file

NOT_HDF5 = ("is not an HDF5 file", "give an .h5ad file")
FOREIGN = ("damaged, cut short or not what its name says",)
ZSTD = 32015
TRUNCATIONS = 20


def _written(content, name="in.h5ad"):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _named(name):
    return lambda folder: folder / name


def _linked(target):
    def make(folder):
        (folder / "in.h5ad").symlink_to(folder / target)
        return folder / "in.h5ad"

    return make


def _folder(name):
    def make(folder):
        (folder / name).mkdir()
        return folder / name

    return make


def _pipe(folder):
    os.mkfifo(folder / "in.h5ad")
    return folder / "in.h5ad"


def _archive(folder):
    np.savez(folder / "in.npz", counts=sound().X.toarray())
    return folder / "in.npz"


def _below_a_file(folder):
    return sound_file(folder) / "in.h5ad"


def _unknown_filter(file):
    values = file["X/data"][:]
    del file["X/data"]
    recipe = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    recipe.set_chunk((len(values),))
    recipe.set_filter(ZSTD, h5py.h5z.FLAG_OPTIONAL, (3,))
    space = h5py.h5s.create_simple((len(values),))
    dataset = h5py.h5d.create(file["X"].id, b"data", h5py.h5t.IEEE_F32LE, space, recipe)
    dataset.write_direct_chunk((0,), b"\x28\xb5\x2f\xfd" + bytes(20))


def _layout(*, at, **attributes):
    return edited(lambda file: file[at].attrs.update(attributes))


def zarr_store(folder: Path) -> Path:
    """The sound input as a zarr folder of format 2."""
    with ad.settings.override(zarr_write_format=2):
        ad.io.write_elem(zarr.open_group(folder / "in.zarr", mode="w", zarr_format=2), "/", sound())
    return folder / "in.zarr"


def _zarr(change):
    def make(folder):
        store = zarr_store(folder)
        change(store)
        return store

    return make


def _unknown_codec(store):
    path = store / "X" / "data" / ".zarray"
    path.write_text(path.read_text().replace('"blosc"', '"pied-piper"').replace('"zstd"', '"pied-piper"'))


def tenx_mtx(folder: Path, *, matrix: str | None = None, barcodes: int = 60, genes: int = 15) -> Path:
    """A 10x folder with the given text as matrix, and names for so many cells and genes."""
    where = folder / "in"
    where.mkdir()
    body = "%%MatrixMarket matrix coordinate integer general\n15 60 2\n1 1 3\n2 60 4\n" if matrix is None else matrix
    (where / "matrix.mtx").write_text(body)
    (where / "barcodes.tsv").write_text("".join(f"c{cell}\n" for cell in range(barcodes)))
    (where / "features.tsv").write_text("".join(f"E{g}\tg{g}\tGene Expression\n" for g in range(genes)))
    return where


def _mtx(**options):
    return lambda folder: tenx_mtx(folder, **options)


HEAD = "%%MatrixMarket matrix coordinate integer general\n15 60 2\n"
FILES = {
    "gone": Ill(_named("gone.h5ad"), ("gone.h5ad does not exist", "check the path")),
    "empty": Ill(_written(b""), ("is empty (0 bytes)", "copy it again")),
    "text": Ill(_written(b"gene,cell\n1,2\n", "in.csv"), NOT_HDF5),
    "pickle": Ill(_written(pickle.dumps({"X": [1, 2]})), NOT_HDF5),
    "pickle-of-code": Ill(_written(b"cos\nsystem\n(S'exit 1'\ntR."), NOT_HDF5),
    "gzip": Ill(_written(b"\x1f\x8b\x08\x00rest"), ("gzipped", "unpack it first")),
    "npz": Ill(_archive, ("zip archive", "unpack it first")),
    "hdf5-header-only": Ill(_written(b"\x89HDF\r\n\x1a\n" + bytes(40)), FOREIGN),
    "empty-folder": Ill(_folder("in.h5ad"), ("neither a zarr store nor a 10x mtx folder", "give an .h5ad file")),
    "dangling-link": Ill(_linked("gone"), ("is a link to", "does not exist", "correct the link")),
    "link-in-a-circle": Ill(_linked("in.h5ad"), ("is a link to", "correct the link")),
    "pipe": Ill(_pipe, ("is a pipe or a device", "give an .h5ad file")),
    "device": Ill(lambda _: Path("/dev/zero"), ("is a pipe or a device", "give an .h5ad file")),
    "below-a-file": Ill(_below_a_file, ("does not exist", "check the path")),
    "newer-file": Ill(_layout(at="/", **{"encoding-version": "9.0.0"}), ("layout 9.0.0", "update unbatch")),
    "newer-matrix": Ill(_layout(at="X", **{"encoding-version": "0.2.0"}), ("X of", "layout 0.2.0", "update unbatch")),
    "newer-table": Ill(_layout(at="obs", **{"encoding-version": "9.0.0"}), ("encoding_version='9.0.0'", *FOREIGN)),
    "unknown-matrix": Ill(_layout(at="X", **{"encoding-type": "coo_matrix"}), ("coo", *FOREIGN)),
    "unknown-filter": Ill(edited(_unknown_filter), (f"/X/data is compressed with HDF5 filter {ZSTD}", "write")),
    "zarr-unknown-codec": Ill(_zarr(_unknown_codec), ("in.zarr", "pied-piper")),
    "zarr-no-names": Ill(_zarr(lambda store: shutil.rmtree(store / "var")), ("has no var", "not written by AnnData")),
    "zarr-chunk-spoilt": Ill(_zarr(lambda store: (store / "X/data/0").write_bytes(b"\0\1")), ("X of", *FOREIGN)),
    "zarr-json-spoilt": Ill(_zarr(lambda store: (store / "X/data/.zarray").write_bytes(b"{")), ("in.zarr", *FOREIGN)),
    "mtx-of-other-names": Ill(_mtx(barcodes=59), ("15 x 60", "59 cells", "do not belong together")),
    "mtx-of-text": Ill(_mtx(matrix=HEAD + "1 1 x\n2 60 4\n"), FOREIGN, ("inspect",)),
    "mtx-short": Ill(_mtx(matrix=HEAD + "1 1 3\n"), FOREIGN, ("inspect",)),
    "mtx-outside": Ill(_mtx(matrix=HEAD + "1 1 3\n16 60 4\n"), FOREIGN, ("inspect",)),
    "mtx-of-zeros": Ill(
        _mtx(matrix=HEAD + "1 1 3\n" + "\0" * 64 + "\n"), ("bytes in it that no text has",), ("inspect",)
    ),
    "mtx-header": Ill(_mtx(matrix="%%MatrixMarket cake\n"), FOREIGN, ("inspect",)),
}


def truncated(part: int):
    """The sound file cut after `part` of 20 pieces of it."""

    def make(folder):
        path = sound_file(folder)
        os.truncate(path, path.stat().st_size * part // TRUNCATIONS)
        return path

    return make


FILES |= {f"cut-at-{part}-of-20": Ill(truncated(part), ("in.h5ad",)) for part in range(TRUNCATIONS)}


def superblock_lies(folder: Path) -> Path:
    """The sound file with an end of file beyond all bounds in its superblock."""
    path = sound_file(folder)
    content = bytearray(path.read_bytes())
    content[40:48] = struct.pack("<Q", 2**62)
    path.write_bytes(content)
    return path


FILES["length-lies"] = Ill(superblock_lies, FOREIGN)


def flipped(place, **stored):
    """The sound file, stored in a way that notices it, with one bit changed at the place that `place` finds."""

    def make(folder):
        path = folder / "in.h5ad"
        sound().write_h5ad(path)
        with h5py.File(path, "a") as file:
            values = file["X/data"][()]
            attributes = dict(file["X/data"].attrs)
            del file["X/data"]
            file.create_dataset("X/data", data=values, **stored).attrs.update(attributes)
        content = bytearray(path.read_bytes())
        content[place(path, content)] ^= 0x10
        path.write_bytes(content)
        return path

    return make


def _middle_of_values(path, _):
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    return chunk.byte_offset + chunk.size // 2


def _end_of_values(path, _):
    """The last byte: of gzip, of its checksum."""
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    return chunk.byte_offset + chunk.size - 1


def _format_name(_, content):
    return content.index(b"csr_matrix") + 2


FILES |= {
    "bit-of-the-signature": Ill(flipped(lambda *_: 1), NOT_HDF5),
    "bit-of-the-version": Ill(flipped(lambda *_: 8), FOREIGN),
    "bit-of-gzipped-values": Ill(flipped(_middle_of_values, chunks=True, compression="gzip"), FOREIGN),
    "bit-of-a-gzip-checksum": Ill(flipped(_end_of_values, chunks=True, compression="gzip"), FOREIGN),
    "bit-of-checked-values": Ill(flipped(_middle_of_values, chunks=True, fletcher32=True), FOREIGN),
    "bit-of-a-format-name": Ill(flipped(_format_name), ("cs", *FOREIGN)),
}
"""One bit, where something notices it; elsewhere it is another value: see `fuzz`."""
