"""What the sketch costs in accuracy: the moderate scenario with many cells, fitted from a sketch and from all cells."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import unbatch as ub
from unbatch._types import FloatArray

MODERATE: dict[str, Any] = {
    "n_genes": 2000,
    "n_batches": 4,
    "n_types": 8,
    "composition": 0.5,
    "log_delta_sd": 0.5,
    "median_depth": 1500,
    "size_factor_sd": 0.3,
}
SKETCH = ub.MatchedOptions().sketch_size
_LOUD = 200


@dataclass(frozen=True)
class Trial:
    """RMSE of centred log delta over genes with more than 200 counts, and seconds, from the sketch and from all."""

    seed: int
    sketch_rmse: float
    all_rmse: float
    sketch_seconds: float
    all_seconds: float


def compare(n_cells: int, seed: int) -> Trial:
    """Fit one problem twice."""
    adata = ub.simulate(n_cells=n_cells, seed=seed, **MODERATE)
    truth = np.asarray(adata.varm["log_delta_true"])
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > _LOUD
    found = {}
    for name, size in (("sketch", SKETCH), ("all", n_cells)):
        start = time.perf_counter()
        model = ub.BatchModel(method=ub.MatchedOptions(sketch_size=size)).fit(adata.X, adata.obs["batch"])
        found[name] = (_rmse(model.result.log_delta[loud], truth[loud]), time.perf_counter() - start)
    return Trial(seed, found["sketch"][0], found["all"][0], found["sketch"][1], found["all"][1])


def _rmse(estimate: FloatArray, truth: FloatArray) -> float:
    error = estimate - truth
    error = error - error.mean(axis=1, keepdims=True)
    return float(np.sqrt(np.mean((error - np.median(error, axis=0)) ** 2)))
