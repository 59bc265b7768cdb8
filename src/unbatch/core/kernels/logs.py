"""Logs of adjusted and normalised counts: their moments, themselves, their place on axes, and their novelty."""

import numpy as np

from unbatch._types import CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled, compiled_to_sum

_LEAST_BITS = 0x3FE6A09E667F3BCD  # of the square root of a half
_ONE_BITS = 0x3FF0000000000000
_MANTISSA = 0x000FFFFFFFFFFFFF
_WHOLE_BITS, _WHOLE = 0x4330000000000000, 4503599627370496.0 + 1023.0  # 2^52, in whose mantissa a whole number fits
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_C1, _C2, _C3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
_C4, _C5, _C6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
_C7 = 1.479819860511658591e-01


@compiled
def _take_logs(values: FloatArray, exponents: FloatArray) -> None:
    # Values, all 1 or more, become their logarithms; exponents is scratch of the same size.
    # The formula is fdlibm's (Sun Microsystems 1993), written without branches so that it works on many values at once,
    # several times faster than calls of log1p. Of 1 + x it is exact to 1e-16, which is all that a sum needs.
    value_bits, exponent_bits = values.view(np.int64), exponents.view(np.int64)
    for i in range(values.size):
        bits = value_bits[i] + (_ONE_BITS - _LEAST_BITS)
        exponent_bits[i] = (bits >> 52) | _WHOLE_BITS
        value_bits[i] = (bits & _MANTISSA) + _LEAST_BITS  # from sqrt(1/2) to sqrt(2)
    for i in range(values.size):
        k, f = exponents[i] - _WHOLE, values[i] - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        r = w * (_C2 + w * (_C4 + w * _C6)) + z * (_C1 + w * (_C3 + w * (_C5 + w * _C7)))
        half = 0.5 * f * f
        values[i] = k * _LN2_HIGH - ((half - (s * (half + r) + k * _LN2_LOW)) - f)


def _sum_logs(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    scaling: FloatArray,
    values: FloatArray,
    exponents: FloatArray,
    sums: FloatArray,
    squares: FloatArray,
) -> None:
    # data and indices begin at position indptr[0]. cells: rows of the counts.
    # factor: (n_batches, n_genes), what counts are multiplied by.
    # batch and scaling: one per row of the counts, scaling is scale over size factor. values, exponents: scratch for
    # the values of one cell. sums and squares: (n_genes,), added to.
    for i in range(cells.size):
        row = cells[i]
        factors, times, first = factor[batch[row]], scaling[row], indptr[row] - indptr[0]
        n = indptr[row + 1] - indptr[row]
        for j in range(n):
            values[j] = 1.0 + data[first + j] * factors[indices[first + j]] * times
        _take_logs(values[:n], exponents[:n])
        for j in range(n):
            gene, value = indices[first + j], values[j]
            sums[gene] += value
            squares[gene] += value * value


sum_logs = compiled(_sum_logs)
"""Add up ``x = log(1 + a Y / (delta l))`` and its square by gene."""


def _write_logs(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    cells: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    place: CodeArray,
    scaling: FloatArray,
    values: FloatArray,
    exponents: FloatArray,
    places: CodeArray,
    out: FloatArray,
) -> None:
    # As above. place: (n_genes,) column of out, or -1 for a gene that is left out. factor: (n_batches, n_columns), what
    # counts of the genes on these columns are multiplied by. places: scratch. out: (n_chosen_cells, n_columns),
    # overwritten.
    for i in range(cells.size):
        row, here = cells[i], out[i]
        factors, times = factor[batch[row]], scaling[row]
        n = 0
        for at in range(indptr[row] - indptr[0], indptr[row + 1] - indptr[0]):
            column = place[indices[at]]
            places[n], values[n] = column, data[at]
            n += column >= 0  # the next gene overwrites one that is left out
        for j in range(n):
            values[j] = 1.0 + values[j] * factors[places[j]] * times
        _take_logs(values[:n], exponents[:n])
        here[:] = 0.0
        for j in range(n):
            here[places[j]] = values[j]


write_logs = compiled(_write_logs)
"""Write the logs of some genes as a dense array."""


