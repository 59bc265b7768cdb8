"""Need: how much of what differs between cells of one state the batch explains, and how much it would by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from unbatch._threads import one_thread
from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.diagnostics.sample import squared, sums_by

_UPPER = 0.95
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Explained:
    """Result of `explained_by_batch`.

    Attributes
    ----------
    share
        (n_features,) share of the variance within states that the batch explains.
    null
        (n_features,) its mean if batches were exchanged at random within states.
    null_upper
        (n_features,) what it would exceed then in 5% of the cases.
    total, total_null, total_upper
        The same for all features together.
    compared
        Share of the cells that are in a state with another batch: all that is said is said of these.
    """

    share: FloatArray
    null: FloatArray
    null_upper: FloatArray
    total: float
    total_null: float
    total_upper: float
    compared: float


def explained_by_batch(
    values: Counts,
    *,
    batch: CodeArray,
    state: CodeArray,
    shape: tuple[int, int],
    genes: IntArray,
    permutations: Sequence[CodeArray],
    together: IntArray | None = None,
) -> Explained:
    r"""Measure the variance that the batch explains within states, against batches that are permuted within states.

    With d the sums over each batch of what is left after the means of states, and
    :math:`L = \sum_s L_s = \sum_s [\mathrm{diag}(n_{sk}) - n_{sk} n_{sl} / n_s]`, the sum of squares of batches given
    states (that of an analysis of covariance, type II) and its mean under all permutations within states are

    .. math:: SS_g = d_g^\top L^+ d_g, \qquad
              \mathrm{E}\, SS_g = \sum_s \frac{\mathrm{tr}(L^+ L_s)}{n_s - 1}\, W_{gs}, \qquad
              \mathrm{share}_g = SS_g / \sum_s W_{gs},

    with W the squares around the means of states. Comparing cells of one state keeps a difference in *composition*
    from being taken for an effect of the batch. The mean of the null is exact; its upper end comes from random
    permutations, whose ratios to their means are pooled over features.

    Parameters
    ----------
    values
        (n_cells, n_features) log counts, or coordinates.
    batch
        (n_cells,) codes from 0.
    state
        (n_cells,) codes from 0; -1 for cells that are left out. States with one batch say nothing.
    shape
        Number of states and of batches.
    genes
        Features to measure, in ascending order.
    permutations
        Batches of the cells, exchanged within states: see `permuted_batches`. More of them make the upper end of the
        null sharper, and take time in proportion.
    together
        Features among `genes`, in ascending order, that make up the totals and the upper end of the null; all of them
        by default. More of them take time in proportion.

    Returns
    -------
    Explained
        All 0 if no state holds two batches.
    """
    n_states, n_batches = shape
    group = np.where(state >= 0, state.astype(np.int64) * n_batches + batch, -1)
    cells = np.bincount(group[group >= 0], minlength=n_states * n_batches).reshape(shape).astype(np.float64)
    met = (cells > 0).sum(axis=1) > 1
    chosen = np.flatnonzero((state >= 0) & met[np.maximum(state, 0)])
    nothing = np.zeros(len(genes))
    if not chosen.size or not len(genes):
        return Explained(nothing, nothing, nothing, 0.0, 0.0, 0.0, 0.0)
    cells = cells * met[:, None]
    if len(chosen) < len(state):
        values, batch, state = values[chosen], batch[chosen], state[chosen]
    together = genes if together is None else together
    by_state = sums_by(values, state, n_codes=n_states, genes=genes)
    of_state = np.maximum(cells.sum(axis=1), 1.0)
    within = sums_by(squared(values), state, n_codes=n_states, genes=genes) - by_state**2 / of_state[:, None]
    within = np.maximum(within, 0.0)
    expected = (cells / of_state[:, None]).T @ by_state
    all_within = within.sum(axis=0)
    with one_thread():
        each = [np.diag(row) - np.outer(row, row) / max(row.sum(), 1.0) for row in cells]
        inverse = np.linalg.pinv(np.sum(each, axis=0), hermitian=True)
        traces = np.array([float((inverse * one).sum()) for one in each])

        def between(of: Counts, codes: CodeArray, features: IntArray, means: FloatArray) -> FloatArray:
            left = sums_by(of, codes, n_codes=n_batches, genes=features) - means
            return np.asarray((left * (inverse @ left)).sum(axis=0))

        found = between(values, batch, genes, expected)
        null = (traces / np.maximum(of_state - 1, 1.0)) @ within
        place = np.searchsorted(genes, together)
        means = expected[:, place]
        few = sparse.csr_array(values[:, together])  # most values are of other features, and are walked over once only
        some = np.arange(len(together))
        random = np.stack([between(few, codes[chosen], some, means) for codes in permutations])
    varies = all_within > _TINY * max(float(all_within.max()), _TINY)
    known = (varies & (null > 0))[place]
    upper = float(np.quantile(random[:, known] / null[place][known], _UPPER)) if known.any() else 0.0

    def shares(of: FloatArray) -> FloatArray:
        return np.asarray(np.divide(of, all_within, out=np.zeros(len(genes)), where=varies))

    total = max(float(all_within[place].sum()), _TINY)
    return Explained(
        share=np.clip(shares(found), 0.0, 1.0),
        null=shares(null),
        null_upper=np.minimum(shares(null) * upper, 1.0),
        total=float(found[place].sum()) / total,
        total_null=float(null[place].sum()) / total,
        total_upper=float(np.quantile(random.sum(axis=1), _UPPER)) / total,
        compared=len(chosen) / len(group),
    )


def permuted_batches(batch: CodeArray, state: CodeArray, *, n_permutations: int, seed: int) -> tuple[CodeArray, ...]:
    """Exchange batches at random among the cells of each state.

    Parameters
    ----------
    batch, state
        (n_cells,) codes.
    n_permutations
        How often.
    seed
        Start of the random numbers.

    Returns
    -------
    (n_cells,) batches of the cells, n_permutations times.
    """
    order, found = np.argsort(state, kind="stable"), []
    for number in range(n_permutations):
        keys = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(31, number))).random(len(batch))
        mixed = np.empty_like(batch)
        mixed[order] = batch[np.lexsort((keys, state))]
        found.append(mixed)
    return tuple(found)
