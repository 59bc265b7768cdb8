"""Whether what a file says of a stored matrix holds together: asked when it is opened, before its values are read."""

from typing import Any

import h5py
import numpy as np

from unbatch._check import InputError

_KNOWN = {"anndata": (0, 1, 0), "array": (0, 2, 0), "csr_matrix": (0, 1, 0), "csc_matrix": (0, 1, 0)}
"""The newest layouts of AnnData that are read."""


def check_version(element: Any, where: str) -> None:  # noqa: ANN401
    """Refuse a layout that is newer than those known, which might mean something else by the same names.

    Raises
    ------
    InputError
        If it is.
    """
    kind, version = element.attrs.get("encoding-type"), str(element.attrs.get("encoding-version", ""))
    known = _KNOWN.get(kind) if isinstance(kind, str) else None
    numbers = tuple(int(number) for number in version.split(".") if number.isdigit())
    if known is not None and numbers > known:
        raise InputError(
            f"{where} is stored in layout {version} of {kind!r}, and {'.'.join(map(str, known))} is the newest known: "
            "update unbatch, or write it again with an older anndata"
        )


def check_filters(element: Any, where: str) -> None:  # noqa: ANN401
    """Refuse what is compressed in a way that this HDF5 cannot undo; groups are looked through.

    Raises
    ------
    InputError
        If there is such an array: names the filter.
    """
    if isinstance(element, h5py.Group):
        for name in element:
            check_filters(element.get(name), where)
    if not isinstance(element, h5py.Dataset):
        return
    recipe = element.id.get_create_plist()
    for place in range(recipe.get_nfilters()):
        code, _, _, name = recipe.get_filter(place)
        if not h5py.h5z.filter_avail(code):
            label = f"{code} ({name.decode('utf-8', 'replace')})" if name else str(code)
            raise InputError(
                f"{where}: its {element.name} is compressed with HDF5 filter {label}, which is not installed here: "
                'write the file again with compression="gzip", or in Python import hdf5plugin first'
            )


def stated_shape(group: Any, where: str) -> tuple[int, int]:  # noqa: ANN401
    """Give the shape that a sparse matrix claims.

    Raises
    ------
    InputError
        If it claims none, or none of two sizes.
    """
    shape = np.asarray(group.attrs.get("shape", group.attrs.get("h5sparse_shape", ())))
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise InputError(f"{where} does not say how many cells and genes it has: it is damaged, write it again")
    return int(shape[0]), int(shape[1])


def check_sparse(group: Any, n_pointers: int, where: str) -> None:  # noqa: ANN401
    """Refuse a sparse matrix whose three arrays do not fit each other, of which values would be lost in silence.

    Parameters
    ----------
    group
        HDF5 or zarr group with ``data``, ``indices`` and ``indptr``.
    n_pointers
        How many of ``indptr`` there must be: one more than rows, or columns if it is stored by column.
    where
        Name of the matrix, for messages.

    Raises
    ------
    InputError
        If an array is not one-dimensional, lengths differ, or ``indptr`` does not run from 0 to the number of values.
    """
    for name in ("data", "indices", "indptr"):
        shape = getattr(group[name], "shape", None)
        if shape is None or len(shape) != 1:
            raise InputError(f"{where}: its {name} is no list of values but of shape {shape}: write it again")
    n_values, n_indices, found = (int(group[name].shape[0]) for name in ("data", "indices", "indptr"))
    if n_values != n_indices:
        raise InputError(
            f"{where} has {n_values} values at {n_indices} positions: it is damaged or cut short, copy it again"
        )
    if found != n_pointers:
        raise InputError(
            f"{where} has {found} row pointers (indptr) where {n_pointers} are due: it is damaged, write it again"
        )
    first, last = group["indptr"][0], group["indptr"][found - 1]
    if first != 0 or last != n_values:
        raise InputError(
            f"{where} has row pointers (indptr) from {first} to {last} for {n_values} values, and they must run from 0 "
            "to their number, or values are lost: it is damaged, cut short or has slack, write it again (in Python, "
            "matrix.prune() drops values that belong to no cell)"
        )
