"""A path: find out what is there, by content and not by name, and open it."""

from pathlib import Path

import h5py

from unbatch._check import InputError
from unbatch.io.anndata_file import open_anndata_file
from unbatch.io.failures import reading
from unbatch.io.matrix_source import MatrixSource
from unbatch.io.readers import Hdf5File, ZarrFolder

FORMATS = (
    "an .h5ad file, a .zarr folder, a 10x .h5 file, or a 10x folder with matrix.mtx, barcodes.tsv and features.tsv"
)


def open_path(path: Path, *, layer: str | None = None) -> MatrixSource:
    """Open the counts at a path.

    Parameters
    ----------
    path
        File or folder; see `open_counts` for the formats.
    layer
        Which matrix.

    Raises
    ------
    InputError
        If there is nothing at the path, it may not be read, or it is none of the formats.
    """
    path = path.expanduser()
    with reading(str(path)):
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist: correct the link")
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path, it is looked for from {Path.cwd()}")
        if path.is_dir():
            return _open_folder(path, layer)
        return _open_file(path, layer)


def _open_folder(path: Path, layer: str | None) -> MatrixSource:
    if any((path / marker).exists() for marker in ("zarr.json", ".zgroup", ".zmetadata")):
        return open_anndata_file(ZarrFolder(path), path, layer=layer)
    raise InputError(f"{path} is a folder but neither a zarr store nor a 10x mtx folder: give {FORMATS}")


def _open_file(path: Path, layer: str | None) -> MatrixSource:
    with path.open("rb") as file:
        if not file.read(1):
            raise InputError(f"{path} is empty (0 bytes): write or copy it again")
    if not h5py.is_hdf5(path):
        raise InputError(f"{path} is not an HDF5 file: give {FORMATS}")
    return open_anndata_file(Hdf5File(path), path, layer=layer)
