"""The published method, as the package has it."""

from accuracy.methods import _package
from accuracy.problem import Estimate
from unbatch._types import CodeArray, Counts


def estimate(counts: Counts, batch: CodeArray, n_batches: int) -> Estimate:
    """Fit with the default options."""
    return _package.estimate(counts, batch, n_batches, method="concept")
