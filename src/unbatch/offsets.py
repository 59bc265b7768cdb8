"""Log delta as the offset of a count model: for cells, and for sums over groups of cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from unbatch._check import InputError, warn
from unbatch._progress import Progress, Silent
from unbatch._types import BoolArray, CodeArray, Counts, Float32Array, FloatArray
from unbatch.adjusting import cell_states, gene_places, state_effects_of
from unbatch.core.adjust import Adjuster, AdjustOptions
from unbatch.core.state_effects import StateEffects
from unbatch.fitted import BatchFit
from unbatch.io.batches import label_cells
from unbatch.io.door import DoorCheck
from unbatch.io.known import PerCell, Shared
from unbatch.io.reduce import Together, reduce_blocks
from unbatch.io.source import Block, CountSource
from unbatch.labels import cell_batches
from unbatch.programmes.pseudobulks import measured_counts
from unbatch.unknown_batches import warn_of_unknown

_N_CELLS, _EXPOSURE = "n_cells", "exposure"
_UNKNOWN = "their offset is 0 as if there were none, leave them out of models"
_NO_CAP = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class Pseudobulks:
    """Counts summed over groups of cells, with what a count model needs to know of the batches in each group.

    Attributes
    ----------
    obs
        (n_groups, ...) the columns that name the groups, ``n_cells``, and ``exposure``: summed size factors of the
        cells, where the size factor of a cell is its total after its effects are divided out.
    counts
        (n_groups, n_genes) summed counts.
    log_delta
        (n_groups, n_genes) offset, natural log; 0 where nothing was measured.
    measured
        (n_groups, n_genes) whether any cell of the group is of a batch that measured the gene: 0 counts elsewhere say
        nothing.
    known
        (n_groups, n_genes) whether the effects on the gene of all batches in the group that measured it are known; else
        the offset takes some for none.
    """

    obs: pd.DataFrame
    counts: FloatArray
    log_delta: FloatArray
    measured: BoolArray
    known: BoolArray


class GroupSums:
    """Accumulator of counts by group, and of the size factor of each cell.

    Parameters
    ----------
    group
        (n_cells,) group of each cell.
    batch, state
        (n_cells,) batch and state of each cell.
    adjuster
        Divides effects out, by which the size factor is found.
    measured
        (n_genes, n_batches) genes that each batch measured. Counts of others are left out.
    common
        (n_genes,) genes by which size factors are found, so that they mean the same in each batch.
    n_groups
        Number of groups.
    """

    def __init__(
        self,
        group: CodeArray,
        *,
        batch: CodeArray,
        state: CodeArray | None,
        adjuster: Adjuster,
        measured: BoolArray,
        common: BoolArray,
        n_groups: int,
    ) -> None:
        self._group, self._batch = PerCell(group), PerCell(batch)
        self._state = None if state is None else PerCell(state)
        self._adjuster, self._measured, self._common = Shared(adjuster), Shared(measured), Shared(common)
        self._shape = n_groups, len(adjuster.delta)
        self.sums = np.zeros(self._shape, dtype=np.int64)
        self.sizes: dict[int, FloatArray] = {}

    def add(self, block: Block) -> None:
        """Add the cells of a block; whole numbers, so in any order."""
        cells = block.start, block.stop
        counts = measured_counts(block.counts, self._measured.value, self._batch.of(*cells))
        whole = sparse.csr_array((counts.data.astype(np.int64), counts.indices, counts.indptr), shape=counts.shape)
        here = np.arange(block.stop - block.start)
        ones = np.ones(len(here), dtype=np.int64)
        belongs = sparse.csr_array((ones, (self._group.of(*cells), here)), shape=(self._shape[0], len(here)))
        self.sums += (belongs @ whole).toarray()
        state = None if self._state is None else self._state.of(*cells)
        divided = self._adjuster.value.adjust(counts, self._batch.of(*cells), state=state).counts
        self.sizes[block.start] = _row_sums(divided, genes=self._common.value)

    def merge(self, other: "GroupSums") -> None:
        """Take in what another one has added up."""
        self.sums += other.sums
        self.sizes.update(other.sizes)

    def size_factors(self) -> FloatArray:
        """Size factor of each cell, (n_cells,)."""
        return np.concatenate([self.sizes[start] for start in sorted(self.sizes)])


def _row_sums(counts: Counts, *, genes: BoolArray) -> FloatArray:
    """Sum some genes of each row by itself, in the order of its genes: no split of the rows changes a bit."""
    ends = np.asarray(counts.indptr, dtype=np.int64)
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(ends))
    return np.asarray(
        np.bincount(rows, counts.data * genes[counts.indices], minlength=counts.shape[0]), dtype=np.float64
    )


def sum_groups(
    source: CountSource,
    fit: BatchFit,
    groupby: Sequence[str],
    *,
    state_specific: bool = False,
    progress: Progress | None = None,
) -> Pseudobulks:
    r"""Sum counts over groups of cells, and find the offset of each sum.

    With :math:`d_{gj} = \delta_{g k(j)}`, times :math:`\rho_{g s(j) k(j)}` if effects of states are asked for, and the
    size factor :math:`l_j = \sum_g Y_{gj} / d_{gj}` of a cell, over the genes that all batches measured, the counts of
    group p are Poisson with mean

    .. math:: \sum_{j \in p} l_j\, \mu_{gj}\, d_{gj} = \mu_{gp}\, L_p\, e^{o_{gp}}, \qquad
              o_{gp} = \log \frac{\sum_{j \in p} l_j d_{gj}}{\sum_{j \in p} l_j}, \quad L_p = \sum_{j \in p} l_j

    if the rate is the same for all cells of the group. The weights are exposures: no count of the gene is in them,
    but for its part in the cell's total. If the cells of a group are of one batch, o is its log delta. A batch that did
    not measure a gene has no counts of it: d is 0 there.

    Parameters
    ----------
    source
        Counts, (n_cells, n_genes), read once.
    fit
        The effects.
    groupby
        Columns of obs, whose combinations that occur are the groups.
    state_specific
        Whether effects of states are taken in.
    progress
        Told of the stage "summing counts".

    Returns
    -------
    Pseudobulks

    Raises
    ------
    InputError
        If a gene or batch was not part of the fit, a column is missing, a cell has no label, values are not counts, or
        effects of states are asked for and not known.

    Warns
    -----
    InputWarning
        If no cell of a group is of a batch that measured a gene, or cells are of a batch of which no effect is known.
    """
    if not groupby:
        raise InputError("groupby names no column: give the columns of obs whose combinations are the groups")
    taken = [name for name in (_N_CELLS, _EXPOSURE) if name in groupby]
    if taken:
        raise InputError(
            f"groupby names the column {taken[0]!r}, which is what the sums themselves tell: rename it in obs"
        )
    rows, batch = gene_places(source, fit), cell_batches(source, fit)
    groups = label_cells(source, list(groupby))
    delta, states, state = fit.delta[rows], None, None
    if state_specific:
        states, state = state_effects_of(fit).of_genes(rows), cell_states(source, fit, batch)
    by = Adjuster(delta, fit.estimated[rows], options=AdjustOptions(max_factor=_NO_CAP), states=states)
    measured = fit.measured[rows]
    common = np.asarray(measured[:, [name not in fit.too_small for name in fit.batches]].all(axis=1))
    sums = GroupSums(
        groups.codes,
        batch=batch,
        state=state,
        adjuster=by,
        measured=measured,
        common=common if common.any() else np.ones(len(common), dtype=np.bool_),
        n_groups=len(groups.levels),
    )
    with (progress or Silent()).stage("summing counts", total=source.n_cells) as advance:
        reduce_blocks(source, Together(DoorCheck(source), sums), progress=advance)
    size = sums.size_factors()
    obs = source.obs[list(groupby)].iloc[np.unique(groups.codes, return_index=True)[1]].reset_index(drop=True)
    obs.index = pd.Index(groups.levels, dtype=object)
    obs[_N_CELLS] = groups.sizes
    obs[_EXPOSURE] = np.bincount(groups.codes, size, len(groups.levels))
    means = _means(groups.codes, batch, state, size=size, delta=np.where(measured, delta, 0.0), states=states)
    _warn_of_unmeasured(means > 0)
    known = _known(groups.codes, batch, fit.estimated[rows] | ~measured)
    warn_of_unknown(fit, batch, so=_UNKNOWN)
    log_delta = np.log(np.where(means > 0, means, 1.0))
    return Pseudobulks(obs, sums.sums.astype(np.float64), log_delta, means > 0, known)


def _known(group: CodeArray, batch: CodeArray, known: BoolArray) -> BoolArray:
    """Tell whether nothing of a gene is unknown in the batches of a group, (n_groups, n_genes)."""
    there = np.zeros((int(group.max()) + 1, known.shape[1]))
    there[group, batch] = 1.0
    return np.asarray(there @ (~known).T.astype(np.float64) == 0)


def _warn_of_unmeasured(measured: BoolArray) -> None:
    if not measured.all():
        warn(
            f"{int((~measured).sum())} of {measured.size} sums are of genes that no cell of the group measured: they "
            "are 0 and say nothing, leave them out of models (they are marked as not measured)"
        )


def _means(
    group: CodeArray,
    batch: CodeArray,
    state: CodeArray | None,
    *,
    size: FloatArray,
    delta: FloatArray,
    states: StateEffects | None,
) -> FloatArray:
    """Mean effect on the cells of each group, weighted by their size factors, (n_groups, n_genes)."""
    code = np.full(len(batch), -1) if state is None else state
    kinds, which = np.unique(np.stack([batch, code]), axis=1, return_inverse=True)
    n_groups, n_kinds = int(group.max()) + 1, kinds.shape[1]
    pairs = group.astype(np.int64) * n_kinds + which.ravel()
    weight = np.bincount(pairs, size, n_groups * n_kinds).reshape(n_groups, n_kinds)
    cells = np.bincount(pairs, minlength=n_groups * n_kinds).reshape(n_groups, n_kinds)
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0, weight, cells)  # a group without any count
    sums = np.zeros((n_groups, len(delta)))
    for kind, (k, s) in enumerate(kinds.T):
        effect = delta[:, k]
        if states is not None and s >= 0:
            effect = effect * np.exp(states.unit * states.steps[s, k].astype(np.float64))
        sums += weight[:, [kind]] * effect
    return np.asarray(sums / weight.sum(axis=1, keepdims=True))


def cell_offsets(source: CountSource, fit: BatchFit, *, state_specific: bool = False) -> Float32Array:
    """Log of the effect of its batch on each gene, of each cell, (n_cells, n_genes), float32 and dense.

    Raises
    ------
    InputError
        As `sum_groups`.

    Warns
    -----
    InputWarning
        If cells are of a batch of which no effect is known.
    """
    rows, batch = gene_places(source, fit), cell_batches(source, fit)
    warn_of_unknown(fit, batch, so=_UNKNOWN)
    offset = np.ascontiguousarray(fit.log_delta[rows].T.astype(np.float32))[batch]
    if state_specific:
        states, state = state_effects_of(fit).of_genes(rows), cell_states(source, fit, batch)
        known = np.flatnonzero(state >= 0)
        offset[known] += (states.unit * states.steps[state[known], batch[known]]).astype(np.float32)
    return offset
