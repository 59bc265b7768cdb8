"""The metrics of scib-metrics on one embedding. Runs in the peers' Python.

Two things differ from its `Benchmarker`, both so that the same embedding always gives the same score: neighbours are
exact, and k-means (scikit-learn) is the best of ten starts, five times over, where scib-metrics takes one start: there
NMI and ARI depend on the luck of the draw. The eigenvectors of kBET begin at a fixed vector.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import scib_metrics
import scipy.sparse.linalg
from scib_metrics.nearest_neighbors import NeighborsResults
from sklearn.neighbors import NearestNeighbors

from integration.clustering import nmi_ari

MOST_CELLS = 20_000
"""Of larger sets this many cells, drawn at random with a fixed seed, are scored."""

_LISI, _NEAR, _GRAPH = 90, 50, 15
"""Neighbours, the cell itself included, as in scib-metrics' Benchmarker."""


def score(embedding: np.ndarray, label: np.ndarray, batch: np.ndarray) -> dict[str, float]:
    """Score an embedding: every metric of `integration.total`, nan where kBET cannot be computed."""
    logging.getLogger("scib_metrics").setLevel(logging.WARNING)
    if len(label) > MOST_CELLS:
        rows = np.sort(np.random.default_rng(0).choice(len(label), MOST_CELLS, replace=False))
        embedding, label, batch = embedding[rows], label[rows], batch[rows]
    values = np.ascontiguousarray(embedding, dtype=np.float32)
    near = _neighbours(values)
    nmi, ari = nmi_ari(values, label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "ilisi": scib_metrics.ilisi_knn(near, batch),
            "graph_connectivity": scib_metrics.graph_connectivity(_first(near, _GRAPH), label),
            "bras": scib_metrics.bras(values, label, batch),
            "kbet": _kbet(_first(near, _NEAR), label, batch),
            "silhouette_label": scib_metrics.silhouette_label(values, label),
            "nmi": nmi,
            "ari": ari,
            "clisi": scib_metrics.clisi_knn(near, label),
            "isolated_labels": scib_metrics.isolated_labels(values, label, batch),
        }
    return {name: float(value) for name, value in found.items()}


def _neighbours(values: np.ndarray) -> NeighborsResults:
    search = NearestNeighbors(n_neighbors=min(_LISI, len(values)), algorithm="brute").fit(values)
    distances, indices = search.kneighbors(values)
    return NeighborsResults(indices=indices, distances=distances)


def _first(near: NeighborsResults, n: int) -> NeighborsResults:
    return near.subset_neighbors(min(n, near.n_neighbors))


def _kbet(near: NeighborsResults, label: np.ndarray, batch: np.ndarray) -> float:
    try:
        with _fixed_eigenvectors():
            return scib_metrics.kbet_per_label(near, batch, label)
    except (ValueError, ArithmeticError, scipy.sparse.linalg.ArpackError):
        return np.nan


@contextmanager
def _fixed_eigenvectors() -> Iterator[None]:
    """Let ARPACK begin at the same vector each time: scib-metrics leaves it to the entropy of the system."""
    original = scipy.sparse.linalg.eigsh

    def fixed(matrix: scipy.sparse.sparray, **options: object) -> object:
        return partial(original, v0=np.random.default_rng(0).standard_normal(matrix.shape[0]))(matrix, **options)

    scipy.sparse.linalg.eigsh = fixed
    try:
        yield
    finally:
        scipy.sparse.linalg.eigsh = original
