"""Keep each count of a cell with some probability, by a random stream of its own for every cell and gene."""

import math

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray
from unbatch.core.kernels._compile import compiled

_ROUNDS = 10
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_FIRST_STEP, _SECOND_STEP = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF, _DRAWS, _SPARE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(16), np.uint64(11)
_FEW, _SURE = 10.0, 0.07
_UNIT = 2.0**-53


def _philox(cell: np.uint64, gene: np.uint64, draw: np.uint64, seed: np.uint64) -> tuple[np.uint64, np.uint64]:
    # Philox4x32-10 (Salmon et al. 2011, SC11): the counter is (cell: 64 bits, gene: 32, draw: 32), the key is the seed.
    a, b, c, d = cell & _LOW, cell >> _HALF, gene, draw
    key, other = seed & _LOW, seed >> _HALF
    for _ in range(_ROUNDS):
        left, right = _FIRST_FACTOR * a, _SECOND_FACTOR * c
        a, b, c, d = (right >> _HALF) ^ b ^ key, right & _LOW, (left >> _HALF) ^ d ^ other, left & _LOW
        key, other = (key + _FIRST_STEP) & _LOW, (other + _SECOND_STEP) & _LOW
    return (a << _HALF) | b, (c << _HALF) | d


philox = compiled(_philox)
"""Two random numbers of 64 bits that depend on the four given alone."""


def _binomial(n: int, p: float, cell: np.uint64, gene: np.uint64, seed: np.uint64) -> int:
    # 0 < p < 1. gene: 48 bits, so that 16 are left for the number of the draw. By inversion where few are expected on
    # the rarer side, else by transformed rejection (BTRS: Hormann 1993, J. Stat. Comput. Simul. 46:101-110), whose time
    # does not grow with n.
    name, other = gene & _LOW, (gene >> _HALF) << _DRAWS
    first, second = philox(cell, name, other, seed)
    u = (float(first >> _SPARE) + 0.5) * _UNIT
    if n == 1:
        return 1 if u < p else 0
    rare = min(p, 1.0 - p)
    mean = n * rare
    if mean < _FEW:
        # beyond `last` is less than what float64 can tell from 0
        last = min(float(n), mean + 10.0 * math.sqrt(mean + 1.0))
        odds, term, k = rare / (1.0 - rare), math.exp(n * math.log1p(-rare)), 0
        while u > term and k < last:
            u -= term
            k += 1
            term *= odds * (n - k + 1) / k
        return k if rare == p else n - k
    spread = math.sqrt(mean * (1.0 - rare))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * rare
    centre, quick = mean + 0.5, 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    log_odds, mode = math.log(rare / (1.0 - rare)), math.floor((n + 1) * rare)
    top = math.lgamma(mode + 1.0) + math.lgamma(n - mode + 1.0)
    draw = 0
    while True:
        v = (float(second >> _SPARE) + 0.5) * _UNIT
        u -= 0.5
        side = 0.5 - abs(u)
        k = math.floor((2.0 * a / side + b) * u + centre)
        if 0 <= k <= n:
            if side >= _SURE and v <= quick:
                break
            height = math.log(v * alpha / (a / (side * side) + b))
            if height <= top - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0) + (k - mode) * log_odds:
                break
        draw += 1
        first, second = philox(cell, name, other | np.uint64(draw), seed)
        u = (float(first >> _SPARE) + 0.5) * _UNIT
    return k if rare == p else n - k


binomial = compiled(_binomial)
"""One draw of Binomial(n, p)."""


def _thin(
    data: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    effect: FloatArray,
    target: FloatArray,
    least: float,
    first_cell: int,
    gene: IntArray,
    seed: np.uint64,
    out: CodeArray,
    capped: BoolArray,
) -> None:
    # data, indices, effect, out and capped start at position indptr[0]. effect: of each stored count; target, gene:
    # (n_genes,) effect to thin to, and name of the gene in the random stream.
    first = indptr[0]
    for row in range(indptr.size - 1):
        cell = np.uint64(first_cell + row)
        for at in range(indptr[row] - first, indptr[row + 1] - first):
            count, p = int(data[at]), target[indices[at]] / effect[at]
            capped[at] = p < least and count > 0
            p = max(p, least)
            if p >= 1.0 or count == 0:
                out[at] = count
            else:
                out[at] = binomial(count, p, cell, np.uint64(gene[indices[at]]), seed)


thin = compiled(_thin)
"""Draw Binomial(Y, target / effect), the probability being at least `least`."""
