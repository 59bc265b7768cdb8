r"""The embedding that users take home: coordinates of adjusted counts, less effects on some states, and noise.

Effects that are the same in all states are divided out of the counts. What is left is taken out here, where cells of
several batches show it: in rounds of grouping all cells into states, and shifting the cells of each batch in a state
towards those of the other batches that optimal transport finds to be their counterparts. Then each cell is put where it
is expected to be, given the noise of its counts (`Denoising`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray
from unbatch.core.denoising import Denoising
from unbatch.core.displacement import SHOWN, SHOWN_BY_LITTLE, visible_shares
from unbatch.core.keyed import keys_of
from unbatch.core.linked_shifts import LinkedPseudobulks
from unbatch.core.log_counts import LogCounts
from unbatch.core.shift_rounds import ShiftRounds, among_batches, apply_rounds, find_rounds
from unbatch.core.shifts import Shifts
from unbatch.core.states import clear_of_control, state_basis

_N_GENES = 2000
_COMPANY = 2
"""Fewest batches of a group that can be drawn together."""


@dataclass(frozen=True, eq=False)
class Embedding:
    r"""Axes, rounds of shifts along them, what is noise, and where the axes cross.

    .. math:: q \leftarrow q + \sum_s w_s(q)\, d_{s k}, \qquad
              w_s(q) \propto \exp(-\lVert q - c_s \rVert^2 / h)

    after the last round what `Denoising` makes of q, and then :math:`q - o`: like principal components, coordinates are
    deviations from a mean, and angles between cells (cosine distances) are those of deviations.

    Attributes
    ----------
    basis
        (n_genes, n_dims) axes for the log counts of `LogCounts`.
    centre
        (n_genes,) log effect in the batch of the mean cell: effects are divided out relative to it.
    rounds
        The shifts, one after the other.
    origin
        (n_dims,) mean o of these coordinates of the cells that the embedding was found by.
    denoising
        Where shifted cells are expected to be, given the noise of their counts; None for where they are.
    """

    basis: FloatArray
    centre: FloatArray
    rounds: ShiftRounds
    origin: FloatArray
    denoising: Denoising | None = None

    def apply(self, where: FloatArray, batch: CodeArray, level: CodeArray, *, size: FloatArray) -> FloatArray:
        """Take what is left of the batches, and noise, out of coordinates along the axes, and centre them.

        Parameters
        ----------
        where
            Coordinates, (n_cells, n_dims).
        batch
            Batch of each cell, (n_cells,); cells with any number that is no batch stay.
        level
            Level of each cell, (n_cells,).
        size
            Size factor of each cell, (n_cells,), by which its counts were normalised.

        Returns
        -------
        (n_cells, n_dims)
        """
        where = apply_rounds(self.rounds, where, batch, level)
        if self.denoising is not None:
            where = self.denoising.apply(where, size, level)
        return where - self.origin

    def louder(self, factor: FloatArray) -> Self:
        """Expect so many times the noise along each axis, (n_dims,)."""
        denoising = self.denoising
        return self if denoising is None else replace(self, denoising=denoising.louder(factor))

    def of_new_batch(self, where: FloatArray, level: CodeArray) -> tuple[FloatArray, ...]:
        """Find the shifts of a batch that was not there when the embedding was found, which does not change.

        Its states are drawn to those of the batches that are there, as among these: see `find_embedding`.

        Parameters
        ----------
        where
            Coordinates along the axes of cells of the batch that have counterparts, (n_cells, n_dims).
        level
            Level of each cell, (n_cells,).

        Returns
        -------
        One (n_states, n_dims) for each round.
        """
        batch, shifts = np.zeros(len(where), dtype=np.int32), list[FloatArray]()
        with one_thread():
            for one in self.rounds:
                shift = one.of_new_batch(where, level)
                shifts.append(shift)
                where = replace(one, shift=shift[:, None]).apply(where, batch, level)
        return tuple(shifts)

    def among_batches(self, used: IntArray, n_batches: int) -> Self:
        """Give the batches their numbers `used` among all; the others stay where they are."""
        return replace(self, rounds=among_batches(self.rounds, used, n_batches))


def mean_effect(log_delta: FloatArray, *, sizes: IntArray, known: BoolArray) -> FloatArray:
    """Average log effects over cells: unlike their mean over batches, it stays when a batch is split in two.

    Parameters
    ----------
    log_delta
        Log effects, (n_genes, n_batches).
    sizes
        Cells of each batch, (n_batches,).
    known
        Where the effect is known, (n_genes, n_batches).

    Returns
    -------
    (n_genes,), 0 where nothing is known.
    """
    weights = known * sizes.astype(np.float64)
    return np.asarray((weights * log_delta).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0))


def find_embedding(
    logs: LogCounts,
    *,
    centre: FloatArray,
    level: CodeArray,
    group: IntArray,
    genes: BoolArray,
    n_dims: int,
    seed: int,
    control_genes: BoolArray | None = None,
    linked: LinkedPseudobulks | None = None,
) -> Embedding:
    r"""Find axes, shifts and noise for cells whose effects are divided out.

    The axes are the pooled within-batch principal axes of log adjusted counts, over the genes that vary most within
    batches. In each round cells are grouped by k-means and shared out to the groups; with m the mean of the positions
    of a batch's cells in a group, and T the mass that optimal transport moves between the groups of the batch and those
    of the others (`transport`: cost is the squared distance over the mean spread within groups), its shift is

    .. math:: x_{sk} = \sum_t \frac{T_{st}}{\sum_u T_{su}} m_{t, \ne k} - m_{sk}, \qquad
              d_{sk} = (1 - 1/n) \big(g_{sk} \hat x_{sk} + (1 - g_{sk}) \hat m_k\big)

    where n is the number of batches, the hat is empirical Bayes over the groups of a batch, axis by axis (`shrink`), so
    that batches which differ by nothing stay, m what the displacements of a batch have in common, and g rises from 0 to
    1 as the mass that finds a counterpart rises from 0.1 to 0.3 of the group's: a type of cell of one batch alone only
    goes along with its batch, because what is nearest to it is taken by its own kind. A batch of which states show that
    it is not displaced by the way that its cells would be moved (`visible_shares`) stays where effects put it, and the
    others are drawn together without it. The mixture by which noise is
    told is found last, from where the shifts leave the cells (`Denoising.of`).

    Parameters
    ----------
    logs
        Log counts of the cells.
    centre
        What the effects that were divided out are relative to, (n_genes,): see `mean_effect`.
    level
        Level of each cell, (n_cells,): batches are drawn together within levels only.
    group
        Group of each batch, (n_batches,): those of one group can be compared, those with -1 with none.
    genes
        Genes that may take part, (n_genes,).
    n_dims
        Number of axes.
    seed
        Start of the clustering.
    control_genes
        Genes known to carry technical variation only, (n_genes,): what they predict is taken out of the axes.
    linked
        Links of pseudobulks, by which cells are drawn before the first round (`find_linked_shifts`); none by default.

    Returns
    -------
    Embedding
    """
    with one_thread():
        basis = state_basis(logs, batch=logs.batch, genes=genes, n_dims=n_dims, n_genes=_N_GENES)
        if not basis.any():
            return Embedding(basis, centre, (), np.zeros(basis.shape[1]))
        keys = keys_of(logs.counts)
        if control_genes is not None:
            basis = clear_of_control(basis, logs, batch=logs.batch, control_genes=control_genes & genes)
        where = logs.project(basis)
        find = partial(find_rounds, where, batch=logs.batch, level=level, keys=keys, seed=seed, linked=linked)
        known = linked is not None
        rounds, where = _drawn(find, where, batch=logs.batch, level=level, group=group, known=known)
        noise, start = logs.noise(basis), seed + len(rounds)
        denoising = Denoising.of(where, noise, logs.size, level=level, keys=keys, seed=start)
        where = denoising.apply(where, logs.size, level)
    return Embedding(basis, centre, rounds, where.mean(axis=0), denoising)


def _drawn(
    find: Callable[..., tuple[ShiftRounds, FloatArray]],
    where: FloatArray,
    *,
    batch: CodeArray,
    level: CodeArray,
    group: IntArray,
    known: bool,
) -> tuple[ShiftRounds, FloatArray]:
    """Draw the cells of batches together, but for batches of which states show that they are not displaced."""
    rounds, moved = find(group=group)
    stay = ~_displaced(rounds[0], where, moved, batch=batch, level=level, group=group, known=known)
    if not stay.any():
        return rounds, moved
    drawn = np.where(stay, -1, group)
    if np.unique(drawn[drawn >= 0], return_counts=True)[1].max(initial=0) < _COMPANY:
        return (), where
    return find(group=drawn)


def _displaced(
    first: Shifts,
    where: FloatArray,
    moved: FloatArray,
    *,
    batch: CodeArray,
    level: CodeArray,
    group: IntArray,
    known: bool,
) -> BoolArray:
    """Tell which batches are displaced, by the others of their group, as they would be moved, (n_batches,).

    Where a batch by itself leaves it open, all of its group together decide, or that it is `known` of some: cells were
    drawn in the fit.
    """
    state, shown = first.weights(where, level).argmax(axis=1).astype(np.int32), np.ones(len(group), dtype=bool)
    for number in np.unique(group[group >= 0]):
        mine = group == number
        compared = np.broadcast_to(mine, (len(first.centres), len(mine)))
        shares, together = visible_shares(where, moved, state, batch, compared=compared)
        shown[mine] = (shares[mine] > SHOWN) | ((shares[mine] > SHOWN_BY_LITTLE) & (known or together > SHOWN))
    return shown
