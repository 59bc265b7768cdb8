"""Array types used everywhere: cells and samples run along rows of counts, genes along rows of effects."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int64]
CodeArray: TypeAlias = NDArray[np.int32]
KeyArray: TypeAlias = NDArray[np.uint64]
StepArray: TypeAlias = NDArray[np.int8]
BoolArray: TypeAlias = NDArray[np.bool_]
Counts: TypeAlias = sparse.csr_array
"""Counts of some cells: (n_cells, n_genes), CSR, indices sorted within a row, no duplicates."""
