"""Counts with the batch effect taken out."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from scipy import sparse

from unbatch._check import InputError, check_number, check_whole
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray, IntArray, StepArray
from unbatch.core.kernels.division import divide
from unbatch.core.kernels.scaling import divide_each, keep_totals, look_up
from unbatch.core.kernels.thinning import thin
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.core.state_effects import StateEffects

Mode: TypeAlias = Literal["scale", "thin"]

_ROWS = 1024
_LARGEST_THINNED = 2**31 - 1
_NO_STATE = np.int32(-1)


@dataclass(frozen=True, kw_only=True)
class AdjustOptions:
    """How effects are taken out of counts.

    Raises
    ------
    InputError
        If an option is out of range, or two contradict each other.
    """

    mode: Mode = "scale"
    """``"scale"`` divides (float32): the mean is right, the noise is scaled with it. ``"thin"`` keeps each count with
    the probability that leaves what the batch that detects the gene least would have given (int32): Poisson counts stay
    Poisson."""
    state_specific: bool = False
    """Whether to take out the effect of the batch on the cell's own state, ``delta_gk rho_gsk``, where the fit has
    found it (``state_specific`` of the fit)."""
    keep_library_size: bool = False
    """Whether each cell keeps its total: its adjusted counts are multiplied by one number. Not with ``"thin"``, which
    can only take counts away."""
    max_factor: float = 20.0
    """The most by which a count is multiplied; when thinning, the reciprocal of the smallest probability to keep one. A
    larger value follows the effects of genes that are nearly absent in a batch further, and so the noise of their few
    counts; a smaller one leaves more of such effects in."""
    seed: int = 0
    """Start of the random numbers of ``"thin"``, up to 2^63 - 1, which every file can hold. The draw of a count depends
    on it, the cell's place and the gene."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InputError(f"there is no mode {self.mode!r}: choose {' or '.join(map(repr, get_args(Mode)))}")
        check_number("max_factor", self.max_factor, least=1)
        check_whole("seed", self.seed, least=0)
        if self.mode == "thin" and self.keep_library_size:
            raise InputError(
                "mode 'thin' can only take counts away, so no cell could keep its total: use mode 'scale' for "
                "library sizes that stay, or 'thin' without keep_library_size"
            )


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Result of `Adjuster.adjust`.

    Attributes
    ----------
    counts
        (n_cells, n_genes) CSR, float32 if scaled, int32 if thinned.
    capped
        (n_genes,) number of counts of each gene that met the cap.
    """

    counts: Counts
    capped: IntArray


@dataclass(frozen=True, eq=False)
class Adjuster:
    r"""Takes effects out of the counts of some cells at a time; what comes out depends on each cell alone.

    With the effect :math:`d_{gj} = \delta_{g k(j)} \rho_{g s(j) k(j)}` of the cell's batch on the gene (rho is 1 unless
    states have effects of their own) and the cap M,

    .. math:: \text{scale:}\ Y_{gj} \min(1 / d_{gj}, M), \qquad
              \text{scale, total kept:}\ Y_{gj} \min(c_j / d_{gj}, M), \qquad
              \text{thin:}\ \mathrm{Binomial}\big(Y_{gj}, \max(d_g^{\min} / d_{gj}, 1 / M)\big),

    with :math:`c_j` such that the cell's total stays, and :math:`d_g^{\min}` the smallest effect on the gene of all
    batches (and states) that take part. If :math:`Y_{gj}` is Poisson with mean :math:`l_j \mu_{gj} d_{gj}`, the thinned
    count is Poisson with mean :math:`l_j \mu_{gj} d_g^{\min}`, the same in each batch.

    Attributes
    ----------
    delta
        (n_genes, n_batches) multiplicative, 1 = no effect.
    estimated
        (n_genes, n_batches) whether the batch takes part for the gene; where not, counts stay as they are.
    options
        See `AdjustOptions`.
    states
        Effects of states, (n_states, n_batches, n_genes); None for none.
    genes
        (n_genes,) number of each gene in the random stream, below 2^48, by which some of the genes are thinned as all
        of them; None for their position.
    target
        (n_genes,) effect to thin to instead of the smallest: a batch of a smaller one keeps its counts.

    Raises
    ------
    InputError
        If delta is not positive and finite.
    """

    delta: FloatArray
    estimated: BoolArray
    options: AdjustOptions = field(default_factory=AdjustOptions)
    states: StateEffects | None = None
    genes: IntArray | None = None
    target: FloatArray | None = None

    def __post_init__(self) -> None:
        usable = np.isfinite(self.delta) & (self.delta > 0)
        if not usable.all():
            raise InputError(
                f"{(~usable).sum()} of {self.delta.size} effects are not positive and finite; use 1 for no effect"
            )

    def adjust(
        self, counts: Counts, batch: CodeArray, *, state: CodeArray | None = None, first_cell: int = 0
    ) -> Adjusted:
        """Adjust some cells.

        Parameters
        ----------
        counts
            (n_cells, n_genes) Y.
        batch
            (n_cells,) batch code of each cell; a cell with a negative code is left as it is.
        state
            (n_cells,) state of each cell, negative for none; needed if `states` are given.
        first_cell
            Place of the first cell among all, by which cells are told apart when thinning.

        Raises
        ------
        InputError
            If delta has other genes than counts, a code has no column of delta, or a count is too large to be thinned.
        """
        self._check(counts, batch)
        thinned = self.options.mode == "thin"
        data: np.ndarray[Any, np.dtype[Any]] = np.empty(counts.nnz, dtype=np.int32 if thinned else np.float32)
        capped = np.zeros(counts.nnz, dtype=np.bool_)
        table, target = self._tables
        place, steps, rho = self._places(batch, state)
        least = 1 / self.options.max_factor
        plain = not thinned and not self.options.keep_library_size and self.states is None and table.min() >= least
        numbers = np.arange(counts.shape[1]) if self.genes is None else self.genes

        def some(start: int, stop: int) -> None:
            rows = rows_of(counts, start, stop)
            here = slice(int(counts.indptr[start]), int(counts.indptr[stop]))
            if plain:
                divide(*rows, batch[start:stop], table, data[here])
                return
            effect = np.empty(here.stop - here.start)
            look_up(*rows[1:], batch[start:stop], table, place[start:stop], steps, rho, effect)
            if thinned:
                cell, seed = first_cell + start, np.uint64(self.options.seed)
                thin(*rows, effect, target, least, cell, numbers, seed, data[here], capped[here])
            elif self.options.keep_library_size:
                keep_totals(rows[0], rows[2], effect, self.options.max_factor, data[here], capped[here])
            else:
                divide_each(rows[0], effect, self.options.max_factor, data[here], capped[here])

        in_ranges(some, counts.shape[0], step=_ROWS)
        adjusted = sparse.csr_array((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
        per_gene = np.bincount(counts.indices[capped], minlength=counts.shape[1])
        if thinned:
            adjusted.eliminate_zeros()
        return Adjusted(adjusted, per_gene.astype(np.int64))

    def capped_effects(self) -> BoolArray:
        """Tell which effects are beyond the cap, (n_genes, n_batches); of states, if that of any state is."""
        least = 1 / self.options.max_factor
        lowest, highest = self._extremes
        if self.options.mode == "scale":
            return np.asarray(lowest < least)
        return np.asarray(self.estimated & (self._least[:, None] < least * highest))

    def _check(self, counts: Counts, batch: CodeArray) -> None:
        n_genes, n_batches = self.delta.shape
        if counts.shape[1] != n_genes:
            raise InputError(
                f"counts have {counts.shape[1]} genes and delta has {n_genes}: give the genes that were fitted"
            )
        if batch.max(initial=-1) >= n_batches:
            raise InputError(f"batch codes go up to {batch.max()}, but delta has {n_batches} batches")
        if self.options.mode == "thin" and (counts.data > _LARGEST_THINNED).any():
            raise InputError(
                f"{int((counts.data > _LARGEST_THINNED).sum())} counts are above {_LARGEST_THINNED:,} (the largest is "
                f"{counts.data.max():,.0f}), which thinned counts (int32) cannot hold: use mode 'scale'"
            )

    @cached_property
    def _extremes(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest effect over states, (n_genes, n_batches)."""
        if self.states is None or not len(self.states.steps):
            return self.delta, self.delta
        low, high = (
            np.exp(self.states.unit * found.astype(np.float64)).T
            for found in (self.states.steps.min(axis=0), self.states.steps.max(axis=0))
        )
        return self.delta * low, self.delta * high

    @cached_property
    def _tables(self) -> tuple[FloatArray, FloatArray]:
        """Effects with a last row for cells without batch, (n_batches + 1, n_genes), and those to thin to, (n_genes,).

        To be thinned by nothing is to have the effect that the others are thinned to.
        """
        nothing = np.ones(len(self.delta))
        if self.options.mode == "scale":
            return np.vstack([self.delta.T, nothing]), nothing
        target = self._least
        return np.vstack([np.where(self.estimated, self.delta, target[:, None]).T, target]), target

    @cached_property
    def _least(self) -> FloatArray:
        """Effect to thin to, (n_genes,): the smallest that is known, 1 where none is."""
        if self.target is not None:
            return self.target
        lowest = np.where(self.estimated, self._extremes[0], np.inf).min(axis=1, initial=np.inf)
        return np.where(np.isfinite(lowest), lowest, 1.0)

    def _places(self, batch: CodeArray, state: CodeArray | None) -> tuple[CodeArray, StepArray, FloatArray]:
        """Row of each cell in the table of states, that table, and the factor of each of its steps."""
        if self.states is None:
            return np.full(len(batch), _NO_STATE), np.zeros((0, len(self.delta)), dtype=np.int8), np.ones(1)
        if state is None:
            raise InputError("effects of states were asked for, but not the state of each cell: give it")
        n_states, n_batches, n_genes = self.states.steps.shape
        if state.max(initial=-1) >= n_states:
            raise InputError(f"states go up to {state.max()}, but there are effects for {n_states} states")
        known = (state >= 0) & (batch >= 0)
        place = np.where(known, state.astype(np.int32) * np.int32(n_batches) + batch, _NO_STATE).astype(np.int32)
        return place, self.states.steps.reshape(n_states * n_batches, n_genes), self.states.factors


def adjust_counts(counts: Counts, delta: FloatArray, batch: CodeArray) -> Counts:
    r"""Divide each count by the effect of its batch on its gene, :math:`Y_{gj} / \delta_{g k(j)}`, without a cap.

    Zeros stay zeros, so the pattern of the matrix does not change; adjusted counts are not whole numbers.

    Parameters
    ----------
    counts
        (n_cells, n_genes) Y.
    delta
        (n_genes, n_batches) multiplicative, 1 = no effect.
    batch
        (n_cells,) batch code of each cell; a cell with a negative code is left as it is.

    Returns
    -------
    (n_cells, n_genes) CSR of float32, computed in float64.

    Raises
    ------
    InputError
        If delta has other genes than counts, or is not positive and finite, or a code has no column of delta.
    """
    options = AdjustOptions(max_factor=np.finfo(np.float64).max)
    return Adjuster(delta, np.ones(delta.shape, dtype=bool), options).adjust(counts, batch).counts