@compiled
def _add_axes(values: FloatArray, places: CodeArray, basis: FloatArray, here: FloatArray) -> None:
    # Adds each value times its row of the basis, four at a time: what they are added to is read and written once.
    whole = values.size - values.size % 4
    for i in range(0, whole, 4):
        a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
        p, q, r, s = basis[places[i]], basis[places[i + 1]], basis[places[i + 2]], basis[places[i + 3]]
        for dim in range(here.size):
            here[dim] += (a * p[dim] + b * q[dim]) + (c * r[dim] + d * s[dim])
    for i in range(whole, values.size):
        value, axes = values[i], basis[places[i]]
        for dim in range(here.size):
            here[dim] += value * axes[dim]


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
    # place: (n_genes,), the gene's row of basis or -1. factor: (n_batches, n_rows), what counts of the genes on these
    # rows are multiplied by. scaling: (n_cells,), scale over size factor.
    # values, exponents, places: scratch for the values of one cell. out: (n_cells, n_dims).
    first = indptr[0]
    for row in range(out.shape[0]):
        here, factors, times = out[row], factor[batch[row]], scaling[row]
        n = 0
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            on_axes = place[indices[at]]
            places[n], values[n] = on_axes, data[at]
            n += on_axes >= 0  # the next gene overwrites one that is not in the basis
        for i in range(n):
            values[i] = 1.0 + values[i] * factors[places[i]] * times
        _take_logs(values[:n], exponents[:n])
        here[:] = 0.0
        _add_axes(values[:n], places[:n], basis, here)


project_logs = compiled(_project_logs)
"""Sum ``log(1 + a Y / (delta l))`` times the rows of the basis; genes outside the basis cost no logarithm."""


@compiled
def _nearest(where: FloatArray, centres: FloatArray, squared: FloatArray) -> int:
    # centres: (n_dims, n_centres). squared: (n_centres,) scratch.
    squared[:] = 0.0
    for d in range(where.size):
        for centre in range(squared.size):
            step = where[d] - centres[d, centre]
            squared[centre] += step * step
    nearest = 0
    for centre in range(1, squared.size):
        if squared[centre] < squared[nearest]:
            nearest = centre
    return nearest


@compiled_to_sum
def _total(values: FloatArray) -> float:
    total = 0.0
    for i in range(values.size):
        total += values[i]
    return total


@compiled_to_sum
def _product(one: FloatArray, other: FloatArray) -> float:
    total = 0.0
    for d in range(one.size):
        total += one[d] * other[d]
    return total


@compiled_to_sum
def _sixth_powers(values: FloatArray, expected: FloatArray) -> float:
    total = 0.0
    for i in range(values.size):
        excess = max(values[i] - expected[i], 0.0)
        square = excess * excess
        total += square * square * square
    return total


def _novelty(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    place: CodeArray,
    basis: FloatArray,
    scale: float,
    centres: FloatArray,
    expected: Float32Array,
    values: FloatArray,
    work: FloatArray,
    chosen: CodeArray,
    places: CodeArray,
    where: FloatArray,
    squared: FloatArray,
    size: FloatArray,
    out: FloatArray,
) -> None:
    # As above. factor: (n_batches, n_genes). centres: (n_dims, n_centres). expected: (n_centres, n_genes), mean logs
    # less what the axes explain of them; inf for genes that are not looked at.
    # Scratch: values to places for the values of one cell, where (n_dims,), squared (n_centres,).
    # size: (n_cells,), sums of adjusted counts, or 1 where there are none. out: (n_cells,).
    for row in range(out.size):
        factors, first = factor[batch[row]], indptr[row] - indptr[0]
        n, n_on_axes = indptr[row + 1] - indptr[row], 0
        for i in range(n):
            gene = indices[first + i]
            values[i] = data[first + i] * factors[gene]
            chosen[n_on_axes], places[n_on_axes] = i, place[gene]
            n_on_axes += place[gene] >= 0  # the next gene overwrites one that is not in the basis
        total = _total(values[:n])
        size[row] = total if total > 0 else 1.0
        times = scale / size[row]
        for i in range(n):
            values[i] = 1.0 + values[i] * times
        _take_logs(values[:n], work[:n])
        for i in range(n_on_axes):
            work[i] = values[chosen[i]]
        where[:] = 0.0
        _add_axes(work[:n_on_axes], places[:n_on_axes], basis, where)
        for i in range(n_on_axes):
            values[chosen[i]] -= _product(where, basis[places[i]])
        here = expected[_nearest(where, centres, squared)]
        for i in range(n):
            work[i] = here[indices[first + i]]
        out[row] = _sixth_powers(values[:n], work[:n])


novelty = compiled(_novelty)
"""Sum the sixth powers of what a cell's logs exceed those expected from its coordinates by."""
