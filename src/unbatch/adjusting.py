"""The effects of a fit taken out of counts that are read block by block."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from unbatch._check import InputError
from unbatch._progress import Progress, Silent
from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.adjust import Adjuster, AdjustOptions
from unbatch.core.state_effects import StateEffects
from unbatch.fitted import BatchFit
from unbatch.fitted_cells import fitted_rows
from unbatch.io.door import DoorCheck
from unbatch.io.source import Block, CountSource
from unbatch.labels import cell_batches
from unbatch.unknown_batches import warn_of_unknown

_SHOWN = 8


class Adjustment:
    """Effects of a fit taken out of the counts of a source.

    Everything that needs no counts is checked when it is made, before the first block is read.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes). Its genes must be among those of the fit, its batches too; its cells may be new,
        unless effects of states are asked for.
    fit
        The effects.
    options
        How they are taken out; the defaults divide.
    labels
        Batch of each cell, (n_cells,). By default the columns of obs that named the batches in the fit; or the names of
        the input files, if each of those was a batch.
    progress
        Told of the stage "adjusting counts".

    Raises
    ------
    InputError
        If a gene or a batch was not part of the fit, labels are missing, or effects of states are asked for that the
        fit does not hold or cells that it did not see.
    """

    def __init__(
        self,
        source: CountSource,
        fit: BatchFit,
        *,
        options: AdjustOptions | None = None,
        labels: Sequence[Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.options = options or AdjustOptions()
        self._source, self._progress, self._fit = source, progress or Silent(), fit
        rows = gene_places(source, fit)
        self.batch = cell_batches(source, fit, labels=labels)
        states = None
        self._states: CodeArray | None = None
        if self.options.state_specific:
            states = state_effects_of(fit).of_genes(rows)
            self._states = cell_states(source, fit, self.batch)
        self._adjuster = Adjuster(
            fit.delta[rows],
            fit.estimated[rows],
            options=self.options,
            states=states,
            genes=gene_numbers(source.var.index),
            target=_target(fit, rows) if self.options.mode == "thin" else None,
        )
        self.capped = np.zeros(source.n_genes, dtype=np.int64)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the adjusted counts: float32 if scaled, int32 if thinned."""
        return np.dtype(np.int32 if self.options.mode == "thin" else np.float32)

    def blocks(self) -> Iterator[Block]:
        """Read counts, check them, and adjust them, block by block.

        Raises
        ------
        InputError
            If values are not counts.

        Warns
        -----
        InputWarning
            If cells are of a batch of which no effect is known.
        """
        warn_of_unknown(self._fit, self.batch, so="their counts are left as they are")
        self.capped[:] = 0
        door = DoorCheck(self._source)
        with self._progress.stage("adjusting counts", total=self._source.n_cells) as advance:
            for block in self._source.blocks():
                door.add(block)
                cells = slice(block.start, block.stop)
                found = self._adjuster.adjust(
                    block.counts,
                    self.batch[cells],
                    state=None if self._states is None else self._states[cells],
                    first_cell=block.start,
                )
                self.capped += found.capped
                yield Block(block.start, found.counts)
                advance(block.stop - block.start)

    def of_rows(self, rows: IntArray, counts: Counts) -> Counts:
        """Adjust the counts of some cells of the source, unchecked; thinned ones are drawn by their place here."""
        state = None if self._states is None else self._states[rows]
        return self._adjuster.adjust(counts, self.batch[rows], state=state).counts

    @property
    def _thinned_to(self) -> str:
        return "batch that detects each gene least" + ("" if self._fit.mapped_onto is None else ", of the model")

    def record(self) -> dict[str, Any]:
        """Say how the counts were adjusted, and what met the cap; complete once the blocks have been read.

        Returns
        -------
        dict
            "expressed_in", the options, "capped_counts" (number of counts that met the cap), "capped_effects" (number
            of effects, genes x batches, beyond it) and "capped_genes" (names of the genes of these counts, those with
            most of them first).
        """
        by_number = np.argsort(-self.capped, kind="stable")[: int((self.capped > 0).sum())]
        thinned = self.options.mode == "thin"
        return {
            "expressed_in": self._thinned_to if thinned else self._fit.expressed_in,
            **asdict(self.options),
            "capped_counts": int(self.capped.sum()),
            "capped_effects": int(self._adjuster.capped_effects().sum()),
            "capped_genes": self._source.var.index[by_number].to_numpy().astype(object),
        }


def _target(fit: BatchFit, rows: IntArray) -> FloatArray | None:
    """Effect that mapped counts are thinned to, that of the model, so that they go with its own; None if fitted."""
    if fit.mapped_onto is None:
        return None
    if fit.least_log_delta is None:
        raise InputError(
            "these cells were mapped by an older version, which did not keep what the counts of the model are thinned "
            "to: map them again, or use mode 'scale'"
        )
    return np.asarray(np.exp(fit.least_log_delta[rows]))


def state_effects_of(fit: BatchFit) -> StateEffects:
    """Give the effects of states that a fit holds.

    Raises
    ------
    InputError
        If it holds none.
    """
    if fit.state_effects is None and fit.mapped_onto is not None:
        raise InputError(
            "these cells were mapped onto a fit, and effects of states are those of its own cells: take out the "
            "effects that all states share, without state_specific, or fit all cells together with it"
        )
    if fit.state_effects is None:
        raise InputError(
            "the fit holds no effects of states: fit again with state_specific=True (`unbatch fit --state-specific`), "
            "or take out the effects that all states share, without it"
        )
    return fit.state_effects


def cell_states(source: CountSource, fit: BatchFit, batch: CodeArray) -> CodeArray:
    """State of each cell of `source`, found in the fit by the cell's name, (n_cells,); -1 for none.

    Parameters
    ----------
    source
        The cells.
    fit
        The fit.
    batch
        Column of the batch of each cell in the effects of `fit`, (n_cells,), from `unbatch.labels.cell_batches`.

    Raises
    ------
    InputError
        If a cell was not part of the fit, or of another batch there, or cells share a name.
    """
    if fit.sample is None:
        raise InputError("the fit is one of effects only, and knows no cell's state: fit again without effects_only")
    fitted, wanted = fit.obs.index, source.obs.index
    if wanted.equals(fitted):
        return np.asarray(fit.sample, dtype=np.int32)
    if not (fitted.is_unique and wanted.is_unique):
        raise InputError(
            f"cells of {source.description} share names, so that their states cannot be looked up in the fit: give all "
            "cells of the fit in their order, or make the names unique and fit again"
        )
    rows = fitted_rows(source, fit, batch)
    strangers = np.flatnonzero(rows < 0)
    if strangers.size:
        raise InputError(
            f"{strangers.size} of {source.n_cells} cells of {source.description} were not part of the fit, or of "
            f"another batch there (first: {wanted[strangers[0]]!r}), so that their state is not known: leave them out, "
            "or take out the effects that all states share, without state_specific"
        )
    return np.asarray(fit.sample[rows], dtype=np.int32)


def gene_places(source: CountSource, fit: BatchFit) -> IntArray:
    """Row in the fit of each gene of `source`, found by name, (n_genes,).

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
    return np.asarray(rows, dtype=np.int64)


def gene_numbers(names: pd.Index) -> IntArray:
    """Make a number of 48 bits of each gene's name: the same in any selection and order of the genes, (n_genes,)."""
    digests = (blake2b(str(name).encode(), digest_size=6).digest() for name in names)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.int64)
