"""Counts of an AnnData on disk, .h5ad or .zarr: both are laid out alike."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from unbatch._check import InputError
from unbatch.io.layers import choose_layer, find_counts
from unbatch.io.matrix_source import MatrixSource
from unbatch.io.names import as_text, check_cell_names, check_gene_names
from unbatch.io.places import Place
from unbatch.io.soundness import check_filters, check_version
from unbatch.io.stored import is_group, open_stored, peek


def open_anndata_file(
    place: Place, path: Path, *, layer: str | None = None, scratch: Path | None = None
) -> MatrixSource:
    """Open X, a layer or raw.X of a file in AnnData's layout.

    Parameters
    ----------
    place
        How the file is opened.
    path
        Where it is.
    layer
        None for X, "raw" for raw.X, or the name of a layer.
    scratch
        Folder for a scratch file; None is the folder for temporary files.

    Raises
    ------
    InputError
        If there is no such matrix, its values are not numbers, or gene names are not unique.
    """
    with place.open() as root:
        check_version(root, str(path))
        matrices = _matrices(root)
        layers = {key.removeprefix("layers/"): key for key in matrices if key.startswith("layers/")}
        key = choose_layer(layer, layers, has_x="X" in matrices, has_raw="raw/X" in matrices, where=str(path))
        description = f"{key.replace('raw/X', 'raw.X')} of {path}"
        obs = as_text(_frame(root, "obs", path))
        var = as_text(_frame(root, "raw/var" if key == "raw/X" else "var", path))
    check_gene_names(var, description)
    check_cell_names(obs, description)
    return MatrixSource(
        reader=open_stored(place, key, description, scratch=scratch),
        obs=obs,
        var=var,
        description=description,
        path=path,
        find_alternatives=partial(_alternatives, place, key),
    )


def _matrices(root: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Keys of the matrices that are there; an X that was None when written is not."""
    keys = [key for key in ("X", "raw/X") if key in root] + [f"layers/{name}" for name in root.get("layers", {})]
    return tuple(key for key in keys if root[key].attrs.get("encoding-type") != "null")


def _frame(root: Any, key: str, path: Path) -> pd.DataFrame:  # noqa: ANN401
    from anndata.io import read_elem

    if key not in root:
        raise InputError(f"{path} has no {key}: it was not written by AnnData, or not to the end")
    if not is_group(root[key]):
        raise InputError(
            f"{path} was written by anndata before 0.7: read it with anndata.read_h5ad and write it to a new file",
        )
    check_filters(root[key], str(path))
    frame = read_elem(root[key])
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{path}: {key} is not a table: it was not written by AnnData")
    return frame


def _alternatives(place: Place, chosen: str) -> tuple[str, ...]:
    with place.open() as root:
        return find_counts({key: partial(peek, root[key]) for key in _matrices(root) if key != chosen})
