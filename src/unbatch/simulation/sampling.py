"""Counts of cells by sampling only what is there: a total per programme, then a gene for each molecule.

If `Y_g ~ Poisson(sum_t r_gt)` independently, then `N_t ~ Poisson(sum_g r_gt)` molecules of programme t, each of
gene g with probability `r_gt / sum_g r_gt`, have the same distribution. The cost follows the depth, not the number of
genes.

Over-dispersion is exact as well. A negative-binomial count with mean m and dispersion a is a Poisson number, of mean
`log(1 + a m) / a`, of clusters whose sizes follow the logarithmic distribution with parameter `a m / (1 + a m)`. That
mean is at most m, so the molecules above, kept with probability `log(1 + a m) / (a m)`, are the clusters.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import CodeArray, Counts, FloatArray
from unbatch.io.source import Block
from unbatch.simulation.kernels import fill_alias, fill_clustered, fill_poisson
from unbatch.simulation.scheme import CHUNK, Scheme, States, draw_states

_MOST_COUNTS = 1e8
"""Expected counts of a cell; real ones have less than a million. Memory goes with them, and they fill integers."""
_MOST_DRAWS = 4_000_000
"""Molecules drawn at a time. Bounds memory; has no influence on the result."""


@dataclass(frozen=True)
class Tables:
    """Alias tables for drawing genes.

    totals: (n_batches, n_programmes), expected counts at size factor 1 and theta 1.
    keep, alias: (n_batches, n_programmes, n_genes).
    """

    totals: FloatArray
    keep: FloatArray
    alias: CodeArray
    rates: FloatArray


def make_tables(scheme: Scheme) -> Tables:
    """Alias tables of `beta_gt delta_gk` over genes, for each batch k and programme t."""
    delta = np.exp(scheme.log_delta)
    rates = np.ascontiguousarray(delta.T[:, None, :] * scheme.beta.T[None, :, :])
    keep = np.empty_like(rates)
    alias = np.empty(rates.shape, dtype=np.int32)
    work = np.empty(scheme.options.n_genes, dtype=np.int32)
    for k in range(rates.shape[0]):
        for t in range(rates.shape[1]):
            fill_alias(rates[k, t] / rates[k, t].mean(), keep[k, t], alias[k, t], work)
    return Tables(rates.sum(axis=2), keep, alias, rates)


def count_blocks(scheme: Scheme) -> Iterator[Block]:
    """Draw the counts of all cells, chunk by chunk, never more than one chunk in memory."""
    tables = make_tables(scheme)
    for chunk in range(scheme.n_chunks):
        states, rng = draw_states(scheme, chunk)
        yield Block(chunk * CHUNK, draw_counts(tables, states, dispersion=scheme.options.dispersion, rng=rng))


def _check_expected(expected: FloatArray, dispersion: float) -> None:
    most, limit = float(expected.sum(axis=1).max(initial=0)), _MOST_COUNTS / max(dispersion, 1.0)
    if not most <= limit:
        raise InputError(
            f"a cell would have {most:.3g} counts, and {limit:.3g} are the most: lower median_depth, batch_depth, "
            "size_factor_sd, log_delta_sd, or dispersion"
        )


def draw_counts(tables: Tables, states: States, *, dispersion: float, rng: np.random.Generator) -> Counts:
    """Draw counts (n_cells, n_genes) of cells with the given states; `rng` is advanced."""
    n_genes = tables.keep.shape[2]
    with np.errstate(over="ignore", invalid="ignore"):
        weight = states.size_factor[:, None] * states.theta
        expected = weight * tables.totals[states.batch]
    _check_expected(expected, dispersion)
    n_draws = rng.poisson(expected)
    per_cell = n_draws.sum(axis=1)
    ends = np.cumsum(per_cell)
    parts: list[Counts] = []
    start = 0
    scratch = np.zeros(n_genes, dtype=np.int32)
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _MOST_DRAWS, side="right")))
        cells = slice(start, stop)
        uniform = rng.random((int(ends[stop - 1] - before), 1 if dispersion == 0 else 4))
        bound = int(np.minimum(per_cell[cells], n_genes).sum())
        data, indices = np.empty(bound, dtype=np.float32), np.empty(bound, dtype=np.int32)
        indptr = np.zeros(stop - start + 1, dtype=np.int32)
        where = states.batch[cells], n_draws[cells], tables.keep, tables.alias, uniform, scratch
        if dispersion == 0:
            fill_poisson(*where, data, indices, indptr)
        else:
            fill_clustered(*where, weight[cells], tables.rates, dispersion, data, indices, indptr)
        nnz = indptr[-1]
        parts.append(sparse.csr_array((data[:nnz], indices[:nnz], indptr), shape=(stop - start, n_genes)))
        start = stop
    counts = parts[0] if len(parts) == 1 else sparse.csr_array(sparse.vstack(parts, format="csr"))
    counts.has_sorted_indices = True
    counts.has_canonical_format = True
    return counts
