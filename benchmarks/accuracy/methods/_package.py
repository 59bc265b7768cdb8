"""Any method of the package, with its default options."""

import numpy as np

from accuracy.problem import Estimate
from unbatch._types import CodeArray, Counts
from unbatch.model import BatchModel


def estimate(counts: Counts, batch: CodeArray, n_batches: int, *, method: str) -> Estimate:
    """Fit and put the batches back in the order of their codes; a batch without a result has no effect."""
    names = [f"{code:04d}" for code in range(n_batches)]
    result = BatchModel(method=method).fit(counts, [names[code] for code in batch]).result
    shape = (counts.shape[1], n_batches)
    log_delta, se = np.zeros(shape), np.full(shape, np.inf)
    columns = [names.index(name) for name in result.batches]
    log_delta[:, columns], se[:, columns] = result.log_delta, result.se
    return Estimate(log_delta, se)
