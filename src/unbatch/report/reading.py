"""What a page is made from: a fit with a bounded number of its cells, from memory or from a file.

Of a file only the effects, the record of the fit and the cells that are drawn are read, so that a fit of many millions
of cells takes no more memory than one of a thousand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem

from unbatch._check import InputError
from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.fitted import mean_of
from unbatch.io.failures import reading
from unbatch.io.limits import check_links
from unbatch.sampled_cells import NAME, ROW, find_sampled
from unbatch.slots import BATCH, EFFECTS, EMBEDDING, ERRORS, OVERLAP, RECORD, SAMPLE, gene_rows, read_record

_DIAGNOSTICS = "diagnostics"


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A fit, and some of its cells."""

    name: str
    """Name of the file; empty for an AnnData in memory."""
    record: Mapping[str, Any]
    """``uns["unbatch"]``."""
    genes: tuple[str, ...]
    """Names of the genes that are still there, as they are."""
    batches: tuple[str, ...]
    """Names of the batches, as they are."""
    log_delta: FloatArray
    """(n_genes, n_batches) natural log."""
    se: FloatArray
    """(n_genes, n_batches) its standard error; inf where nothing is known, 0 in the reference."""
    measured: BoolArray
    """(n_genes, n_batches) whether the batch measured the gene."""
    n_cells: int
    """Number of cells that are still there."""
    cells: AnnData
    """The cells that were read, with their slots, named by their row; without counts."""

    @property
    def n_fitted(self) -> int:
        """Number of cells that were fitted."""
        return int(np.sum(self.record["batch_sizes"]))

    def table(self, name: str) -> pd.DataFrame:
        """Give a table of the record of diagnostics; an empty one if the fit has none of that name."""
        found = self._diagnostics.get(name)
        return found if isinstance(found, pd.DataFrame) else pd.DataFrame()

    def array(self, name: str) -> FloatArray | None:
        """Give an array of the record of diagnostics; None if the fit has none of that name."""
        found = self._diagnostics.get(name)
        return None if found is None else np.asarray(found, dtype=np.float64)

    @property
    def diagnosed(self) -> bool:
        """Whether the file has a record of diagnostics: not if it was fitted before that was made."""
        return bool(self._diagnostics)

    @property
    def relative_to(self) -> str:
        """What effects are relative to; of mapped cells it is of the model."""
        onto = self.record.get("mapped_onto")
        if onto is not None:
            return f"{onto['expressed_in']} of the model"
        group = self.record.get("evidence", {}).get("group")
        return str(self.record.get("reference", "")) or mean_of(None if group is None else np.asarray(group))

    @property
    def _diagnostics(self) -> Mapping[str, Any]:
        found = self.record.get(_DIAGNOSTICS, {})
        return found if isinstance(found, Mapping) else {}


def read_fitted(source: AnnData | Path | str, *, most_cells: int, columns: Sequence[str] = ()) -> Fitted:
    """Read a fit and at most so many of its cells.

    Cells are those of the record of diagnostics, which are spread evenly over the batches; without one, cells spread
    evenly over the file.

    Parameters
    ----------
    source
        Data on which `unbatch.tl.batch_effects` ran, or the path of what ``unbatch fit`` wrote.
    most_cells
        Cells that are read at most; more of them take longer to be drawn.
    columns
        Columns of obs that are read, besides those that name the batches.

    Raises
    ------
    InputError
        If there is no such file, it is damaged or holds no fit, or has no such column.
    """
    if isinstance(source, AnnData):
        where = "this AnnData"
        part = _of_memory(source, most_cells=most_cells, columns=columns, where=where)
        name, n_cells = "", source.n_obs
    else:
        where = str(source)
        if Path(source).is_dir():
            raise InputError(f"{where} is a folder: a fit is one .h5ad file, as `unbatch fit` writes it")
        if not Path(source).is_file():
            raise InputError(f"there is no file {where}: give the file that `unbatch fit` wrote")
        with reading(where), h5py.File(source, "r") as file:
            check_links(file, where)
            part, n_cells = _of_file(file, most_cells=most_cells, columns=columns, where=where)
        name = Path(source).name
    record = read_record(part, where=where)
    rows = gene_rows(part, record, where=where)
    return Fitted(
        name=name,
        record=record,
        genes=tuple(str(gene) for gene in part.var_names),
        batches=tuple(str(batch) for batch in record["batches"]),
        log_delta=np.asarray(part.varm[EFFECTS], dtype=np.float64),
        se=np.asarray(part.varm[ERRORS], dtype=np.float64),
        measured=np.asarray(record["measured"], dtype=bool)[rows],
        n_cells=n_cells,
        cells=part,
    )


