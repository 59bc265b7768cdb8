"""What an accumulator knows beforehand and never changes, set apart from what it counts.

An accumulator that is sent to another process takes along what it knows, and what comes back is only what it counted,
if it keeps the former in these two boxes. On one machine they do nothing.
"""

import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

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


class Packer:
    """Writes objects as bytes that refer to some other objects by their number only, and reads them again.

    Parameters
    ----------
    known
        Objects to refer to. Whoever reads gives its own in the same order.
    collect
        Put boxes that are met while writing at the end of `known`.
    """

    def __init__(self, known: Sequence[Any], *, collect: bool = False) -> None:
        self.known = list(known)
        self._number = {id(value): number for number, value in enumerate(self.known)}
        self._collect = collect

    def pack(self, value: Any) -> bytes:  # noqa: ANN401
        """Write an object.

        Raises
        ------
        Exception
            Whatever pickling raises.
        """
        stream = io.BytesIO()
        pickler = pickle.Pickler(stream, protocol=5)
        pickler.persistent_id = self._refer  # type: ignore[method-assign]
        pickler.dump(value)
        return stream.getvalue()

    def unpack(self, packed: bytes) -> Any:  # noqa: ANN401
        """Read an object that this process or one it trusts has written."""
        unpickler = pickle.Unpickler(io.BytesIO(packed))  # noqa: S301
        unpickler.persistent_load = self.known.__getitem__  # type: ignore[method-assign]
        return unpickler.load()

    def _refer(self, value: Any) -> int | None:  # noqa: ANN401
        number = self._number.get(id(value))
        if number is None and self._collect and isinstance(value, Shared | PerCell):
            number = self._number[id(value)] = len(self.known)
            self.known.append(value)
        return number
