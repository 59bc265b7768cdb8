"""The package's default method."""

from accuracy.methods import _package
from accuracy.problem import Estimate
from unbatch._types import CodeArray, Counts


def estimate(counts: Counts, batch: CodeArray, n_batches: int) -> Estimate:
    """Estimate effects by ``method="matched"`` with its default options."""
    return _package.estimate(counts, batch, n_batches, method="matched")
