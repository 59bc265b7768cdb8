"""Lengths of the texts of an HDF5 file, before the HDF5 library takes as much memory as they claim.

An array or attribute of texts holds for each text its length and the place where it is. The library believes the
length: of a file of a few bytes it takes up to 4 GB before it finds that there is no such text. In an honest file each
text has a place of its own, so that all of them together are no longer than the file.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from unbatch._check import InputError
from unbatch.io.hdf5_headers import REFERENCE, StoredType, read_header

_LARGEST_RATIO, _SMALL = 1100, 2**20
"""Bytes that a byte on disk can stand for, and of which nothing is said."""
_CURE = "it was not written by AnnData, or is damaged; write it again"


def check_texts(group: h5py.File, where: str) -> None:
    """Refuse a file whose texts claim to be longer than the file.

    Raises
    ------
    InputError
        If they do, or are stored in a way that AnnData does not use.
    """
    with Path(group.filename).open("rb") as file:
        length = file.seek(0, 2)
        left = length
        for name, texts in _all_lengths(group, file, where):
            left -= int(texts.sum(dtype=np.uint64)) + REFERENCE * len(texts)
            if left < 0:
                raise InputError(
                    f"{where}: the texts up to {name} claim more than the {length} bytes that the file holds: {_CURE}"
                )


def _all_lengths(group: h5py.File, file: BinaryIO, where: str) -> Iterator[tuple[str, NDArray[np.uint32]]]:
    names: list[str] = ["/"]
    group.visit(names.append)
    for name in names:
        element = group[name]
        try:
            yield from ((name, lengths) for lengths in _lengths(element, file))
        except (ValueError, IndexError, struct.error, OSError) as error:
            raise InputError(f"{where}: {name} could not be checked ({error}): {_CURE}") from error


def _lengths(element: Any, file: BinaryIO) -> Iterator[NDArray[np.uint32]]:  # noqa: ANN401 - an array or a group
    """Give the lengths of the texts in the attributes of an object, and in it."""
    header = read_header(file, int(h5py.h5o.get_info(element.id).addr))
    for kind, values in header.attributes:
        if kind.texts:
            yield _claimed(values, kind)
    if isinstance(element, h5py.Dataset) and header.type is not None and header.type.texts:
        if header.compact:
            yield _claimed(header.compact, header.type)
        else:
            for values in _stored(element, file, header.type):
                yield _claimed(values, header.type)


def _claimed(values: bytes, kind: StoredType) -> NDArray[np.uint32]:
    """Give the lengths of the texts that are anywhere, from the elements of an array."""
    count = len(values) // kind.size
    elements = np.frombuffer(values, np.uint8, count * kind.size).reshape(count, kind.size)
    places = [elements[:, start : start + REFERENCE] for start in kind.texts]
    there = [part[part[:, 4:12].any(axis=1), :4] for part in places]
    return np.frombuffer(np.concatenate(there).tobytes(), "<u4")


def _stored(array: h5py.Dataset, file: BinaryIO, kind: StoredType) -> Iterator[bytes]:
    """Give the bytes of an array, part by part."""
    place = array.id.get_offset()
    if array.chunks is None:
        if place is not None:
            file.seek(place)
            yield file.read(array.size * kind.size)
        return
    most = _LARGEST_RATIO * int(array.id.get_storage_size()) + _SMALL
    if int(np.prod(array.chunks, dtype=object)) * kind.size > most:
        raise ValueError(f"chunks of {array.chunks} texts are larger than what is stored")
    unpack = _Unpacking(array, kind.size)
    for number in range(array.id.get_num_chunks()):
        chunk = array.id.get_chunk_info(number)
        file.seek(chunk.byte_offset)
        yield unpack(file.read(chunk.size), chunk.filter_mask)


class _Unpacking:
    """Undoes the filters of an array of texts without looking at the texts: its elements are taken for opaque ones."""

    def __init__(self, array: h5py.Dataset, size: int) -> None:
        plist, same = array.id.get_create_plist(), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        same.set_chunk(array.chunks)
        for number in range(plist.get_nfilters()):
            code, flags, values, _ = plist.get_filter(number)
            same.set_filter(code, flags, values)
        self._every = (1 << plist.get_nfilters()) - 1
        self._file = h5py.File.in_memory()
        opaque, space = h5py.h5t.create(h5py.h5t.OPAQUE, size), h5py.h5s.create_simple(array.chunks)
        self._chunk = h5py.h5d.create(self._file.id, b"chunk", opaque, space, same)
        self._values = np.empty(array.chunks, f"V{size}")

    def __call__(self, packed: bytes, mask: int) -> bytes:
        if mask & self._every == self._every:
            return packed
        self._chunk.write_direct_chunk((0,) * self._values.ndim, packed, mask)
        self._chunk.read(h5py.h5s.ALL, h5py.h5s.ALL, self._values)
        return self._values.tobytes()