def _found(record: Any, n_cells: int, names: Callable[[IntArray | None], pd.Index]) -> Any:  # noqa: ANN401 - uns
    """Record whose sampled cells are at the rows where they are now, -1 for those that are gone.

    `names` gives the names of cells at some rows, in rising order, or of all: which are read only if cells have moved.
    """
    tables: Any = record.get(_DIAGNOSTICS) if isinstance(record, Mapping) else None
    sampled = tables.get("cells") if isinstance(tables, Mapping) else None
    if not isinstance(sampled, pd.DataFrame) or ROW not in sampled:
        return record
    rows = np.asarray(sampled[ROW], dtype=np.int64)
    inside = rows.size and rows.min() >= 0 and rows.max() < n_cells and (np.diff(rows) > 0).all()
    if NAME in sampled and inside and (names(rows).astype(str) == sampled[NAME].astype(str)).all():
        return record
    n_fitted = int(np.sum(record.get("batch_sizes", 0)))
    cells = sampled.assign(**{ROW: find_sampled(sampled, names(None), n_fitted=n_fitted)})
    return {**record, _DIAGNOSTICS: {**tables, "cells": cells}}


def _kept(record: Any, n_cells: int, most_cells: int) -> IntArray:  # noqa: ANN401 - whatever stands in uns
    """Rows of the cells that are read, in order, each once."""
    tables = record.get(_DIAGNOSTICS) if isinstance(record, Mapping) else None
    sampled = tables.get("cells") if isinstance(tables, Mapping) else None
    if isinstance(sampled, pd.DataFrame) and ROW in sampled:
        rows = np.asarray(sampled[ROW], dtype=np.int64)[evenly(len(sampled), most_cells)]
        if (rows >= 0).any():
            return np.unique(rows[rows >= 0])
    return evenly(n_cells, most_cells)


def evenly(n_all: int, most: int) -> IntArray:
    """Give places of at most so many, evenly apart, (min(n_all, most),)."""
    return np.unique(np.linspace(0, n_all - 1, min(n_all, most)).astype(np.int64))


def _of_memory(adata: AnnData, *, most_cells: int, columns: Sequence[str], where: str) -> AnnData:
    names = adata.obs_names
    record = _found(adata.uns.get(RECORD), adata.n_obs, lambda rows: names if rows is None else names[rows])
    rows = _kept(record, adata.n_obs, most_cells)
    wanted = _wanted(record, columns, list(adata.obs.columns), where)
    return AnnData(
        obs=adata.obs[wanted].iloc[rows].set_axis([str(row) for row in rows]),
        var=pd.DataFrame(index=adata.var_names),
        uns={} if record is None else {RECORD: record},
        varm={name: np.asarray(adata.varm[name]) for name in (EFFECTS, ERRORS) if name in adata.varm},
        obsm={EMBEDDING: np.asarray(adata.obsm[EMBEDDING][rows])} if EMBEDDING in adata.obsm else {},
    )


def _of_file(file: h5py.File, *, most_cells: int, columns: Sequence[str], where: str) -> tuple[AnnData, int]:
    for key in ("obs", "var"):
        if key not in file or not isinstance(file[key], h5py.Group):
            raise InputError(f"{where} has no table {key!r}: it was not written by `unbatch fit`")
    record = read_elem(file[f"uns/{RECORD}"]) if f"uns/{RECORD}" in file else None
    obs, var = file["obs"], file["var"]
    index = obs[obs.attrs["_index"]]
    n_cells = len(index)
    record = _found(record, n_cells, lambda rows: pd.Index(read_elem(index) if rows is None else index.asstr()[rows]))
    rows = _kept(record, n_cells, most_cells)
    wanted = _wanted(record, columns, [str(name) for name in obs.attrs["column-order"]], where)
    table = pd.DataFrame({name: _rows_of(obs[name], rows) for name in wanted}, index=[str(row) for row in rows])
    part = AnnData(
        obs=table,
        var=pd.DataFrame(index=pd.Index(read_elem(var[var.attrs["_index"]])).astype(str)),
        uns={} if record is None else {RECORD: record},
        varm={name: read_elem(file[f"varm/{name}"]) for name in (EFFECTS, ERRORS) if f"varm/{name}" in file},
        obsm={EMBEDDING: file[f"obsm/{EMBEDDING}"][rows]} if f"obsm/{EMBEDDING}" in file else {},
    )
    return part, n_cells


def _wanted(record: Any, columns: Sequence[str], there: list[str], where: str) -> list[str]:  # noqa: ANN401
    """Columns of obs to be read: those of the fit as far as they are there, and those asked for, which must be."""
    lost = [name for name in columns if name not in there]
    if lost:
        raise InputError(f"{where} has no obs column {lost[0]!r}: choose among {', '.join(map(repr, there[:20]))}")
    keys = [str(key) for key in record.get("batch_key", ())] if isinstance(record, Mapping) else []
    return list(dict.fromkeys(name for name in (BATCH, SAMPLE, OVERLAP, *keys, *columns) if name in there))


def _rows_of(element: h5py.Group | h5py.Dataset, rows: IntArray) -> Any:  # noqa: ANN401 - a column of any kind
    """Read some rows of a column: without the rest where it is stored as plain numbers, or as categories."""
    if isinstance(element, h5py.Dataset) and element.dtype.kind in "iufb":
        return element[rows]
    if isinstance(element, h5py.Group) and element.attrs.get("encoding-type") == "categorical":
        levels = pd.Index(read_elem(element["categories"]))
        return pd.Categorical.from_codes(element["codes"][rows], categories=levels)
    return pd.Series(read_elem(element)).iloc[rows].to_numpy()
