"""A small matrix in each form that counts come in, also as rows of one that has more than 2^31 non-zeros."""

import numpy as np
from scipy import sparse

FORMS = [(np.float32, np.int32, 0), (np.float64, np.int32, 0), (np.float32, np.int64, 0), (np.float32, np.int64, 2**33)]
"""Type of the values, type of indices and row pointers, and where in a larger matrix the first row begins."""


def small_counts(n_cells=40, n_genes=30, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 2, n_genes), (n_cells, n_genes))
    counts[3] = 0
    return counts


def parts(dense, form):
    """Data, indices and row pointers; the latter begin at the offset of the form."""
    value, index, offset = form
    csr = sparse.csr_array(dense)
    return csr.data.astype(value), csr.indices.astype(index), csr.indptr.astype(index) + index(offset)
