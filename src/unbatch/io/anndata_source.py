"""Counts of an AnnData, in memory or backed."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.canonical import count_dtype
from unbatch.io.dask_array import is_dask, open_dask
from unbatch.io.failures import reading
from unbatch.io.layers import PEEK_VALUES, choose_layer, find_counts
from unbatch.io.matrix_source import MatrixSource
from unbatch.io.names import as_text, check_cell_names, check_gene_names
from unbatch.io.places import OpenElement
from unbatch.io.readers import RowReader, SliceReader, WholeReader
from unbatch.io.stored import open_stored, peek

if TYPE_CHECKING:
    from anndata import AnnData

_SAMPLE_ROWS = 256
"""So many rows give the average size of a row where nothing else does."""


def open_anndata(adata: "AnnData", *, layer: str | None = None) -> MatrixSource:
    """Open an AnnData. It is read when blocks are asked for, so it must not be changed in between.

    Parameters
    ----------
    adata
        In memory, of Dask arrays, lazily read or backed, or a view of these. Of a view in memory only the rows of a
        block are copied at a time; a view of a backed AnnData cannot be sliced further, so it is loaded.
    layer
        None for X, "raw" for raw.X, or the name of a layer.

    Raises
    ------
    InputError
        If there is no such matrix, its values are not numbers, or gene names are not unique.
    """
    where = "the backed AnnData" if adata.isbacked else "the AnnData"
    with reading(where):
        place = choose_layer(layer, adata.layers, has_x=_has_x(adata), has_raw=adata.raw is not None, where=where)
        var = _table(adata.raw.var if place == "raw/X" else adata.var)
        description = f"{place.replace('raw/X', 'raw.X')} of {where}"
        check_gene_names(as_text(var), description)
        obs = as_text(_table(adata.obs))
        check_cell_names(obs, description)
        reader = _reader(adata, place, description)
    return MatrixSource(
        reader=reader,
        obs=obs,
        var=as_text(var),
        description=description,
        path=Path(adata.filename) if adata.filename else None,  # also of what anndata read lazily
        find_alternatives=partial(_alternatives, adata, place),
    )


def _has_x(adata: "AnnData") -> bool:
    # the X of a view is a copy, so ask a single row of it
    return adata.isbacked or (adata[:1] if adata.is_view else adata).X is not None


def _table(frame: Any) -> pd.DataFrame:  # noqa: ANN401
    """Load annotation that anndata reads lazily."""
    return frame.to_memory() if hasattr(frame, "to_memory") else frame


def _matrix(adata: "AnnData", place: str) -> Any:  # noqa: ANN401
    if place == "X":
        return adata.X
    return adata.raw.X if place == "raw/X" else adata.layers[place.removeprefix("layers/")]


def _slice(adata: "AnnData", place: str, start: int, stop: int) -> Any:  # noqa: ANN401
    return _matrix(adata[start:stop], place)


def _reader(adata: "AnnData", place: str, where: str) -> RowReader:
    if adata.is_view and not adata.isbacked:
        return _view_reader(adata, place, where)
    matrix = _matrix(adata, place)
    if is_dask(matrix):
        return open_dask(matrix, where)
    if hasattr(matrix, "group"):  # anndata's sparse matrix on disk
        return open_stored(OpenElement(matrix.group), "", where)
    if hasattr(matrix, "chunks") and not hasattr(matrix, "compute"):  # a dense array of h5py or zarr
        return open_stored(OpenElement(matrix), "", where)
    _check_kind(matrix, where)
    shape = (int(matrix.shape[0]), int(matrix.shape[1]))
    dtype = count_dtype(matrix.dtype, where)
    if sparse.issparse(matrix) and matrix.format != "csr":
        return WholeReader(lambda: matrix, shape, dtype)
    rows = partial(_csr_rows, matrix) if sparse.issparse(matrix) else matrix.__getitem__
    return SliceReader(lambda start, stop: rows(slice(start, stop)), shape, dtype, _size(matrix) / max(shape[0], 1))


def _view_reader(adata: "AnnData", place: str, where: str) -> RowReader:
    # the matrix of a view is a copy, so only some rows are asked for
    some = _slice(adata, place, 0, min(_SAMPLE_ROWS, adata.n_obs))
    if is_dask(some):
        return open_dask(_matrix(adata, place), where)
    _check_kind(some, where)
    dtype = count_dtype(some.dtype, where)
    if sparse.issparse(some) and some.format != "csr":
        return WholeReader(partial(_matrix, adata, place), (adata.n_obs, int(some.shape[1])), dtype)
    row_bytes = _size(some) / max(some.shape[0], 1)
    return SliceReader(partial(_slice, adata, place), (adata.n_obs, int(some.shape[1])), dtype, row_bytes)


def _csr_rows(matrix: Any, rows: slice) -> Any:  # noqa: ANN401
    """Give some rows without copying their values, as scipy would."""
    pointers = matrix.indptr[rows.start : rows.stop + 1]
    first, last = int(pointers[0]), int(pointers[-1])
    arrays = (matrix.data[first:last], matrix.indices[first:last], pointers - first)
    return sparse.csr_array(arrays, shape=(pointers.size - 1, matrix.shape[1]))


def _check_kind(matrix: Any, where: str) -> None:  # noqa: ANN401
    if not (sparse.issparse(matrix) or isinstance(matrix, np.ndarray)):
        raise InputError(
            f"{where} is a {type(matrix).__module__}.{type(matrix).__name__}: give a numpy array, a scipy sparse "
            "matrix or a Dask array, or the path of the file, which is then read block by block",
        )
    if sparse.issparse(matrix) and matrix.format in {"csr", "csc"} and matrix.indptr[0] != 0:
        raise InputError(f"{where} has row pointers (indptr) that begin at {matrix.indptr[0]}, not 0: make it again")


def _size(matrix: Any) -> float:  # noqa: ANN401
    if sparse.issparse(matrix):
        return float(matrix.nnz * (matrix.dtype.itemsize + matrix.indices.dtype.itemsize))
    return float(matrix.nbytes)


def _alternatives(adata: "AnnData", chosen: str) -> tuple[str, ...]:
    head = adata if adata.is_view and adata.isbacked else adata[:_SAMPLE_ROWS]
    places = ["X"] * _has_x(adata) + ["raw/X"] * (adata.raw is not None) + [f"layers/{name}" for name in adata.layers]
    return find_counts({place: partial(_peek, head, place) for place in places if place != chosen})


def _peek(head: "AnnData", place: str) -> Any:  # noqa: ANN401
    matrix = _matrix(head, place)
    if hasattr(matrix, "group"):
        return peek(matrix.group)
    matrix = matrix.compute() if is_dask(matrix) else matrix
    values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix).ravel()
    return values[:PEEK_VALUES]
