"""Over-correction probes: what they change in the data, and what is measured then. Arrays in, numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

HALVES = (" (1)", " (2)")
"""What the names of the halves of a split batch end in."""

N_NEIGHBORS = 15
_MIN_CELLS = 20


@dataclass(frozen=True)
class Removal:
    """A cell type taken out of one batch."""

    label: str
    batch: str


@dataclass(frozen=True)
class Purity:
    """Share of neighbours of the same type among the cells of a type that one batch lost, before and after."""

    before: float
    after: float
    into: str
    """The other type whose share among their neighbours grew most."""

    @property
    def loss(self) -> float:
        """What was lost; negative where the type is purer after."""
        return self.before - self.after


def split_largest(batch: np.ndarray, seed: int) -> np.ndarray:
    """Rename the cells of the largest batch (of several, the first by name) into two random halves."""
    names, sizes = np.unique(batch, return_counts=True)
    rows = np.flatnonzero(batch == names[sizes.argmax()])
    first = np.random.default_rng(seed).permutation(rows)[: len(rows) // 2]
    found = batch.astype(object)
    for row in rows:
        found[row] = batch[row] + HALVES[1]
    for row in first:
        found[row] = batch[row] + HALVES[0]
    return found.astype(str)


def removals(label: np.ndarray, batch: np.ndarray, scored: np.ndarray) -> list[Removal]:
    """List what to remove: each type from the batch that has most of it, if 20 of its cells go and 20 stay."""
    found = []
    for name in np.unique(label[scored]):
        batches, sizes = np.unique(batch[scored & (label == name)], return_counts=True)
        most = sizes.argmax()
        if sizes[most] >= _MIN_CELLS and sizes.sum() - sizes[most] >= _MIN_CELLS:
            found.append(Removal(str(name), str(batches[most])))
    return found


def neighbours(embedding: np.ndarray, n_neighbors: int = N_NEIGHBORS) -> np.ndarray:
    """Give the nearest other cells of each cell, exactly: (cells, n_neighbors)."""
    search = NearestNeighbors(n_neighbors=min(n_neighbors, len(embedding) - 1), algorithm="brute").fit(embedding)
    return search.kneighbors(return_distance=False)


def kept(before: np.ndarray, after: np.ndarray) -> float:
    """Share of a cell's 15 nearest neighbours in one embedding that are among its 15 in another, mean over cells."""
    pairs = zip(neighbours(before), neighbours(after), strict=True)
    return float(np.mean([len(np.intersect1d(a, b, assume_unique=True)) / len(a) for a, b in pairs]))


def kept_by_seeds(embeddings: Sequence[np.ndarray]) -> float:
    """Share of neighbours kept between any two seeds of a method, mean over pairs; 1 if nothing is drawn."""
    pairs = [kept(a, b) for i, a in enumerate(embeddings) for b in embeddings[:i]]
    return float(np.mean(pairs)) if pairs else 1.0


def purity(before: np.ndarray, after: np.ndarray, label: np.ndarray, cells: np.ndarray) -> Purity:
    """Compare the neighbourhoods of some cells of one type in two embeddings of the same cells.

    Parameters
    ----------
    before, after
        Embeddings, (n_cells, n_dims), of the cells that are in both data sets, in the same order.
    label
        Type of each of them.
    cells
        Rows of the type that one batch lost.
    """
    names, codes = np.unique(label, return_inverse=True)
    own = codes[cells[0]]
    shares = [_shares(codes[neighbours(values)[cells]], len(names)) for values in (before, after)]
    growth = shares[1] - shares[0]
    growth[own] = -np.inf
    return Purity(float(shares[0][own]), float(shares[1][own]), str(names[growth.argmax()]))


def _shares(codes: np.ndarray, n: int) -> np.ndarray:
    return np.bincount(codes.ravel(), minlength=n) / codes.size


def coverage(lower: np.ndarray, upper: np.ndarray) -> float:
    """Share of intervals that hold 0."""
    return float(np.mean((lower <= 0) & (upper >= 0)))
