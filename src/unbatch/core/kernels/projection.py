"""Project cells onto a few axes: their counts, or the logs of their adjusted and normalised counts."""

import numpy as np

from unbatch._types import CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled


def _project(data: FloatArray, indices: IntArray, indptr: IntArray, basis: FloatArray, out: FloatArray) -> None:
    # data and indices begin at position indptr[0]. basis: (n_genes, n_dims). out: (n_cells, n_dims).
    # Each cell is summed in the order of its genes, so that no split of the cells changes a bit.
    first, n_dims = indptr[0], basis.shape[1]
    for row in range(out.shape[0]):
        here = out[row]
        here[:] = 0.0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            value, axes = data[at], basis[indices[at]]
            for d in range(n_dims):
                here[d] += value * axes[d]


project = compiled(_project)
"""Sum each cell's counts times the rows of the basis."""


def _adjusted_sizes(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    inside: FloatArray,
    size: FloatArray,
) -> None:
    # factor: (n_batches, n_genes), what counts are multiplied by. inside: (n_genes,), 1 for genes that count, else 0.
    first = indptr[0]
    for row in range(size.size):
        factors, total = factor[batch[row]], 0.0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            total += data[at] * factors[indices[at]] * inside[indices[at]]
        size[row] = total


adjusted_sizes = compiled(_adjusted_sizes)
"""Sum each cell's adjusted counts, in the order of its genes."""

_LEAST_BITS = 0x3FE6A09E667F3BCD  # of the square root of a half
_ONE_BITS = 0x3FF0000000000000
_MANTISSA = 0x000FFFFFFFFFFFFF
_WHOLE_BITS, _WHOLE = 0x4330000000000000, 4503599627370496.0 + 1023.0  # 2^52, in whose mantissa a whole number fits
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_C1, _C2, _C3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
_C4, _C5, _C6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
_C7 = 1.479819860511658591e-01


def _project_logs(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    place: CodeArray,
    basis: FloatArray,
    scaling: FloatArray,
    values: FloatArray,
    exponents: FloatArray,
    places: CodeArray,
    out: FloatArray,
) -> None:
    # factor: (n_batches, n_genes), what counts are multiplied by. place: (n_genes,), the gene's row of basis or -1.
    # scaling: (n_cells,), scale over size factor. values, exponents, places: scratch for the values of one cell.
    # out: (n_cells, n_dims).
    # The logarithm is fdlibm's (Sun Microsystems 1993), written without branches so that it works on many values at
    # once, several times faster than calls of log1p. Of 1 + x it is exact to 1e-16, which is all that a sum needs.
    first, n_dims = indptr[0], basis.shape[1]
    for row in range(out.shape[0]):
        here, factors, times = out[row], factor[batch[row]], scaling[row]
        n = 0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            gene = indices[at]
            values[n] = 1.0 + data[at] * factors[gene] * times
            places[n] = place[gene]
            n += place[gene] >= 0  # the next gene overwrites one that is not in the basis
        value, exponent = values[:n], exponents[:n]
        value_bits, exponent_bits = value.view(np.int64), exponent.view(np.int64)
        for i in range(n):
            bits = value_bits[i] + (_ONE_BITS - _LEAST_BITS)
            exponent_bits[i] = (bits >> 52) | _WHOLE_BITS
            value_bits[i] = (bits & _MANTISSA) + _LEAST_BITS  # from sqrt(1/2) to sqrt(2)
        for i in range(n):
            k, f = exponent[i] - _WHOLE, value[i] - 1.0
            s = f / (2.0 + f)
            z = s * s
            w = z * z
            r = w * (_C2 + w * (_C4 + w * _C6)) + z * (_C1 + w * (_C3 + w * (_C5 + w * _C7)))
            half = 0.5 * f * f
            value[i] = k * _LN2_HIGH - ((half - (s * (half + r) + k * _LN2_LOW)) - f)
        here[:] = 0.0
        for i in range(n):
            log, axes = value[i], basis[places[i]]
            for d in range(n_dims):
                here[d] += log * axes[d]


project_logs = compiled(_project_logs)
"""Sum ``log(1 + a Y / (delta l))`` times the rows of the basis; genes outside the basis cost no logarithm."""
