"""Effects of single counts, and counts divided by them, with or without the cell's total kept."""

from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray, StepArray
from unbatch.core.kernels._compile import compiled


def _look_up(
    indices: IntArray,
    indptr: IntArray,
    batch: CodeArray,
    delta: FloatArray,
    place: CodeArray,
    steps: StepArray,
    rho: FloatArray,
    out: FloatArray,
) -> None:
    # indices and out start at position indptr[0]. delta: (n_batches + 1, n_genes), the last row for batches below 0.
    # place: (n_cells,) row of steps, below 0 for none; rho: (255,) factor of each step from -127 on.
    first = indptr[0]
    for row in range(batch.size):
        effects, here = delta[batch[row]], place[row]
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            gene = indices[at]
            if here < 0:
                out[at] = effects[gene]
            else:
                out[at] = effects[gene] * rho[int(steps[here, gene]) + 127]  # numpy would add in int8


look_up = compiled(_look_up)
"""Find the effect of each stored count, ``delta_gk rho_gsk``."""


def _divide_each(data: FloatArray, effect: FloatArray, most: float, out: Float32Array, capped: BoolArray) -> None:
    for at in range(data.size):
        if effect[at] * most < 1.0:
            out[at] = data[at] * most
            capped[at] = data[at] > 0
        else:
            out[at] = data[at] / effect[at]


divide_each = compiled(_divide_each)
"""Multiply each count by ``min(1 / effect, most)``."""


def _keep_totals(
    data: FloatArray,
    indptr: IntArray,
    effect: FloatArray,
    most: float,
    out: Float32Array,
    capped: BoolArray,
) -> None:
    # data, effect, out and capped start at position indptr[0]. Finds c with sum min(c / effect, most) Y = sum Y: what
    # the cap takes from some counts goes to the others, by which more may meet it, until none does.
    first = indptr[0]
    for row in range(indptr.size - 1):
        start, stop = indptr[row] - first, indptr[row + 1] - first
        total, free = 0.0, 0.0
        for at in range(start, stop):
            total += data[at]
            free += data[at] / effect[at]
        factor = total / free if free > 0.0 else 1.0
        while True:
            held, free = 0.0, 0.0
            for at in range(start, stop):
                if factor > most * effect[at]:
                    held += data[at]
                else:
                    free += data[at] / effect[at]
            higher = (total - most * held) / free if free > 0.0 else factor
            if higher <= factor:
                break
            factor = higher
        for at in range(start, stop):
            if factor > most * effect[at]:
                out[at] = data[at] * most
                capped[at] = data[at] > 0
            else:
                out[at] = data[at] * (factor / effect[at])


keep_totals = compiled(_keep_totals)
"""Multiply each count by ``min(c / effect, most)``, with the c that leaves the cell's total as it is."""
