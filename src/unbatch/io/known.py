"""What an accumulator knows beforehand and never changes, set apart from what it counts.

An accumulator that is sent to another process takes along what it knows, and what comes back is only what it counted,
if it keeps the former in these two boxes. On one machine they do nothing.
"""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

import numpy as np

Bytes: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint8]]

AnyValue = TypeVar("AnyValue")


class Sliceable(Protocol):
    """An array or a sparse matrix: its rows are the cells."""

    def __getitem__(self, rows: slice, /) -> Any:  # noqa: ANN401
        """Give some rows."""
        ...


AnyRows = TypeVar("AnyRows", bound=Sliceable)


@dataclass(frozen=True, eq=False)
class Shared(Generic[AnyValue]):
    """A value that is the same for all cells: it goes to each worker of a cluster once."""

    value: AnyValue


@dataclass(frozen=True, eq=False)
class PerCell(Generic[AnyRows]):
    """Rows of which each cell has one: with a task of a cluster go those of its own cells.

    Attributes
    ----------
    rows
        One for each cell from `first` on.
    first
        Position of the first of these cells.
    """

    rows: AnyRows
    first: int = 0

    def of(self, start: int, stop: int) -> AnyRows:
        """Give the rows of the cells from `start` to `stop`."""
        rows: AnyRows = self.rows[start - self.first : stop - self.first]
        return rows

    def part(self, start: int, stop: int) -> Self:
        """Give a box with these rows alone."""
        return type(self)(self.of(start, stop), start)


@dataclass(frozen=True, eq=False)
class Packed:
    """An object as bytes, and the memory of its arrays beside them, which may be shared with the object."""

    content: bytes
    arrays: tuple[Bytes, ...]

    @property
    def n_bytes(self) -> int:
        """Size of all of it."""
        return len(self.content) + sum(array.nbytes for array in self.arrays)


class Packer:
    """Packs objects so that they refer to some other objects by their number only, and unpacks them again.

    Parameters
    ----------
    known
        Objects to refer to. Whoever unpacks gives its own in the same order.
    collect
        Put boxes that are met while packing at the end of `known`.
    """

    def __init__(self, known: Sequence[Any], *, collect: bool = False) -> None:
        self.known = list(known)
        self._number = {id(value): number for number, value in enumerate(self.known)}
        self._collect = collect

    def pack(self, value: Any, *, share: bool = False) -> Packed:  # noqa: ANN401
        """Pack an object.

        Parameters
        ----------
        value
            What to pack.
        share
            Do not copy its arrays, which then must not be changed any more; what is unpacked has them read-only.

        Raises
        ------
        Exception
            Whatever pickling raises.
        """
        stream, arrays = io.BytesIO(), list[Bytes]()

        def beside(array: pickle.PickleBuffer) -> None:
            arrays.append(np.frombuffer(array.raw(), dtype=np.uint8))

        pickler = pickle.Pickler(stream, protocol=5, buffer_callback=beside if share else None)
        pickler.persistent_id = self._refer  # type: ignore[method-assign]
        pickler.dump(value)
        return Packed(stream.getvalue(), tuple(arrays))

    def unpack(self, packed: Packed) -> Any:  # noqa: ANN401
        """Give an object that this process or one it trusts has packed."""
        arrays = [array.data.toreadonly() for array in packed.arrays]
        unpickler = pickle.Unpickler(io.BytesIO(packed.content), buffers=arrays)  # noqa: S301
        unpickler.persistent_load = self.known.__getitem__  # type: ignore[method-assign]
        return unpickler.load()

    def _refer(self, value: Any) -> int | None:  # noqa: ANN401
        number = self._number.get(id(value))
        if number is None and self._collect and isinstance(value, Shared | PerCell):
            number = self._number[id(value)] = len(self.known)
            self.known.append(value)
        return number
