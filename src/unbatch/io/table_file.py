"""Tables as files: .parquet or .csv, whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unbatch._check import InputError
from unbatch.io.atomic import replacing

SUFFIXES = (".parquet", ".csv")
"""Endings that say how to write a table."""


def write_table(path: Path | str, table: pd.DataFrame, *, inputs: Sequence[Path | str] = ()) -> None:
    """Write a table without its index.

    Parquet keeps the types of the columns, categories included; in .csv numbers have all their digits, and infinity is
    ``inf``.

    Parameters
    ----------
    path
        Ends in .parquet or .csv; what is there is replaced.
    table
        What to write.
    inputs
        Files that must not be overwritten.

    Raises
    ------
    InputError
        If the ending is another one, or the place cannot be written to (see `unbatch.io.atomic.replacing`).
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise InputError(f"{path} has no ending that says how to write it: use {' or '.join(SUFFIXES)}")
    with replacing(path, inputs=inputs) as temporary:
        if suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, engine="pyarrow", index=False)
