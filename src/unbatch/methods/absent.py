"""Genes that a batch seems not to have measured, although its counts say 0: as after an outer join of files."""

from collections.abc import Sequence

import numpy as np

from unbatch._check import warn
from unbatch._types import BoolArray, CodeArray, Counts, FloatArray
from unbatch.core.state_table import group_sums

_EXPECTED = 50.0
"""Counts that the other batches lead one to expect where there is none."""
_FEWEST, _LEAST_SHARE = 10, 0.005


def absent_genes(counts: Counts, batch: CodeArray, *, measured: BoolArray) -> BoolArray:
    """Tell of which genes a batch has no count, where the share that they have of other batches' counts makes many.

    Parameters
    ----------
    counts
        (n_cells, n_genes).
    batch
        (n_cells,) 0 to n_batches - 1.
    measured
        (n_genes, n_batches) genes that each batch is known to have measured or not.

    Returns
    -------
    (n_genes, n_batches)
    """
    n_batches = measured.shape[1]
    sums = group_sums(counts, batch, n_groups=n_batches, genes=np.arange(counts.shape[1])).T
    total: FloatArray = sums.sum(axis=0)
    others = measured.astype(np.float64) * total
    rest = sums.sum(axis=1, keepdims=True) - sums
    expected = rest / np.maximum(others.sum(axis=1, keepdims=True) - others, 1.0) * total
    return np.asarray(measured & (sums == 0) & (expected >= _EXPECTED))


def warn_of_absent(absent: BoolArray, *, genes: Sequence[str], batches: Sequence[str]) -> None:
    """Warn of batches without a count of many genes.

    Parameters
    ----------
    absent
        (n_genes, n_batches), from `absent_genes`.
    genes, batches
        Names.

    Warns
    -----
    InputWarning
        Of the batch with most of them, if they are ten and half a percent of all.
    """
    number = absent.sum(axis=0)
    many = np.flatnonzero(number >= max(_FEWEST, _LEAST_SHARE * len(absent)))
    if not many.size:
        return
    worst = int(number.argmax())
    first = genes[int(absent[:, worst].argmax())]
    others = f", and of {many.size - 1} other batches likewise" if many.size > 1 else ""
    warn(
        f"{number[worst]} genes have no count at all in batch {batches[worst]!r}, where the other batches lead one to "
        f"expect {_EXPECTED:g} or more of each (the first is {first!r}){others}: if the batch did not measure them, as "
        "after an outer join, the zeros distort its effects; give each batch as a file with the genes that it "
        "measured, or keep the genes that all of them measured"
    )
