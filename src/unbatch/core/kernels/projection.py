"""Project counts onto a few axes, and add up cells' adjusted counts."""

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
    data: FloatArray, indices: IntArray, indptr: IntArray, batch: CodeArray, factor: FloatArray, size: FloatArray
) -> None:
    # factor: (n_batches, n_genes), what counts are multiplied by, 0 for genes that do not count.
    # Four sums, each of every fourth count, do not wait for each other.
    for row in range(size.size):
        factors, start, stop = factor[batch[row]], indptr[row] - indptr[0], indptr[row + 1] - indptr[0]
        whole = stop - (stop - start) % 4
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for at in range(start, whole, 4):
            a += data[at] * factors[indices[at]]
            b += data[at + 1] * factors[indices[at + 1]]
            c += data[at + 2] * factors[indices[at + 2]]
            d += data[at + 3] * factors[indices[at + 3]]
        for at in range(whole, stop):
            a += data[at] * factors[indices[at]]
        size[row] = (a + b) + (c + d)


adjusted_sizes = compiled(_adjusted_sizes)
"""Sum each cell's adjusted counts, in an order that follows from that of its genes."""


def _adjusted_sizes_of_two(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    factor: FloatArray,
    other_factor: FloatArray,
    size: FloatArray,
    other_size: FloatArray,
) -> None:
    # As above, to the bit, for two factors in one walk.
    for row in range(size.size):
        factors, others = factor[batch[row]], other_factor[batch[row]]
        start, stop = indptr[row] - indptr[0], indptr[row + 1] - indptr[0]
        whole = stop - (stop - start) % 4
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        e, f, g, h = 0.0, 0.0, 0.0, 0.0
        for at in range(start, whole, 4):
            i, j, k, m = indices[at], indices[at + 1], indices[at + 2], indices[at + 3]
            a += data[at] * factors[i]
            b += data[at + 1] * factors[j]
            c += data[at + 2] * factors[k]
            d += data[at + 3] * factors[m]
            e += data[at] * others[i]
            f += data[at + 1] * others[j]
            g += data[at + 2] * others[k]
            h += data[at + 3] * others[m]
        for at in range(whole, stop):
            a += data[at] * factors[indices[at]]
            e += data[at] * others[indices[at]]
        size[row], other_size[row] = (a + b) + (c + d), (e + f) + (g + h)


adjusted_sizes_of_two = compiled(_adjusted_sizes_of_two)
"""Sum each cell's counts adjusted by two sets of effects."""
