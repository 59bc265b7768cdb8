"""Coordinates of cells without any correction: what most analyses begin with."""

import numpy as np

from unbatch._threads import one_thread
from unbatch._types import Counts, Float32Array, IntArray
from unbatch.core.diagnostics.sample import squared
from unbatch.core.leading_axes import leading_axes

_GENES = 1000
_MOST_CELLS = 2500
"""Cells by which axes are found; of more, evenly spaced ones."""


def principal_coordinates(values: Counts, *, genes: IntArray, n_dims: int) -> Float32Array:
    """Project cells on the principal axes of the genes that vary most.

    Parameters
    ----------
    values
        (n_cells, n_genes) log counts.
    genes
        Genes that may take part, in ascending order.
    n_dims
        Number of axes; fewer where there are fewer genes or cells.

    Returns
    -------
    (n_cells, n_dims) with zeros in axes that there are not. The sign of an axis is that of its largest loading.
    """
    n_cells = values.shape[0]
    mean = np.asarray(values.sum(axis=0)).ravel() / max(n_cells, 1)
    variance = np.asarray(squared(values).sum(axis=0)).ravel() / max(n_cells, 1) - mean**2
    ranked = genes[np.argsort(-variance[genes], kind="stable")[:_GENES]]
    chosen = np.sort(ranked[variance[ranked] > 0])
    found = np.zeros((n_cells, n_dims), dtype=np.float32)
    n_axes = min(n_dims, len(chosen), n_cells - 1)
    if n_axes < 1:
        return found
    with one_thread():
        dense = values[:, chosen].toarray() - mean[chosen]
        some = dense[:: -(-n_cells // _MOST_CELLS)]
        axes = leading_axes(some.T @ some, n_axes, n_points=len(some))
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)])
        found[:, :n_axes] = dense @ axes
    return found
