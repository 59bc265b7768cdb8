"""Divide counts by the effect of their batch on their gene."""

from unbatch._types import CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _divide(
    data: FloatArray, indices: IntArray, indptr: IntArray, batch: CodeArray, divisors: FloatArray, out: Float32Array
) -> None:
    # data, indices and out start at position indptr[0]. divisors: (n_batches, n_genes). A batch below 0 divides by 1.
    first = indptr[0]
    for row in range(batch.size):
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            if batch[row] < 0:
                out[at] = data[at]
            else:
                out[at] = data[at] / divisors[batch[row], indices[at]]


divide = compiled(_divide)
"""Divide in float64 and round to float32."""
