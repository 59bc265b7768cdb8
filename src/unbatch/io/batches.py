"""Which batch each cell belongs to."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from unbatch._check import InputError, check_whole, warn
from unbatch._types import BoolArray, CodeArray, IntArray
from unbatch.io.names import text_of
from unbatch.io.source import CountSource

SEPARATOR = " | "
"""Between the labels of several columns in the name of a batch."""
_MOST_LEVELS = 1000
_MOST_LISTED = 8
_HINTS = ("batch", "sample", "donor", "patient", "individual", "library", "lane", "chemistry", "dataset", "plate")
_LIKELY_MISSING = frozenset({"nan", "none", "na", "n/a", "<na>", "null", ""})


@dataclass(frozen=True, eq=False)
class Batches:
    """Membership of cells in batches.

    Attributes
    ----------
    codes : (n_cells,) int32
        Position in `levels` of the batch of each cell.
    levels
        Names of the batches: in the order of a categorical column, else sorted (numbers by value), and for several
        files without a key in the order of the files.
    min_cells
        A batch with fewer cells takes part in nothing: its effect is 1 (none).
    key
        The columns they come from; empty where each file is a batch.
    """

    codes: CodeArray
    levels: tuple[str, ...]
    min_cells: int = 2
    key: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """Name of the batch of each cell, (n_cells,)."""
        return [self.levels[code] for code in self.codes]

    @property
    def sizes(self) -> IntArray:
        """Number of cells of each batch, (n_batches,)."""
        return np.bincount(self.codes, minlength=len(self.levels)).astype(np.int64)

    @property
    def usable(self) -> BoolArray:
        """Batches with at least `min_cells` cells, (n_batches,)."""
        return self.sizes >= self.min_cells

    @property
    def too_small(self) -> tuple[str, ...]:
        """Names of the batches with fewer than `min_cells` cells."""
        return tuple(level for level, usable in zip(self.levels, self.usable, strict=True) if not usable)


def read_batches(source: CountSource, batch_key: str | Sequence[str] | None = None, *, min_cells: int = 2) -> Batches:
    """Read the batch of each cell.

    Parameters
    ----------
    source
        Where the cells come from.
    batch_key
        A column of obs; or several, each combination of their levels that occurs then being a batch; or None for
        several files, each of which then is a batch.
    min_cells
        Batches with fewer cells are kept but take part in nothing. A larger value leaves out more batches whose effects
        would be guesses; at least 1.

    Returns
    -------
    Batches

    Raises
    ------
    InputError
        If a column is missing (lists the likely ones) or named twice, a cell has no label, or fewer than two batches
        are large enough.

    Warns
    -----
    InputWarning
        Of batches with fewer than `min_cells` cells, and of a batch whose name is likely to stand for a missing label.
    """
    check_whole("min_cells", min_cells, least=1, usual=2)
    batches = replace(label_cells(source, batch_key), min_cells=min_cells)
    _check_sizes(batches)
    return batches


def label_cells(source: CountSource, batch_key: str | Sequence[str] | None = None) -> Batches:
    """Read the batch of each cell, however few batches there are and however few cells they have.

    Parameters
    ----------
    source
        Where the cells come from.
    batch_key
        As in `read_batches`, which asks in addition that there be something to compare.

    Returns
    -------
    Batches
        With every batch usable.

    Raises
    ------
    InputError
        If a column is missing (lists the likely ones) or named twice, a cell has no label, or a single file comes
        without a key.
    """
    keys = () if batch_key is None else (batch_key,) if isinstance(batch_key, str) else tuple(batch_key)
    twice = [key for number, key in enumerate(keys) if key in keys[:number]]
    if twice:
        raise InputError(f"the obs column {twice[0]!r} is named twice: name each column once")
    if keys:
        return _from_columns(source, keys)
    if len(source.parts) > 1:
        return Batches(source.part, source.parts, 1)
    raise InputError(f"no batch key is given for {source.description}: {_choices(source.obs)}")


def measured_by_batch(source: CountSource, batches: Batches) -> BoolArray:
    """Tell which genes each batch measured: those that every file with cells of the batch measured.

    A file that lacks a gene gives its cells no counts of it. If another file with cells of the same batch has the gene,
    the batch's total over both would take those cells for silent; so such a gene is unmeasured in the batch.

    Returns
    -------
    (n_genes, n_batches) bool
    """
    measured = np.ones((source.n_genes, len(batches.levels)), dtype=np.bool_)
    for part, batch in batch_parts(source, batches):
        measured[:, batch] &= source.measured[:, part]
    return measured


def batch_parts(source: CountSource, batches: Batches) -> list[tuple[int, int]]:
    """Give the pairs of a part and a batch, as numbers, that have a cell."""
    present = np.zeros((source.measured.shape[1], len(batches.levels)), dtype=np.bool_)
    present[source.part, batches.codes] = True
    return [(int(part), int(batch)) for part, batch in zip(*np.nonzero(present), strict=True)]


def _from_columns(source: CountSource, keys: tuple[str, ...]) -> Batches:
    absent = [key for key in keys if key not in source.obs]
    if absent:
        choices = _choices(source.obs, wanted=absent[0])
        raise InputError(f"{source.description} has no obs column {absent[0]!r}: {choices}")
    columns = [_labels(source, key) for key in keys]
    if len(columns) == 1:
        return Batches(*columns[0], 1, keys)
    combined, codes = np.unique(np.stack([codes for codes, _ in columns]), axis=1, return_inverse=True)
    names = [levels for _, levels in columns]
    levels = tuple(
        SEPARATOR.join(of_column[code] for of_column, code in zip(names, level, strict=True)) for level in combined.T
    )
    if len(set(levels)) < len(levels):
        twice = next(level for level in levels if levels.count(level) > 1)
        raise InputError(
            f"labels of {' and '.join(map(repr, keys))} of {source.description} become the same when they are put "
            f"together ({twice!r} in two ways): rename those that hold {SEPARATOR!r}"
        )
    return Batches(codes.ravel().astype(np.int32), levels, 1, keys)


def _labels(source: CountSource, key: str) -> tuple[CodeArray, tuple[str, ...]]:
    column = source.obs[key]
    if isinstance(column, pd.DataFrame):
        raise InputError(f"{source.description} has {column.shape[1]} obs columns called {key!r}: rename all but one")
    try:
        codes, found = pd.factorize(column)
    except TypeError as error:
        raise InputError(
            f"obs[{key!r}] of {source.description} holds values that are no labels ({error}): give text or numbers"
        ) from error
    names = [text_of(level) for level in found]
    missing = (codes == -1) | np.isin(codes, [code for code, name in enumerate(names) if not name])
    if missing.any():
        first = source.obs.index[int(np.flatnonzero(missing)[0])]
        parts = [repr(source.parts[part]) for part in np.unique(source.part[missing])]
        some = len(parts) < len(source.parts)
        in_parts = f"; all of them are in {', '.join(parts[:_MOST_LISTED])}" if some else ""
        raise InputError(
            f"obs[{key!r}] of {source.description} has no label for {int(missing.sum())} of {source.n_cells} cells "
            f"(the first is {first!r}{in_parts}): label them, or drop them, in Python with "
            f"adata[adata.obs[{key!r}].notna()].copy()",
        )
    ordered = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else sorted(found, key=_order)
    present = set(names)
    levels = tuple(dict.fromkeys(text_of(level) for level in ordered if text_of(level) in present))
    position = {level: place for place, level in enumerate(levels)}
    # two labels that read alike, such as 1 and "1", are one batch
    return np.array([position[name] for name in names], dtype=np.int32)[codes], levels


def _order(level: object) -> tuple[bool, float, str]:
    """Sort numbers by value and before text."""
    if isinstance(level, int | float | np.number):
        return False, float(level), ""
    return True, 0.0, text_of(level)


def _check_sizes(batches: Batches) -> None:
    sizes, n_usable = batches.sizes, int(batches.usable.sum())
    where = " x ".join(f"obs[{key!r}]" for key in batches.key) or "the files"
    if len(batches.levels) == 1:
        raise InputError(
            f"{where} has a single batch, {batches.levels[0]!r}, for all {sizes.sum()} cells: effects need at least "
            "two batches to compare, choose another column or add another file",
        )
    named = list(zip(batches.levels, sizes, strict=True))
    small = [f"{level!r} ({size})" for level, size in named if size < batches.min_cells]
    listed = ", ".join(small[:_MOST_LISTED]) + (", ..." if len(small) > _MOST_LISTED else "")
    if n_usable < 2:  # noqa: PLR2004
        raise InputError(
            f"{where} has {n_usable} batches of at least {batches.min_cells} cells, and effects need two to compare; "
            f"{len(small)} are too small: {listed}. Lower min_cells or choose another column",
        )
    if small:
        warn(
            f"{len(small)} of {len(batches.levels)} batches have fewer than {batches.min_cells} cells and take part in "
            f"nothing (effect 1, none): {listed}. Drop them or lower min_cells"
        )
    doubtful = [f"{level!r} ({size} cells)" for level, size in named if _is_doubtful(level)]
    if doubtful:
        warn(
            f"{where} has a batch that looks like a missing label: {', '.join(doubtful)}. It is used as a batch: "
            "label its cells or drop them if it is none"
        )


def _is_doubtful(level: str) -> bool:
    return level.strip().lower() in _LIKELY_MISSING


def _choices(obs: pd.DataFrame, *, wanted: str | None = None) -> str:
    """List the columns that are likely to be meant: similar names first, then those that look like batches."""
    columns = [str(column) for column in obs.columns]
    by_lower_case = {column.lower(): column for column in columns}
    close = difflib.get_close_matches(wanted.lower(), by_lower_case, n=3) if wanted else []
    similar = [by_lower_case[name] for name in close]
    by_hint = sorted(
        (column for column in columns if _looks_like_batch(obs[column])),
        key=lambda column: not any(hint in column.lower() for hint in _HINTS),
    )
    likely = list(dict.fromkeys(similar + by_hint))[:_MOST_LISTED]
    if likely:
        return "likely columns are " + ", ".join(f"{name!r} ({obs[name].nunique()} levels)" for name in likely)
    if columns:
        return "its columns are " + ", ".join(repr(name) for name in columns[:_MOST_LISTED])
    return "obs has no columns at all: add one that says which batch each cell is from, or give one file per batch"


def _looks_like_batch(column: pd.Series) -> bool:
    if pd.api.types.is_float_dtype(column.dtype):
        return False
    return bool(2 <= column.nunique() <= min(_MOST_LEVELS, max(len(column) // 2, 2)))  # noqa: PLR2004
