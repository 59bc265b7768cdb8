"""How well programmes foretell counts that they have not seen, to help choose their number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from unbatch._threads import one_thread
from unbatch._types import CodeArray, Counts, FloatArray
from unbatch.core.activity import expected_by_batch, fit_cells
from unbatch.core.factors import poisson_deviance
from unbatch.programmes.result import HELD_OUT

_SEEN = 0.5
_CELLS = 256


def thin(counts: Counts, share: float, *, seed: int) -> tuple[Counts, Counts]:
    """Split counts at random in two: each of a count's molecules goes to the first with probability `share`.

    Of a Poisson count, the two are independent, so that what is fitted to one can be judged by the other.

    Parameters
    ----------
    counts
        (n_cells, n_genes) whole numbers.
    share
        Share of the first, between 0 and 1.
    seed
        Start of the random numbers.

    Returns
    -------
    Two arrays (n_cells, n_genes) that add up to `counts`.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    whole = counts.data.astype(np.int64)
    first = rng.binomial(whole, share)
    parts = []
    for data in (first, whole - first):
        part = sparse.csr_array((data.astype(np.float64), counts.indices.copy(), counts.indptr.copy()), counts.shape)
        part.eliminate_zeros()
        parts.append(part)
    return parts[0], parts[1]


def held_out_deviance(
    beta: FloatArray, counts: Counts, *, delta: FloatArray, batch: CodeArray, seed: int
) -> FloatArray:
    r"""Judge programmes by cells that had no part in them.

    The counts of each cell are thinned to two halves. Activities are fitted to one half; the other is compared with
    what they foretell by the Poisson deviance :math:`2 \sum_g y \log(y / m) - y + m`.

    Parameters
    ----------
    beta
        (n_genes, n_factors) programmes, found without these cells.
    counts
        (n_cells, n_genes).
    delta
        (n_genes, n_batches) multiplicative effects; 0 where the batch does not measure the gene.
    batch
        (n_cells,) column of `delta`.
    seed
        Start of the random numbers.

    Returns
    -------
    (n_cells,)
    """
    seen, held = thin(counts, _SEEN, seed=seed)
    theta = fit_cells(seen, batch=batch, beta=beta, expected=expected_by_batch(beta, delta)).theta
    deviance = np.empty(len(theta))
    with one_thread():
        for start in range(0, len(theta), _CELLS):
            cells = slice(start, start + _CELLS)
            mean = (theta[cells] @ beta.T) * delta.T[batch[cells]] * ((1 - _SEEN) / _SEEN)
            deviance[cells] = poisson_deviance(held[cells].toarray(), mean).sum(axis=1)
    return deviance


def compare(n_factors: Sequence[int], deviances: Sequence[FloatArray]) -> pd.DataFrame:
    """Compare numbers of factors by the deviance of the same cells.

    Chosen is the smallest number whose excess over the best is no more than its standard error: more factors may be
    there, but these cells do not show it.

    Parameters
    ----------
    n_factors
        Numbers that were tried.
    deviances
        For each, the deviance of every cell, (n_cells,).

    Returns
    -------
    DataFrame
        One row per number, in rising order: "n_factors", "deviance" (mean over cells), "excess" (over the best),
        "excess_se" (standard error of that mean difference within cells) and "chosen".
    """
    order = np.argsort(n_factors, kind="stable")
    table = np.array([deviances[number] for number in order])
    mean = table.mean(axis=1)
    differences = table - table[mean.argmin()]
    n_cells = table.shape[1]
    error = differences.std(axis=1, ddof=1) / np.sqrt(n_cells) if n_cells > 1 else np.zeros(len(table))
    excess = differences.mean(axis=1)
    chosen = np.arange(len(table)) == np.flatnonzero(excess <= error)[0]
    values = (np.array(n_factors, dtype=np.int64)[order], mean, excess, error, chosen)
    return pd.DataFrame(dict(zip(HELD_OUT, values, strict=True)))
