"""What an HDF5 file from a stranger may not do: lead to other files, or claim more than it holds."""

import h5py
import numpy as np

from unbatch._check import InputError

_DEEPEST = 32
_LARGEST_RATIO = 1100
"""Bytes that a byte on disk can stand for: deflate, the best of the filters that we read, comes to 1,032."""
_SMALL = 2**16


def check_links(group: h5py.Group, where: str) -> None:
    """Refuse what would read other files, before anything is read.

    Raises
    ------
    InputError
        For links to other files, arrays that lie in other files, and groups in groups without end.
    """
    _walk(group, where, seen=set(), depth=0, sizes=False)


def check_sizes(group: h5py.Group, where: str) -> None:
    """Do as `check_links`, and refuse arrays that claim more than they hold, before memory is given to them.

    For files that are read as a whole. So their numbers take no more memory than 1,100 times what the file does; of
    texts, `unbatch.io.text_lengths.check_texts` says as much.

    Raises
    ------
    InputError
        If there are such arrays, links of any kind or an object under two names, or as `check_links` does.
    """
    _walk(group, where, seen=set(), depth=0, sizes=True)


def _walk(group: h5py.Group, where: str, *, seen: set[int], depth: int, sizes: bool) -> None:
    if depth > _DEEPEST:
        raise InputError(f"{where} has groups in groups without end: it was not written by AnnData and is not read")
    for name in group:
        link = group.get(name, getlink=True)
        path = f"{group.name.rstrip('/')}/{name}"
        if isinstance(link, h5py.ExternalLink) or (sizes and not isinstance(link, h5py.HardLink)):
            raise InputError(
                f"{where}: {path} is a link, which may lead to any other file, and is not followed: "
                "write the file again with what it leads to"
            )
        if not isinstance(link, h5py.HardLink):
            continue  # what it leads to is in this file and looked at there
        element = group[name]
        address = int(h5py.h5o.get_info(element.id).addr)
        if address in seen and sizes:
            raise InputError(f"{where}: {path} is there under two names, which AnnData never writes: write it again")
        if address in seen:
            continue
        seen.add(address)
        if isinstance(element, h5py.Group):
            _walk(element, where, seen=seen, depth=depth + 1, sizes=sizes)
        elif isinstance(element, h5py.Dataset):
            _check_array(element, f"{where}: {path}", sizes=sizes)


def _check_array(array: h5py.Dataset, where: str, *, sizes: bool) -> None:
    if array.is_virtual or array.external:
        raise InputError(f"{where} lies in other files, which are not read: write the file again with its values")
    if not sizes or array.shape is None:
        return
    claimed = int(np.prod([int(length) for length in array.shape], dtype=object)) * int(array.dtype.itemsize)
    held = int(array.id.get_storage_size())
    if claimed > max(_SMALL, _LARGEST_RATIO * held):
        raise InputError(
            f"{where} claims {claimed} bytes of which the file holds {held}: it is damaged or a trap, write it again"
        )
