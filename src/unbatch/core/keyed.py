"""Random numbers that belong to cells, not to their places: the same in whatever order the cells come."""

import numpy as np

from unbatch._types import Counts, FloatArray, IntArray, KeyArray
from unbatch.core.kernels.keys import cell_keys
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of

_CELLS = 4096
_STEP = np.uint64(0x9E3779B97F4A7C15)


def keys_of(counts: Counts) -> KeyArray:
    """Give each cell a key that follows from its counts, (n_cells,); cells with the same counts share one.

    The order of cells and genes, and genes and cells without counts, change nothing.
    """
    keys = np.empty(counts.shape[0], dtype=np.uint64)

    def some(start: int, stop: int) -> None:
        data, _, indptr = rows_of(counts, start, stop)
        cell_keys(data, indptr, keys[start:stop])

    in_ranges(some, len(keys), step=_CELLS)
    return keys


def keys_by_place(n: int) -> KeyArray:
    """Give keys to points that have no counts: their places, (n,)."""
    return np.arange(n, dtype=np.uint64)


def evenly(keys: KeyArray, most: int) -> IntArray:
    """Draw at most so many, by their keys, with the same chance for each: places in ascending order."""
    if len(keys) <= most:
        return np.arange(len(keys))
    return np.sort(np.argsort(_mixed(keys * _STEP), kind="stable")[:most])


def order_of(counts: IntArray) -> IntArray:
    """Order the rows of a table of counts, (n_rows, n_columns), by what they hold in whatever order: (n_rows,)."""
    keys = _mixed(counts.astype(np.uint64) * _STEP).sum(axis=1, dtype=np.uint64)
    return np.argsort(keys, kind="stable")


def gumbel(keys: KeyArray, seed: int, draw: int) -> FloatArray:
    r"""Draw :math:`-\log(-\log u)` with u uniform for each key, (n,), by hashing it with the seed and the draw.

    The largest of :math:`\log w_i + g_i` is i with probability :math:`w_i / \sum w` (Gumbel 1954), and the m largest
    are a sample of m without replacement.
    """
    salt = np.random.SeedSequence(seed, spawn_key=(41, draw)).generate_state(1, dtype=np.uint64)[0]
    mixed = _mixed(keys * _STEP + salt)
    uniform = ((mixed >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return np.asarray(-np.log(-np.log(uniform)))


def _mixed(bits: KeyArray) -> KeyArray:
    """Let every bit depend on all: the finaliser of splitmix64 (Steele et al. 2014, Proc. OOPSLA, 453-472)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
