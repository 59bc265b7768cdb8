"""What of a fit is kept so that new cells can be put in their place beside the cells of the fit."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.log_counts import LogCounts
from unbatch.core.shift_rounds import ShiftRounds
from unbatch.core.states import States


@dataclass(frozen=True, eq=False)
class StateShape:
    """How the cells of each state lie around its centre.

    Attributes
    ----------
    spread
        (n_states, n_dims, n_dims) covariance of the coordinates of cells of one batch, drawn towards that of all
        states, the more so the fewer the cells.
    mean_logs
        (n_genes, n_states) mean log counts of the genes that are on an axis; 0 for others.
    noise
        Mean variance over these genes of log counts within a state, beside the axes.
    """

    spread: FloatArray
    mean_logs: Float32Array
    noise: float

    @classmethod
    def of(cls, logs: LogCounts, where: FloatArray, states: States, *, basis: FloatArray) -> Self:
        """Describe states.

        Parameters
        ----------
        logs
            Log counts of the cells.
        where
            Their coordinates, (n_cells, n_dims).
        states
            Their states.
        basis
            The axes, (n_genes, n_dims).
        """
        n_dims = where.shape[1]
        group = states.code.astype(np.int64) * (int(logs.batch.max()) + 1) + logs.batch
        _, compact = np.unique(group, return_inverse=True)
        cells = np.bincount(compact)
        means = np.stack([np.bincount(compact, column) for column in where.T], axis=1) / cells[:, None]
        residual = where - means[compact]
        state_of = np.zeros(len(cells), dtype=np.int64)
        state_of[compact] = states.code
        freedom = np.bincount(states.code, minlength=states.n_states) - np.bincount(state_of, minlength=states.n_states)
        pooled = residual.T @ residual / max(int(freedom.sum()), 1)
        spread = np.zeros((states.n_states, n_dims, n_dims))
        for state in range(states.n_states):
            mine = residual[states.code == state]
            spread[state] = (mine.T @ mine + n_dims * pooled) / (freedom[state] + n_dims)
        used = np.flatnonzero(np.any(basis != 0, axis=1))
        sums, squares = logs.moments(states.code)
        n_cells = np.bincount(states.code, minlength=states.n_states)
        mean = sums[:, used] / np.maximum(n_cells, 1)[:, None]
        within = float((squares[used].sum() - (n_cells[:, None] * mean**2).sum()) / max(len(where), 1))
        mean_logs = np.zeros((len(basis), states.n_states), dtype=np.float32)
        mean_logs[used] = mean.T
        beside = within - float(np.trace(pooled))
        return cls(spread=spread, mean_logs=mean_logs, noise=max(beside, 0.0) / max(len(used) - n_dims, 1))


@dataclass(frozen=True, eq=False, kw_only=True)
class Landmarks:
    """The states of a fit, as far as new cells have to know them.

    Batches are all batches of the fit, in its order. Effects are on two footings: those by which the coordinates of the
    fit were found, and those of the output, which differ by a factor per gene (`gene_shift`) and one per batch.
    """

    scale: float
    """Counts to which cells are normalised before the logarithm."""
    noise: float
    """Variance of the log count of a gene within a state, beside the axes."""
    log_delta: FloatArray
    """(n_genes, n_batches) log effects that were divided out when the cells of the fit were placed."""
    gene_shift: FloatArray
    """(n_genes,) log effect, on the footing of the coordinates, of what counts as none in the output."""
    exposure: FloatArray
    """(n_genes, n_states) summed counts over mu: how much mu rests on."""
    dispersion: FloatArray
    """(n_genes,) variance over that of Poisson counts, at least 1."""
    expression: FloatArray
    """(n_genes,) counts of all cells."""
    mean_logs: Float32Array
    """(n_genes, n_states) mean log counts of the genes that are on an axis."""
    embedding_logs: Float32Array
    """(n_genes, n_states) mean log counts of the genes that are on an axis of the embedding, as it takes them."""
    centres: FloatArray
    """(n_states, n_dims) mean coordinates."""
    spread: FloatArray
    """(n_states, n_dims, n_dims) covariance of the coordinates of cells of one batch."""
    level: CodeArray
    """(n_states,) condition of the state, a position in `level_names`."""
    level_names: tuple[str, ...]
    """Names of the conditions; none if cells of all conditions were compared."""
    cells: FloatArray
    """(n_states, n_batches) number of cells."""
    sizes: FloatArray
    """(n_states, n_batches) summed size factors."""
    support: BoolArray
    """(n_states, n_batches) whether the state's cells of the batch are compared with those of others."""
    group: IntArray
    """(n_batches,) group of batches that can be compared; -1 for batches that cannot, or took no part."""
    shifts: ShiftRounds = ()
    """What is done to the coordinates of cells of the fit's batches before their states are found."""

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.centres)

    @property
    def state_group(self) -> IntArray:
        """Group of batches that the rate of each state belongs to, (n_states,): the first with cells; -1 for none."""
        groups = np.where((self.cells > 0) & (self.group >= 0), self.group, len(self.group))
        first = groups.min(axis=1, initial=len(self.group))
        return np.where(first < len(self.group), first, -1)

    @property
    def usable(self) -> BoolArray:
        """States with cells of a batch whose effects are known, (n_states,)."""
        return np.asarray(self.state_group >= 0)

    def of_group(self, number: int) -> Self:
        """Let nothing be compared but with the batches of one group, and in states whose rates are theirs."""
        mine = self.group == number
        others = (self.state_group != number)[:, None] & mine
        return replace(self, group=np.where(mine, number, -1), cells=np.where(others, 0.0, self.cells))


def state_means(logs: LogCounts, states: States, *, basis: FloatArray) -> Float32Array:
    """Average the log counts of each state over cells, (n_genes, n_states); 0 for genes on no axis of `basis`."""
    sums, _ = logs.moments(states.code)
    cells = np.maximum(np.bincount(states.code, minlength=states.n_states), 1)
    means: Float32Array = (sums / cells[:, None] * np.any(basis != 0, axis=1)).T.astype(np.float32)
    return means
