"""Entries of a Matrix Market file (.mtx), read some lines at a time."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from unbatch.io.turning import Entries

_PIECE = 2**20
_TEXT = b"\t\n\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


def read_entries(path: Path, dtype: np.dtype[Any], number: int, *, by_cell: bool) -> Iterator[Entries]:
    """Give the entries of a sparse matrix in text, `number` at a time, with cells as rows.

    Parameters
    ----------
    path
        In coordinate format, with all entries (no symmetric half); plain or gzipped.
    dtype
        Type of the values. If lines hold none (a pattern), they are 1.
    number
        Lines at a time.
    by_cell
        Whether a line begins with the cell, and not with the gene.

    Raises
    ------
    ValueError
        If a line is not made of numbers.
    """
    with _open(path) as file:
        header = file.readline()
        line = header
        while line.startswith("%") or not line.strip():
            line = file.readline()
        types = {0: np.int64, 1: np.int64, **({} if " pattern " in header.lower() else {2: np.float64})}
        tables = pd.read_csv(file, sep=r"\s+", header=None, names=[*types], dtype=types, chunksize=number)
        for table in tables:
            first, second = (table[column].to_numpy() - 1 for column in (0, 1))
            values = table[2].to_numpy().astype(dtype, copy=False) if 2 in types else np.ones(first.size, dtype=dtype)  # noqa: PLR2004
            yield Entries(first, second, values) if by_cell else Entries(second, first, values)


def check_text(path: Path) -> None:
    """Refuse bytes that no text has, such as the zeros that a cut copy leaves: the reader of scipy crashes there.

    Raises
    ------
    ValueError
        If there is one.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while piece := file.read(_PIECE):
            if piece.translate(None, _TEXT):
                raise ValueError("there are bytes in it that no text has")


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
