"""Files spoilt at random are read rightly or refused by name, whatever was done to them.

A few are tried with the other tests; ``make fuzz`` tries new ones for as long as FUZZ_SECONDS says.
"""

import functools
import shutil
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy import io, sparse

from unbatch._check import InputError
from unbatch.io.batches import label_cells
from unbatch.io.door import DoorCheck
from unbatch.io.source import open_counts

from .ills import sound, sound_file
from .ills_of_files import tenx_mtx
from .profiles import profile


def _h5ad(form, compression):
    def write(folder):
        adata = sound().copy()
        adata.X = form(adata.X.toarray())
        adata.write_h5ad(folder / "in.h5ad", compression=compression)
        return folder / "in.h5ad"

    return write


def _zarr(version):
    def write(folder):
        with ad.settings.override(zarr_write_format=version, auto_shard_zarr_v3=False):
            group = zarr.open_group(folder / "in.zarr", mode="w", zarr_format=version)
            ad.io.write_elem(group, "/", sound())
        return folder / "in.zarr"

    return write


def _mtx(folder):
    where = tenx_mtx(folder)
    io.mmwrite(where / "matrix.mtx", sparse.coo_matrix(sound().X.T.astype(np.int32)), field="integer")
    return where


def _tenx(folder):
    counts = sparse.csr_matrix(sound().X).astype(np.int32)
    with h5py.File(folder / "in.h5", "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(counts, name)
        group["shape"] = counts.shape[::-1]
        group["barcodes"] = sound().obs_names.to_numpy().astype("S")
        features = group.create_group("features")
        features["id"] = features["name"] = sound().var_names.to_numpy().astype("S")
    return folder / "in.h5"


WRITERS = {
    "h5ad-csr": sound_file,
    "h5ad-csr-gzip": _h5ad(sparse.csr_matrix, "gzip"),
    "h5ad-csc": _h5ad(sparse.csc_matrix, None),
    "h5ad-dense": _h5ad(np.asarray, "lzf"),
    "zarr2": _zarr(2),
    "zarr3": _zarr(3),
    "10x-h5": _tenx,
    "10x-mtx": _mtx,
}
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "write", "insert", "cut", "zero"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


@functools.cache
def _sound(name):
    folder = Path(tempfile.mkdtemp(prefix="unbatch-fuzz-"))
    return WRITERS[name](folder)


@pytest.fixture(scope="module", autouse=True)
def _clean():
    yield
    for name in WRITERS:
        shutil.rmtree(_sound(name).parent, ignore_errors=True)
    _sound.cache_clear()


def _spans(path):
    """Where a file may be spoilt: all of it, and of HDF5 what arrays are stored in.

    The HDF5 library itself may loop without end on metadata spoilt at random, which nothing that calls it can prevent.
    """
    if not h5py.is_hdf5(path):
        return [(0, path.stat().st_size)]
    spans = []

    def look(_, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf":
            if item.chunks:
                chunks = [item.id.get_chunk_info(number) for number in range(item.id.get_num_chunks())]
                spans.extend((chunk.byte_offset, chunk.size) for chunk in chunks)
            elif item.id.get_offset() is not None:
                spans.append((item.id.get_offset(), item.id.get_storage_size()))

    with h5py.File(path) as file:
        file.visititems(look)
    return spans


def _edit(content: bytearray, spans, kind, where, value):
    ends = np.cumsum([size for _, size in spans])
    place = int(where * ends[-1])
    span = int(np.searchsorted(ends, place, side="right"))
    room = int(ends[span]) - place
    at = sum(spans[span]) - room
    if kind == "cut":
        del content[at:]
    elif kind == "insert" and len(spans) == 1:
        content[at:at] = value
    elif kind == "zero":
        content[at : at + min(room, 64)] = bytes(min(room, 64))
    elif kind == "flip":
        content[at : at + 1] = bytes(byte ^ (value[0] or 1) for byte in content[at : at + 1])
    else:
        content[at : at + min(room, len(value))] = value[:room]


def _read(path):
    """What the door does with all cells, and what becomes of the labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = open_counts(path)
        check = DoorCheck(source)
        for block in source.blocks(17):
            check.add(block)
        report = check.finish()
        if "batch" in source.obs:
            label_cells(source, "batch")
    return report


@profile(quick=60)
@given(name=st.sampled_from(sorted(WRITERS)), which=st.floats(0, 1, exclude_max=True), edits=EDITS)
def test_a_spoilt_file_is_read_or_refused(name, which, edits):
    with tempfile.TemporaryDirectory(prefix="unbatch-fuzz-") as folder:
        stored = _sound(name)
        copy = Path(folder) / stored.name
        (shutil.copytree if stored.is_dir() else shutil.copy)(stored, copy)
        files = sorted(path for path in copy.rglob("*") if path.is_file()) or [copy]
        spoilt = files[int(which * len(files))]
        content, spans = bytearray(spoilt.read_bytes()), _spans(spoilt)
        for edit in edits:
            _edit(content, spans, *edit)
        spoilt.write_bytes(content)
        try:
            report = _read(copy)
        except InputError as refusal:
            assert len(str(refusal).splitlines()) == 1  # noqa: PT017 - both ends are right
            return
        assert (report.counts_per_cell >= 0).all()
        assert report.counts_per_cell.sum() == report.counts_per_gene.sum()
