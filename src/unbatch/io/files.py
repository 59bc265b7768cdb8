"""A path: find out what is there, by content and not by name, and open it."""

from collections.abc import Sequence
from pathlib import Path

import h5py

from unbatch._check import InputError
from unbatch.io.anndata_file import open_anndata_file
from unbatch.io.failures import reading
from unbatch.io.layers import Wanted
from unbatch.io.limits import check_links
from unbatch.io.matrix_source import MatrixSource
from unbatch.io.places import ZARR_MARKERS, Hdf5File, ZarrFolder, stamp_of
from unbatch.io.tenx_source import MtxFiles, find_genomes, find_mtx, open_tenx_h5, open_tenx_mtx
from unbatch.io.there import check_there

FORMATS = (
    "an .h5ad file, a .zarr folder, a 10x .h5 file, or a 10x folder with matrix.mtx, barcodes.tsv and features.tsv"
)

_FEW = 6
_PACKED = {
    b"\x1f\x8b": "gzipped: unpack it first with gunzip (an .rds file must be saved as .h5ad in R)",
    b"PK\x03\x04": "a zip archive: unpack it first",
}
_MODALITIES = "mod"
_FOREIGN = {
    "row_attrs": "a loom file: read it with anndata.io.read_loom and write it as .h5ad",
    _MODALITIES: "a MuData file: write the modality with the RNA counts as .h5ad",
    "meta.data": "an h5Seurat file: convert it to .h5ad",
    "barcode_idx": "a 10x molecule file: give filtered_feature_bc_matrix.h5",
}


def open_path(path: Path, wanted: Wanted, *, scratch: Path | None = None) -> MatrixSource:
    """Open the counts at a path.

    Parameters
    ----------
    path
        File or folder; see `open_counts` for the formats.
    wanted
        Which matrix.
    scratch
        Folder for a scratch file; None is the folder for temporary files.

    Raises
    ------
    InputError
        If there is nothing at the path, it may not be read, or it is none of the formats.
    """
    path = check_there(path)
    with reading(str(path)):
        return _open_folder(path, wanted, scratch) if path.is_dir() else _open_file(path, wanted, scratch)


def _open_folder(path: Path, wanted: Wanted, scratch: Path | None) -> MatrixSource:
    if any((path / marker).exists() for marker in ZARR_MARKERS):
        return _open_zarr(path, wanted, scratch)
    files = find_mtx(path)
    if files is not None:
        return _open_mtx(files, path, wanted, scratch)
    inside = [str(folder) for folder in sorted(path.iterdir()) if folder.is_dir() and any(folder.glob("*matrix.mtx*"))]
    hint = f"; there are matrices in {', '.join(inside)}" if inside else ""
    raise InputError(f"{path} is a folder but neither a zarr store nor a 10x mtx folder: give {FORMATS}{hint}")


def _open_zarr(path: Path, wanted: Wanted, scratch: Path | None) -> MatrixSource:
    place = ZarrFolder(path, stamp_of(path))
    with place.open() as root:
        if _MODALITIES in root:
            inside = ", ".join(f"{path}/{_MODALITIES}/{name}" for name in sorted(root[_MODALITIES].group_keys()))
            raise InputError(f"{path} is {_FOREIGN[_MODALITIES]}" + (f", or give its path, of {inside}" * bool(inside)))
        if "obs" not in root:
            inside = _listed(sorted(root.group_keys()))
            raise InputError(f"{path} is zarr but no AnnData, it holds {inside}: give the path of an AnnData inside")
    return open_anndata_file(place, path, layer=wanted.name, scratch=scratch)


def _open_mtx(files: MtxFiles, path: Path, wanted: Wanted, scratch: Path | None) -> MatrixSource:
    if wanted.layer not in (None, "X"):
        raise InputError(f"{path} has no layer {wanted.layer!r}: a 10x folder holds one matrix, leave layer out")
    return open_tenx_mtx(files, path, scratch=scratch)


def _open_file(path: Path, wanted: Wanted, scratch: Path | None) -> MatrixSource:
    if path.name.endswith(("matrix.mtx", "matrix.mtx.gz")):
        files = find_mtx(path.parent, prefix=path.name[: path.name.rindex("matrix.mtx")])
        assert files is not None  # the matrix is there
        return _open_mtx(files, path, wanted, scratch)
    if not path.is_file():
        raise InputError(f"{path} is a pipe or a device, which cannot be read twice: give {FORMATS}")
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise InputError(f"{path} is empty (0 bytes): write or copy it again")
    if not h5py.is_hdf5(path):
        for signature, cure in _PACKED.items():
            if start.startswith(signature):
                raise InputError(f"{path} is {cure}")
        raise InputError(f"{path} is not an HDF5 file: give {FORMATS}")
    return _open_hdf5(path, wanted, scratch)


def _open_hdf5(path: Path, wanted: Wanted, scratch: Path | None) -> MatrixSource:
    place = Hdf5File(path, stamp_of(path))
    with place.open() as root:
        check_links(root, str(path))
        _refuse_model(root, path)
        inside = sorted(root)
        has_genomes = bool(find_genomes(root))
    if {"obs", "var"} <= set(inside) and _MODALITIES not in inside:
        return open_anndata_file(place, path, layer=wanted.name, scratch=scratch)
    if has_genomes:
        return open_tenx_h5(path, wanted)
    for marker, cure in _FOREIGN.items():
        if marker in inside:
            raise InputError(f"{path} is {cure}")
    raise InputError(
        f"{path} is HDF5 but neither an AnnData nor a 10x matrix, it holds {_listed(inside)}: give {FORMATS}"
    )


def _refuse_model(root: h5py.Group, path: Path) -> None:
    """Tell a model, which is easily given in place of the counts, from other files that hold none."""
    has_counts = any(name in root and root[name].attrs.get("encoding-type") != "null" for name in ("X", "raw"))
    uns = root.get("uns")
    record = uns.get("unbatch") if isinstance(uns, h5py.Group) else None
    if has_counts or len(root.get("layers", ())) or not isinstance(record, h5py.Group):
        return
    maker = "map" if "mapped_onto" in record else "fit"
    raise InputError(
        f"{path} is what `unbatch {maker}` wrote and holds no counts: give the file with the counts in its place"
    )


def _listed(names: Sequence[str]) -> str:
    return (", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")) or "nothing"
