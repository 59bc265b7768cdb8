"""Counts and labels as bare arrays: checked, and opened as any other source."""

from collections.abc import Sequence
from typing import Any

import anndata
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from unbatch._check import InputError
from unbatch.io.source import CountSource, open_counts

LABELS, WITHIN = "batch", "condition"
"""Keys under which labels of batches and of conditions are found."""


def memory_source(
    counts: ArrayLike | sparse.sparray | sparse.spmatrix,
    batch: Sequence[Any],
    *,
    genes: pd.Index | None = None,
    within: Sequence[Any] | None = None,
) -> CountSource:
    """Open counts that are in memory, (n_cells, n_genes), under the keys `LABELS` and `WITHIN`.

    Parameters
    ----------
    counts
        Dense or sparse, of any format.
    batch, within
        Label of the batch, and of the condition, of each cell.
    genes
        Names of the genes; their numbers by default.

    Raises
    ------
    InputError
        If `counts` are no matrix, or labels or genes are not as many as it has rows or columns.
    """
    matrix = _matrix(counts)
    labels = {LABELS: _one_per_row(batch, matrix.shape[0], "batch labels")}
    if within is not None:
        labels[WITHIN] = _one_per_row(within, matrix.shape[0], "conditions")
    if genes is None:
        genes = pd.Index([str(gene) for gene in range(matrix.shape[1])])
    elif len(genes) != matrix.shape[1]:
        raise InputError(f"counts have {matrix.shape[1]} genes (columns), the model {len(genes)}: give the same genes")
    obs = pd.DataFrame(labels, index=[str(cell) for cell in range(matrix.shape[0])])
    return open_counts(anndata.AnnData(X=matrix, obs=obs, var=pd.DataFrame(index=genes)))


def _matrix(counts: Any) -> Any:  # noqa: ANN401 - whatever the user gave
    """Give counts as what AnnData holds: dense, CSR or CSC."""
    if isinstance(counts, anndata.AnnData):
        raise InputError("counts are an AnnData: use unbatch.tl.batch_effects(adata, batch_key=...), or give adata.X")
    if isinstance(counts, np.ma.MaskedArray):
        raise InputError("counts are a masked array, whose masked values are no counts: fill them, or drop their cells")
    if sparse.issparse(counts):
        return counts if counts.format in {"csr", "csc"} else counts.tocsr()
    try:
        matrix = np.asarray(counts)
    except ValueError as error:
        raise InputError(f"counts are no matrix: rows of different lengths, or no numbers ({error})") from error
    if matrix.ndim != 2:  # noqa: PLR2004
        raise InputError(f"counts have {matrix.ndim} dimensions: a matrix of cells x genes is needed")
    return matrix


def _one_per_row(values: Any, n_cells: int, what: str) -> Any:  # noqa: ANN401 - whatever the user gave
    """Check that there is a value for each cell; text and missing values keep apart, which an array would make text."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise InputError(f"{what} are {values!r}: give one per cell (row)")
    if len(values) != n_cells:
        raise InputError(f"there are {len(values)} {what} for {n_cells} cells (rows): give one per cell")
    if hasattr(values, "dtype"):
        column = np.asarray(values)
    else:
        column = np.empty(n_cells, dtype=object)
        column[:] = list(values)
    if column.ndim != 1:
        raise InputError(f"{what} have {column.ndim} dimensions: give one per cell (row)")
    return column
