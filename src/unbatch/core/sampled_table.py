"""The sums over all cells where batches are many: by state and by batch, and by both of some batches only."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.state_table import StateCounts


@dataclass(frozen=True, eq=False)
class SampledTable:
    """Counts summed by state and by batch, which effects follow from, and by both of a sample of the batches.

    From the sample follows how far states scatter around the model, which is a matter of genes.

    Attributes
    ----------
    sample
        Sums by state and batch of some of the batches.
    sampled
        (n_sampled,) which batches these are.
    by_state
        (n_groups, n_genes, n_states) counts Y of all batches of a group together.
    by_batch
        (n_genes, n_batches) counts Y of all states together.
    group
        (n_batches,) group of each batch, 0 to n_groups - 1.
    exposure
        (n_states, n_batches) summed size factors l of the cells.
    cells
        (n_states, n_batches) number of cells.
    """

    sample: StateCounts
    sampled: IntArray
    by_state: FloatArray
    by_batch: FloatArray
    group: IntArray
    exposure: FloatArray
    cells: FloatArray

    @cached_property
    def margins(self) -> tuple[FloatArray, FloatArray]:
        """Counts summed over batches, (n_genes, n_states), and over states, (n_genes, n_batches)."""
        return np.asarray(self.by_state.sum(axis=0)), self.by_batch

    def of_batches(self, chosen: BoolArray) -> Self:
        """Keep some of the groups of batches, (n_batches,)."""
        if chosen.all():
            return self
        kept = np.unique(self.group[chosen])
        number = np.cumsum(chosen) - 1
        here = chosen[self.sampled]
        return type(self)(
            sample=self.sample.of_batches(here),
            sampled=number[self.sampled[here]],
            by_state=self.by_state[kept],
            by_batch=self.by_batch[:, chosen],
            group=np.searchsorted(kept, self.group[chosen]),
            exposure=self.exposure[:, chosen],
            cells=self.cells[:, chosen],
        )


AnyTable: TypeAlias = StateCounts | SampledTable
"""What effects may be fitted to."""
