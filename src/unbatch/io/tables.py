"""Join annotation tables of several inputs so that the result can be stored."""

from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from unbatch._check import InputError


def join_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below each other, with the columns of all; what one of them lacks is missing there.

    Text, categories and columns of mixed types become categories of text, since AnnData can store gaps in those: sorted
    if those of each table are, so that cutting a table in two changes nothing, else in the order in which they first
    occur. Categories that are numbers in all tables stay numbers. Those that are ordered in all stay ordered if the
    tables together leave one order only, as rising numbers do. Numbers stay numbers, with NaN for gaps.

    Raises
    ------
    InputError
        If a table has two columns of the same name.
    """
    for table in tables:
        repeated = table.columns[table.columns.duplicated()]
        if len(repeated):
            raise InputError(f"a table has two columns called {repeated[0]!r}: rename one")
    columns = dict.fromkeys(column for table in tables for column in table.columns)
    names = tables[0].index.append([table.index for table in tables[1:]])
    return pd.DataFrame({column: _join(column, tables) for column in columns}, index=pd.Index(names, dtype=object))


def _join(
    column: str, tables: Sequence[pd.DataFrame]
) -> "np.ndarray[tuple[int], np.dtype[np.generic]] | pd.Categorical":
    present = [table[column] for table in tables if column in table]
    numeric = [is_numeric_dtype(piece.dtype) and not is_bool_dtype(piece.dtype) for piece in present]
    boolean = [is_bool_dtype(piece.dtype) and not piece.isna().any() for piece in present]
    complete = len(present) == len(tables)
    if all(numeric):
        # integers cannot have gaps
        kind = np.result_type(*(piece.to_numpy().dtype for piece in present)) if complete else np.dtype(np.float64)
        pieces = [table[column] if column in table else np.full(len(table), np.nan) for table in tables]
        if kind.kind in "iuf":
            return np.concatenate([np.asarray(piece, dtype=kind) for piece in pieces])
        return np.concatenate([pd.Series(piece).to_numpy(dtype=np.float64, na_value=np.nan) for piece in pieces])
    if all(boolean) and complete:
        return np.concatenate([piece.to_numpy(dtype=np.bool_) for piece in present])
    return _join_categories(column, tables)


def _join_categories(column: str, tables: Sequence[pd.DataFrame]) -> pd.Categorical:
    present = [table[column] for table in tables if column in table]
    named = _itself if all(map(_has_numeric_categories, present)) else str
    levels = [_levels(piece, named) for piece in present]
    united = dict.fromkeys(level for of_table in levels for level in of_table)
    rising = all(of_table == sorted(of_table) for of_table in levels)
    names = sorted(united) if rising else list(united)
    order = None
    if all(_is_ordered(piece) for piece in present):
        order = names if rising and named is _itself else _common_order(levels)
    names = names if order is None else order
    position = {name: place for place, name in enumerate(names)}
    codes = []
    for table in tables:
        if column not in table:
            codes.append(np.full(len(table), -1, dtype=np.int64))
            continue
        piece = table[column]
        local, found = pd.factorize(piece)
        # the last entry is the one that -1, for missing, points to
        place = np.array([*(position[named(level)] for level in found), -1], dtype=np.int64)
        codes.append(place[local])
    return pd.Categorical.from_codes(np.concatenate(codes), categories=names, ordered=order is not None)


def _common_order(levels: Sequence[list[Any]]) -> list[Any] | None:
    """Give the order of all levels that follows from those of the tables; None if none does, or more than one."""
    sorter = TopologicalSorter[Any]()
    for of_table in levels:
        for before, level in zip([None, *of_table], of_table, strict=False):
            sorter.add(level, *([] if before is None else [before]))
    try:
        sorter.prepare()
    except CycleError:
        return None
    order: list[Any] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        if len(ready) > 1:
            return None
        order += ready
        sorter.done(*ready)
    return order


def _levels(piece: pd.Series, named: Callable[[Any], Any]) -> list[Any]:
    """Categories in their order; of text, which has none, sorted."""
    if isinstance(piece.dtype, pd.CategoricalDtype):
        return list(dict.fromkeys(map(named, piece.cat.categories)))
    return sorted({named(level) for level in piece.dropna().unique()})


def _itself(level: Any) -> Any:  # noqa: ANN401 - any number
    return level


def _has_numeric_categories(piece: pd.Series) -> bool:
    if not isinstance(piece.dtype, pd.CategoricalDtype):
        return False
    return is_numeric_dtype(piece.cat.categories.dtype) and not is_bool_dtype(piece.cat.categories.dtype)


def _is_ordered(piece: pd.Series) -> bool:
    return isinstance(piece.dtype, pd.CategoricalDtype) and bool(piece.cat.ordered)
