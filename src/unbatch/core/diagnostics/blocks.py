"""Two blocks of batches that share much less with each other than within."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from unbatch._types import BoolArray, FloatArray

_FEWEST = 2
_LONGEST = 2.0
"""A share of 0 as a distance; that of 1 is not 0, which is no edge."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Two blocks of batches.

    Attributes
    ----------
    first
        (n_batches,) whether a batch is of the first block.
    between
        Largest share of the cells of a batch that have counterparts in a batch of the other block.
    within
        The same within blocks, of the batch for which it is least.
    """

    first: BoolArray
    between: float
    within: float

    @property
    def ratio(self) -> float:
        """What is shared between blocks, over what is shared within; infinite if nothing is."""
        return self.between / self.within if self.within > 0 else np.inf


def find_blocks(support: FloatArray) -> Blocks | None:
    """Part batches into two blocks of at least two each that share least with each other, over what they share within.

    Blocks are what falls apart when one edge is taken from the maximum spanning tree of shares (in the direction in
    which more is shared): if any two blocks share less than each does within, the tree has one edge between them.

    Parameters
    ----------
    support
        Share of the cells of a batch (row) that have counterparts in another (column), (n_batches, n_batches).

    Returns
    -------
    Blocks
        None if there are fewer than four batches, or no edge parts two from two.
    """
    shares = np.maximum(support, support.T)
    n_batches = len(shares)
    tree = minimum_spanning_tree(csr_array(np.triu(_LONGEST - shares, 1))).tocoo()
    shared, best = _LONGEST - tree.data, None
    for edge in np.argsort(shared, kind="stable").tolist():
        if best is not None and shared[edge] >= best.ratio:  # within is at most 1
            break
        kept = np.arange(tree.nnz) != edge
        links = coo_array((np.ones(tree.nnz - 1), (tree.row[kept], tree.col[kept])), shape=(n_batches, n_batches))
        first = connected_components(links, directed=False)[1] == 0
        if min(first.sum(), (~first).sum()) < _FEWEST:
            continue
        inside = first[:, None] == first
        within = np.where(inside & ~np.eye(n_batches, dtype=bool), shares, 0.0).max(axis=1).min()
        found = Blocks(first, float(shares[tree.row[edge], tree.col[edge]]), float(within))
        best = found if best is None or found.ratio < best.ratio else best
    return best
