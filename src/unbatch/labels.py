"""Which batch of a fit each cell of a source is of: by the columns of the fit, or the files that were its batches."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from unbatch._check import InputError, warn
from unbatch._types import CodeArray
from unbatch.fitted import BatchFit
from unbatch.fitted_cells import fitted_rows
from unbatch.io.batches import SEPARATOR, label_cells
from unbatch.io.part_names import possible_names
from unbatch.io.source import CountSource

_SHOWN = 8
_MOST = 0.5
_WHOLE = re.compile(r"-?[0-9]+\.0+")


def find_batches(source: CountSource, fit: BatchFit) -> tuple[CodeArray, tuple[str, ...]]:
    """Batch of each cell of `source`, found as in the fit, which may not know it: places, (n_cells,), and what names.

    Where files were the batches, cells of the fit itself are of the batch that they were of, and a file is the batch of
    the fit that bears its name, or else the only one that bears a name which it could have had there, if it holds its
    cells. The same holds of files that have no columns at all, as those of 10x.

    Raises
    ------
    InputError
        If a column is missing, or a cell has no label.

    Warns
    -----
    InputWarning
        If files are taken for batches though columns were in the fit.
    """
    if not fit.batch_key or _is_bare(source):
        if fit.batch is not None and source.obs.index.equals(fit.obs.index):
            return fit.batch, fit.batches
        names = _known_parts(source, fit)
        if fit.batch_key:
            _warn_of_files(source, names, fit)
        return np.asarray(source.part, dtype=np.int32), names
    missing = [key for key in fit.batch_key if key not in source.obs]
    if missing:
        columns = ", ".join(repr(str(column)) for column in source.obs.columns[:_SHOWN]) or "none"
        raise InputError(
            f"{source.description} has no obs column {missing[0]!r}, which named the batches in the fit (its columns: "
            f"{columns}): add it"
        )
    found = label_cells(source, fit.batch_key)
    return found.codes, known_names(found.levels, fit.batches)


def _is_bare(source: CountSource) -> bool:
    """Tell whether all cells come from files that hold no annotation."""
    return source.obs.columns.empty and len(source.paths) == len(source.parts)


def _warn_of_files(source: CountSource, names: tuple[str, ...], fit: BatchFit) -> None:
    listed = ", ".join(f"{name!r} ({'known' if name in fit.batches else 'new'})" for name in names[:_SHOWN])
    warn(
        f"{source.description} has no annotation of cells, and so no column {fit.batch_key[0]!r}: each file is taken "
        f"for a batch, {listed}{', ...' if len(names) > _SHOWN else ''}"
    )


def known_names(levels: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Give levels of the fit the names that they have there, if a whole number is written in another way (0.0, 0).

    Nothing else that reads as the same number is taken for it: 1_0 and 10, or 01 and 1, may be different donors.
    """
    usual = {_plain(name): name for name in known}
    names = tuple(level if level in known else usual.get(_plain(level), level) for level in levels)
    return names if len(set(names)) == len(names) else tuple(levels)


def _known_parts(source: CountSource, fit: BatchFit) -> tuple[str, ...]:
    """Give files the names that they have in the fit, where other files along with them made another piece of the path.

    Another file may lie in a folder of that name: it is the one of the fit if most of its cells are there. Two files
    never are the same batch: where both could be, neither is.
    """
    names, batches = list(source.parts), frozenset(fit.batches)
    for part, (name, trail) in enumerate(zip(source.parts, source.trails, strict=True)):
        found = possible_names(trail) & batches
        if name not in batches and len(found) == 1:
            (names[part],) = found
    if tuple(names) == source.parts:  # to look for cells takes seconds for a million of them
        return source.parts
    place = pd.Index(fit.batches).get_indexer(pd.Index(names)).astype(np.int32)
    there = fitted_rows(source, fit, place[source.part]) >= 0
    return tuple(
        name if names.count(name) == 1 and (name == own or there[source.part == part].mean() > _MOST) else own
        for part, (name, own) in enumerate(zip(names, source.parts, strict=True))
    )


def cell_batches(source: CountSource, fit: BatchFit, *, labels: Sequence[Any] | None = None) -> CodeArray:
    """Column of the batch of each cell of `source` in the effects of `fit`, (n_cells,).

    Parameters
    ----------
    source
        The cells.
    fit
        The fit.
    labels
        Batch of each cell; None to find it as in the fit.

    Raises
    ------
    InputError
        If a batch was not part of the fit, or cells of the fit bear other labels than they did.
    """
    if labels is None:
        found, names = find_batches(source, fit)
    else:
        found, given = pd.factorize(np.array([str(label) for label in labels], dtype=object))
        names = known_names([str(name) for name in given], fit.batches)
    place = pd.Index(fit.batches).get_indexer(pd.Index(names))
    codes = np.asarray(place[found], dtype=np.int32)
    strange = sorted(str(names[number]) for number in np.unique(found[codes < 0]))
    if strange:
        known = ", ".join(repr(batch) for batch in fit.batches[:_SHOWN]) + (
            ", ..." if len(fit.batches) > _SHOWN else ""
        )
        raise InputError(
            f"batch {strange[0]!r} of {source.description} was not part of the fit ({len(strange)} such batches, "
            f"{int((codes < 0).sum())} cells): the fit knows {known}; map these cells "
            "onto it first (unbatch map, tl.map_cells), fit again with them, or leave them out"
        )
    if labels is None:
        _check_same(source, fit, codes)
    return codes


def _check_same(source: CountSource, fit: BatchFit, codes: CodeArray) -> None:
    """Refuse cells that bear other labels than in the fit, if they are the cells of the fit.

    Cells of other files may share names with them by chance, as barcodes do: only the same in the same order count.
    """
    if fit.batch is None or not source.obs.index.equals(fit.obs.index):
        return
    changed = np.flatnonzero(fit.batch != codes)
    if changed.size:
        first = int(changed[0])
        before, now = fit.batches[fit.batch[first]], fit.batches[codes[first]]
        raise InputError(
            f"{changed.size} of {source.n_cells} cells of {source.description} bear another batch than in the fit "
            f"(first: {source.obs.index[first]!r}, then {before!r}, now {now!r}): give the labels that were fitted, or "
            "fit again"
        )


def _plain(name: str) -> str:
    """Write whole numbers without a point, each of several that are combined."""
    pieces = name.split(SEPARATOR)
    return SEPARATOR.join(piece.partition(".")[0] if _WHOLE.fullmatch(piece) else piece for piece in pieces)
