"""A matrix in AnnData's on-disk encoding, in HDF5 or zarr: find out what it is and give the reader for it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unbatch._check import InputError, warn
from unbatch.io.canonical import count_dtype
from unbatch.io.layers import PEEK_VALUES
from unbatch.io.places import Place
from unbatch.io.readers import CsrReader, DenseReader, RowReader, WholeReader, mean_row_bytes
from unbatch.io.soundness import check_filters, check_sparse, check_version, stated_shape
from unbatch.io.spans import Spans
from unbatch.io.turning import TURN_IN_MEMORY, Entries, TurnedReader


def is_group(element: Any) -> bool:  # noqa: ANN401
    """Tell a group from an array, for HDF5 and zarr alike."""
    return not hasattr(element, "dtype")


def open_stored(place: Place, key: str, where: str, *, scratch: Path | None = None) -> RowReader:
    """Give a reader for the matrix at `key`.

    Parameters
    ----------
    place
        The file.
    key
        Path inside of it, such as "X" or "layers/counts".
    where
        Name of the matrix, for messages.
    scratch
        Folder for the scratch file, should one be needed; None is the folder for temporary files.

    Returns
    -------
    RowReader
        By row for CSR and dense; for CSC one that turns it, in memory if it is small and on disk if it is not.

    Raises
    ------
    InputError
        If it is not a matrix of numbers.
    """
    with place.open() as root:
        element = root[key]
        check_version(element, where)
        check_filters(element, where)
        if is_group(element):
            return _open_sparse(place, key, element, where, scratch)
        n_axes = len(element.shape or ())  # an HDF5 array may have no shape at all
        if n_axes != 2:  # noqa: PLR2004
            raise InputError(f"{where} has {n_axes} dimensions, not cells x genes: store it as a matrix")
        shape = (int(element.shape[0]), int(element.shape[1]))
        dtype = count_dtype(element.dtype, where)
        chunk, shard = (int(rows[0]) if rows else 1 for rows in (element.chunks, getattr(element, "shards", None)))
        return DenseReader(place, key, shape, dtype, float(shape[1] * dtype.itemsize), chunk, shard)


def _open_sparse(
    place: Place,
    key: str,
    group: Any,  # noqa: ANN401
    where: str,
    scratch: Path | None,
) -> RowReader:
    from anndata.io import sparse_dataset

    attributes = dict(group.attrs)
    if not {"encoding-type", "h5sparse_format"} & set(attributes) or not {"data", "indices", "indptr"} <= set(group):
        raise InputError(
            f"{where} is a group but not a sparse matrix: X or a layer must be stored as CSR, CSC or dense"
        )
    _check_complete(group, where)
    matrix = sparse_dataset(group)
    n_cells, n_genes = stated_shape(group, where)
    check_sparse(group, (n_genes if matrix.format == "csc" else n_cells) + 1, where)
    dtype = count_dtype(group["data"].dtype, where)
    n_values = int(group["data"].shape[0])
    row_bytes = mean_row_bytes(n_values, dtype, n_cells)
    if matrix.format == "csc" and row_bytes * n_cells <= TURN_IN_MEMORY:
        return WholeReader(partial(_load, place, key), (n_cells, n_genes), dtype)
    if matrix.format == "csc":
        entries = partial(_by_column, place, key, dtype)
        return TurnedReader(entries, n_values, (n_cells, n_genes), dtype, where, scratch=scratch)
    return CsrReader(place, key, (n_cells, n_genes), dtype, row_bytes)


def _check_complete(group: Any, where: str) -> None:  # noqa: ANN401
    """Notice chunks of a zarr matrix that are missing, as after a copy that was cut short: zarr reads them as zeros.

    Nor does it store a chunk of zeros. Of indices there is one only where row after row has nothing but its first gene,
    so any other that is missing is refused; of values there is one if zeros were stored, of pointers if the first rows
    are empty.
    """
    for name in ("indices", "data", "indptr"):
        expected = getattr(group[name], "nchunks", 0)
        # a shard counts as all of its chunks, so there may be more than expected
        missing = expected - getattr(group[name], "nchunks_initialized", 0)
        if missing <= 0:
            continue
        text = f"{where} lacks {missing} of the {expected} chunks of its {name}, which zarr reads as zeros"
        if name == "indices":
            if _all_first(group):
                continue
            raise InputError(f"{text}: copy it again, it is incomplete")
        warn(f"{text}: copy it again if it is incomplete")


def _all_first(group: Any) -> bool:  # noqa: ANN401
    """Tell whether all chunks of indices that are 0 throughout can be: each value is the first of its row."""
    indices, step = group["indices"], int(group["indices"].chunks[0])
    pointers = np.asarray(group["indptr"][:], dtype=np.int64)
    starts = np.unique(pointers[:-1][np.diff(pointers) > 0])
    for first in range(0, int(indices.shape[0]), step):
        part = np.asarray(indices[first : first + step])
        before, after = np.searchsorted(starts, [first, first + len(part)])
        if not part.any() and after - before < len(part):
            return False
    return True


def _load(place: Place, key: str) -> Any:  # noqa: ANN401
    from anndata.io import sparse_dataset

    with place.open() as root:
        return sparse_dataset(root[key]).to_memory()


def _by_column(place: Place, key: str, dtype: np.dtype[Any], number: int) -> Iterator[Entries]:
    """Give the entries of a CSC matrix, about `number` at a time."""
    with place.open() as root:
        group = root[key]
        pointers = np.asarray(group["indptr"][:], dtype=np.int64)
        if pointers[0] != 0 or (pointers[1:] < pointers[:-1]).any():
            raise ValueError("indptr, the column pointers, fall")
        data, rows = Spans(group["data"], dtype), Spans(group["indices"], np.int64)
        for start in range(0, int(pointers[-1]), number):
            stop = min(start + number, int(pointers[-1]))
            per_column = np.diff(pointers.clip(start, stop))
            columns = np.repeat(np.arange(per_column.size, dtype=np.int32), per_column)
            yield Entries(rows.read(start, stop), columns, data.read(start, stop))


def peek(element: Any) -> Any:  # noqa: ANN401
    """Give the first values that a stored matrix holds; nothing for what is no matrix."""
    if is_group(element):
        return np.asarray(element["data"][:PEEK_VALUES]) if "data" in element else np.zeros(0)
    if len(element.shape) != 2:  # noqa: PLR2004
        return np.zeros(0)
    return np.asarray(element[: max(PEEK_VALUES // max(int(element.shape[1]), 1), 1)])
