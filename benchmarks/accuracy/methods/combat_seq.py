"""ComBat-seq (negative-binomial regression per gene) as inmoose has it: `pip install inmoose`.

It returns adjusted counts, not effects: the implied effect is the ratio of a batch's counts before and after.
"""

import contextlib
import io
import logging
import warnings

import numpy as np
from scipy import sparse

from accuracy.problem import Estimate
from unbatch._types import CodeArray, Counts

_HALF = 0.5


def estimate(counts: Counts, batch: CodeArray, n_batches: int) -> Estimate:
    """Adjust the counts with the default options and compare them with what they were."""
    from inmoose.pycombat import pycombat_seq

    before = np.ascontiguousarray(counts.toarray().T).astype(np.int64)
    logging.disable(logging.INFO)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        after = np.asarray(pycombat_seq(before, batch))
    logging.disable(logging.NOTSET)
    member = sparse.csr_array((np.ones(len(batch)), (np.arange(len(batch)), batch)), shape=(len(batch), n_batches))
    log_delta = np.log((before @ member + _HALF) / (after @ member + _HALF))
    return Estimate(log_delta - log_delta.mean(axis=1, keepdims=True))
