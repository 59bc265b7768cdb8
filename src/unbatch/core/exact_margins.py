"""Sums by state, by batch, and by both of some batches, over any number of cells, in any order, to the bit."""

import numpy as np

from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.exact_sums import SIZE_UNITS, ExactCounts
from unbatch.core.kernels.exact_sums import add_counts
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of
from unbatch.core.sampled_table import SampledTable


class ExactMargins:
    """What a `SampledTable` holds, added up block by block in whole numbers.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_states
        Number of states.
    group
        Group of each batch, (n_batches,), 0 to n_groups - 1.
    sampled
        Batches whose counts are summed by state too, (n_sampled,).
    """

    def __init__(self, n_genes: int, n_states: int, *, group: IntArray, sampled: IntArray) -> None:
        self._n_genes, self._shape, self._group, self._sampled = n_genes, (n_states, len(group)), group, sampled
        self._place = np.full(len(group), -1, dtype=np.int32)
        self._place[sampled] = np.arange(len(sampled), dtype=np.int32)
        self.sample = ExactCounts(n_genes, (n_states, len(sampled)))
        self.cells = np.zeros(n_states * len(group), dtype=np.int64)
        self.exposure = np.zeros_like(self.cells)
        self.by_state: dict[int, IntArray] = {}
        self.by_batch: dict[int, IntArray] = {}

    def add(self, counts: Counts, *, state: CodeArray, batch: CodeArray, size: FloatArray) -> None:
        """Add cells.

        Parameters
        ----------
        counts
            Counts, (n_cells, n_genes).
        state, batch
            State and batch of each cell, (n_cells,). Cells of a negative state are left out.
        size
            Size factor of each cell, (n_cells,), positive.
        """
        place, n_states = self._place[batch], self._shape[0]
        self.sample.add(counts, state=np.where(place < 0, np.int32(-1), state), batch=np.maximum(place, 0), size=size)
        used = np.flatnonzero(state >= 0)
        pair = state[used].astype(np.int64) * self._shape[1] + batch[used]
        self.cells += np.bincount(pair, minlength=len(self.cells))
        np.add.at(self.exposure, pair, np.rint(size[used] * SIZE_UNITS).astype(np.int64))
        self._add_by(counts, used, self._group[batch[used]] * n_states + state[used], self.by_state)
        self._add_by(counts, used, batch[used].astype(np.int64), self.by_batch)

    def _add_by(self, counts: Counts, used: IntArray, code: IntArray, sums: dict[int, IntArray]) -> None:
        """Add the counts of some cells to the sums of their codes."""
        order = np.argsort(code, kind="stable")
        names, starts, sizes = np.unique(code[order], return_index=True, return_counts=True)
        for name in names.tolist():
            if name not in sums:
                sums[name] = np.zeros(self._n_genes, dtype=np.int64)
        rows = rows_of(counts, 0, counts.shape[0])

        def one(number: int, _: int) -> None:
            mine = used[order[starts[number] : starts[number] + sizes[number]]]
            add_counts(*rows, mine, sums[int(names[number])])

        in_ranges(one, len(names), step=1)

    def merge(self, other: "ExactMargins") -> None:
        """Add what another one has added up, which stays as it is."""
        self.sample.merge(other.sample)
        self.cells += other.cells
        self.exposure += other.exposure
        for mine, theirs in ((self.by_state, other.by_state), (self.by_batch, other.by_batch)):
            for name, sums in theirs.items():
                mine[name] = mine[name] + sums if name in mine else sums.copy()

    def finish(self) -> SampledTable:
        """Give the sums, which are let go."""
        (n_states, n_batches), n_groups = self._shape, int(self._group.max(initial=0)) + 1
        by_state = np.zeros((n_groups, self._n_genes, n_states))
        by_batch = np.zeros((self._n_genes, n_batches))
        for name in list(self.by_state):
            by_state[name // n_states, :, name % n_states] = self.by_state.pop(name)
        for name in list(self.by_batch):
            by_batch[:, name] = self.by_batch.pop(name)
        return SampledTable(
            sample=self.sample.finish(),
            sampled=self._sampled,
            by_state=by_state,
            by_batch=by_batch,
            group=self._group,
            exposure=self.exposure.reshape(self._shape) / SIZE_UNITS,
            cells=self.cells.reshape(self._shape).astype(np.float64),
        )
