"""What an HDF5 file says of its objects, read without the HDF5 library, which trusts it.

After the HDF5 File Format Specification, version 3: object headers, and of their messages those of types, attributes
and compact data. Whatever is not as it should be is a `ValueError`, an `IndexError` or a `struct.error`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_TYPE, _LAYOUT, _ATTRIBUTE, _CONTINUED, _ATTRIBUTES = 0x3, 0x8, 0xC, 0x10, 0x15
_UNDEFINED = b"\xff" * 8
_MOST_BLOCKS = 10_000
_DEEPEST = 8
_FIXED, _FLOAT, _TIME, _STRING, _BITS, _OPAQUE, _COMPOUND, _REFERENCE, _ENUM, _VARIABLE, _ARRAY = range(11)
_PLAIN = {_FIXED: 4, _FLOAT: 12, _TIME: 2, _STRING: 0, _BITS: 4, _REFERENCE: 0}
"""Bytes that describe a type beside the 8 that all have."""
_TEXT = 1
REFERENCE = 16
"""Bytes of an element that stand for a text: its length, and where in which heap it is."""


@dataclass(frozen=True)
class StoredType:
    """The type of a stored array: bytes of an element, where in it references to texts lie, and of its description."""

    size: int
    texts: tuple[int, ...]
    described: int


@dataclass(frozen=True)
class Header:
    """What the header of an object holds: its type (of arrays), the type and bytes of its attributes, compact data."""

    type: StoredType | None
    attributes: tuple[tuple[StoredType, bytes], ...]
    compact: bytes


def read_header(file: BinaryIO, address: int) -> Header:
    """Read the header of the object at an address of the file."""
    kind, attributes, compact = None, list[tuple[StoredType, bytes]](), b""
    for number, flags, message in _messages(file, address):
        if number in {_TYPE, _ATTRIBUTE} and flags & 2:
            raise ValueError("a type that objects share")
        if number == _TYPE:
            kind = read_type(message)
        elif number == _ATTRIBUTE:
            attributes.append(_attribute(message))
        elif number == _ATTRIBUTES and message[2 + 2 * (message[1] & 1) :][:8] != _UNDEFINED:
            raise ValueError("more attributes than a header holds")
        elif number == _LAYOUT and message[0] in {3, 4} and message[1] == 0:
            compact = message[4 : 4 + struct.unpack_from("<H", message, 2)[0]]
    return Header(kind, tuple(attributes), compact)


def _messages(file: BinaryIO, address: int) -> Iterator[tuple[int, int, bytes]]:
    """Give number, flags and content of each message of a header."""
    start = _read(file, address, 16)
    newer = start[:4] == b"OHDR"
    if newer:
        flags = start[5]
        width = 1 << (flags & 3)
        place = 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
        length = int.from_bytes(_read(file, address + place, width), "little")
        blocks, extra = [(address + place + width, length)], 2 * bool(flags & 4)
    elif start[0] == 1:
        blocks, extra = [(address + 16, struct.unpack_from("<I", start, 8)[0])], 0
    else:
        raise ValueError("no header")
    for number, (place, length) in enumerate(blocks):
        if number >= _MOST_BLOCKS:
            raise ValueError("a header without end")
        block, at = _read(file, place, length), 0
        if newer and number:
            if block[:4] != b"OCHK":
                raise ValueError("no further part of a header")
            block = block[4:-4]
        start_of = struct.Struct("<BHB" if newer else "<HHB3x")
        while at + start_of.size + extra <= len(block):
            kind, size, flags = start_of.unpack_from(block, at)
            at += start_of.size + extra
            message = block[at : at + size]
            if len(message) < size:
                raise ValueError("a message beyond its header")
            at += size
            if kind == _CONTINUED:
                blocks.append(struct.unpack_from("<QQ", message))
            yield kind, flags, message


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    """Read so many bytes, of which there is memory to be taken only if the file has them."""
    if place < 0 or place + length > file.seek(0, 2):
        raise ValueError("beyond the end of the file")
    file.seek(place)
    return file.read(length)


def _attribute(message: bytes) -> tuple[StoredType, bytes]:
    version, flags, *lengths = struct.unpack_from("<BBHHH", message)
    if version not in {1, 2, 3} or (version > 1 and flags):
        raise ValueError("no attribute")
    name, kind, space = ((length + 7) // 8 * 8 if version == 1 else length for length in lengths)
    start = 8 + (version == 3) + name  # noqa: PLR2004
    return read_type(message[start:]), message[start + kind + space :]


def read_type(message: bytes, *, depth: int = 0) -> StoredType:
    """Read the description of a type."""
    version, kind = message[0] >> 4, message[0] & 15
    size = struct.unpack_from("<I", message, 4)[0]
    if kind in _PLAIN:
        return StoredType(size, (), 8 + _PLAIN[kind])
    if depth > _DEEPEST:
        raise ValueError("types in types without end")
    if kind == _OPAQUE:
        return StoredType(size, (), 8 + message[1])
    if kind == _VARIABLE:
        if message[1] & 15 != _TEXT or size != REFERENCE:
            raise ValueError("sequences of any length, which are no texts")
        return StoredType(size, (0,), 8 + read_type(message[8:], depth=depth + 1).described)
    if kind == _ARRAY:
        return _array(message, size, version, depth)
    if kind == _ENUM:
        base, count = read_type(message[8:], depth=depth + 1), struct.unpack_from("<H", message, 1)[0]
        end = 8 + base.described
        for _ in range(count):
            end = _after_name(message, end, version)
        return StoredType(size, (), end + count * base.size)
    if kind == _COMPOUND:
        return _compound(message, size, version, depth)
    raise ValueError(f"an unknown kind of type ({kind})")


def _array(message: bytes, size: int, version: int, depth: int) -> StoredType:
    n_axes = message[8]
    start = 9 + 4 * n_axes if version >= 3 else 12 + 8 * n_axes  # noqa: PLR2004
    base = read_type(message[start:], depth=depth + 1)
    count = size // max(base.size, 1)
    places = tuple(number * base.size + place for number in range(count if base.texts else 0) for place in base.texts)
    return StoredType(size, places, start + base.described)


def _compound(message: bytes, size: int, version: int, depth: int) -> StoredType:
    at, texts = 8, list[int]()
    for _ in range(struct.unpack_from("<H", message, 1)[0]):
        at = _after_name(message, at, version)
        width = 4 if version < 3 else (size.bit_length() + 7) // 8  # noqa: PLR2004
        offset = int.from_bytes(message[at : at + width], "little")
        at += width + 28 * (version == 1)
        member = read_type(message[at:], depth=depth + 1)
        texts += [offset + place for place in member.texts]
        at += member.described
    if any(place + REFERENCE > size for place in texts):
        raise ValueError("a part beyond its whole")
    return StoredType(size, tuple(texts), at)


def _after_name(message: bytes, at: int, version: int) -> int:
    length = message.index(0, at) + 1 - at
    return at + (length if version >= 3 else (length + 7) // 8 * 8)  # noqa: PLR2004
