"""The effects of a fit taken out of counts that are read block by block."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unbatch._check import InputError
from unbatch._progress import Progress, Silent
from unbatch._types import CodeArray, FloatArray
from unbatch.core.adjust import adjust_counts
from unbatch.fitted import BatchFit
from unbatch.io.batches import label_cells
from unbatch.io.door import DoorCheck
from unbatch.io.source import Block, CountSource

_SHOWN = 8


def adjusted_blocks(
    source: CountSource, fit: BatchFit, *, labels: Sequence[Any] | None = None, progress: Progress | None = None
) -> Iterator[Block]:
    """Read counts, check them, and divide each by the effect of its batch on its gene.

    Everything that needs no counts is checked before the first block is read.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes). Its genes must be among those of the fit, its batches too; its cells may be new.
    fit
        The effects.
    labels
        Batch of each cell, (n_cells,). By default the columns of obs that named the batches in the fit; or the names of
        the input files, if each of those was a batch.
    progress
        Told of the stage "adjusting counts".

    Returns
    -------
    iterator of Block
        Adjusted counts, float32.

    Raises
    ------
    InputError
        If a gene or a batch was not part of the fit, labels are missing, or values are not counts.
    """
    delta = matching_delta(source, fit)
    found = source_labels(source, fit) if labels is None else [str(label) for label in labels]
    codes = batch_codes(found, fit, where=source.description)
    if labels is None:
        _check_same_labels(source, fit)
    return _adjust(source, delta, codes=codes, progress=progress or Silent())


def _adjust(source: CountSource, delta: FloatArray, *, codes: CodeArray, progress: Progress) -> Iterator[Block]:
    door = DoorCheck(source)
    with progress.stage("adjusting counts", total=source.n_cells) as advance:
        for block in source.blocks():
            door.add(block)
            yield Block(block.start, adjust_counts(block.counts, delta, codes[block.start : block.stop]))
            advance(block.stop - block.start)


def matching_delta(source: CountSource, fit: BatchFit) -> FloatArray:
    """Multiplicative effects of the genes of `source`, found by name, (n_genes, n_batches).

    Raises
    ------
    InputError
        If a gene was not part of the fit.
    """
    rows = fit.var.index.get_indexer(source.var.index)
    strangers = np.flatnonzero(rows < 0)
    if strangers.size:
        raise InputError(
            f"{strangers.size} of {source.n_genes} genes of {source.description} were not part of the fit (first: "
            f"{source.var.index[strangers[0]]!r}): leave them out, or fit again with them"
        )
    return np.asarray(fit.delta[rows])


def source_labels(source: CountSource, fit: BatchFit) -> list[str]:
    """Batch label of each cell of `source`, found as in the fit, (n_cells,).

    Raises
    ------
    InputError
        If a column is missing, or a cell has no label.
    """
    if not fit.batch_key:
        return [source.parts[part] for part in source.part]
    missing = [key for key in fit.batch_key if key not in source.obs]
    if missing:
        columns = ", ".join(repr(str(column)) for column in source.obs.columns[:_SHOWN]) or "none"
        raise InputError(
            f"{source.description} has no obs column {missing[0]!r}, which named the batches in the fit (its columns: "
            f"{columns}): add it"
        )
    return label_cells(source, fit.batch_key).labels


def _check_same_labels(source: CountSource, fit: BatchFit) -> None:
    """Refuse cells that bear other labels than in the fit, if they are the cells of the fit.

    Cells of other files may share names with them by chance, as barcodes do: only the same in the same order count.
    """
    if not fit.batch_key or not set(fit.batch_key) <= set(fit.obs) or not source.obs.index.equals(fit.obs.index):
        return
    for key in fit.batch_key:
        before, now = (table[key].astype(str).to_numpy() for table in (fit.obs, source.obs))
        changed = np.flatnonzero(before != now)
        if changed.size:
            first = int(changed[0])
            raise InputError(
                f"{changed.size} of {source.n_cells} cells of {source.description} bear another obs[{key!r}] than in "
                f"the fit (first: {source.obs.index[first]!r}, then {before[first]!r}, now {now[first]!r}): give the "
                "labels that were fitted, or fit again"
            )


def batch_codes(labels: Sequence[Any], fit: BatchFit, *, where: str) -> CodeArray:
    """Column of each label in the effects of `fit`, (n_cells,).

    Raises
    ------
    InputError
        If a batch was not part of the fit.
    """
    codes = pd.Index(fit.batches).get_indexer(pd.Index([str(label) for label in labels]))
    strange = sorted({str(label) for label, code in zip(labels, codes, strict=True) if code < 0})
    if strange:
        known = ", ".join(repr(batch) for batch in fit.batches[:_SHOWN]) + (
            ", ..." if len(fit.batches) > _SHOWN else ""
        )
        raise InputError(
            f"batch {strange[0]!r} of {where} was not part of the fit ({len(strange)} such batches, "
            f"{int((codes < 0).sum())} cells): the fit knows {known}; fit again with these cells, or leave them out"
        )
    return np.asarray(codes, dtype=np.int32)
