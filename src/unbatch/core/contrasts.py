r"""Uncertainty of differences between batches from one standard error per gene and batch, and tests on them.

A fit keeps the standard error of *centred* log delta, :math:`c_k = d_k - \bar d` over the B batches that know the gene.
The difference of two batches, :math:`c_a - c_b = d_a - d_b`, needs their covariance too. Quasi-variances (Firth and de
Menezes, 2004, Biometrika 91:65-80) put one number :math:`u_k` in its place, such that

.. math:: \mathrm{Var}(d_a - d_b) \approx u_a + u_b, \qquad
          \mathrm{se}_k^2 = u_k (1 - 2/B) + \sum_l u_l / B^2.

The second equation holds for independent :math:`d_k` with variances :math:`u_k`, and is solved for them here:
:math:`\sum_l u_l = \sum_l \mathrm{se}_l^2 B / (B - 1)`.

What is exact, for variances that are:

- independent errors, also with any error common to all batches: every difference;
- two or three batches, whatever the covariance: every difference (as many standard errors fix as many differences);
- any covariance: the mean over b of Var(d_a - d_b), for each a, since both sides are
  :math:`B\,\mathrm{se}_a^2 + \sum_l \mathrm{se}_l^2`.

So with four batches or more and dependent errors only the split of that mean among the b is approximate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from unbatch._types import BoolArray, FloatArray, IntArray
from unbatch.core.discoveries import q_values

_TWO = 2
_FLOOR = 0.01


def centred_errors(variance: FloatArray, informative: BoolArray, *, group: IntArray | None = None) -> FloatArray:
    r"""Give the standard error of centred effects whose errors are independent.

    .. math:: \mathrm{se}_k^2 = u_k (1 - 2/B) + \textstyle\sum_l u_l / B^2

    Parameters
    ----------
    variance
        Variance :math:`u_k` of each effect before centring, (n_genes, n_batches).
    informative
        Which effects are known, (n_genes, n_batches): the B of a gene.
    group
        Group of each batch, (n_batches,), if effects are centred within groups that cannot be compared; None if over
        all batches.

    Returns
    -------
    (n_genes, n_batches) inf where nothing is known, or nothing else of the gene is
    """
    if group is not None:
        errors = np.full(variance.shape, np.inf)
        for mine in _members(group):
            errors[:, mine] = centred_errors(variance[:, mine], informative[:, mine])
        return errors
    known = informative & (informative.sum(axis=1, keepdims=True) >= _TWO)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    total = np.where(known, variance, 0.0).sum(axis=1, keepdims=True)
    squared = np.where(known, variance, 0.0) * (1 - 2 / count) + total / count**2
    return np.where(known, np.sqrt(squared), np.inf)


def _members(group: IntArray) -> Iterator[IntArray]:
    """Give the batches of each group."""
    for number in np.unique(group):
        yield np.flatnonzero(group == number)


def quasi_variances(se: FloatArray, *, group: IntArray | None = None) -> FloatArray:
    r"""Split centred standard errors into a variance per batch, so that the variance of a difference is their sum.

    .. math:: u_k = \frac{\mathrm{se}_k^2 - S / B^2}{1 - 2/B}, \qquad
              S = \textstyle\sum_l u_l = \frac{B}{B - 1} \sum_l \mathrm{se}_l^2

    and :math:`u_1 = u_2 = S / 2` for two batches, where only their sum means anything.

    Parameters
    ----------
    se
        Standard error of centred log delta, (n_genes, n_batches); inf where nothing is known.
    group
        As for `centred_errors`.

    Returns
    -------
    (n_genes, n_batches) inf where nothing is known; below 0 for a batch whose errors go with those of others, which
    takes nothing from the meaning of the sums
    """
    if group is not None:
        split = np.empty(se.shape)
        for mine in _members(group):
            split[:, mine] = quasi_variances(se[:, mine])
        return split
    known = np.isfinite(se)
    count = known.sum(axis=1, keepdims=True).astype(np.float64)
    squared = np.where(known, se, 0.0) ** 2
    total = squared.sum(axis=1, keepdims=True) * count / np.maximum(count - 1, 1)
    many = count > _TWO
    split = (squared - total / np.maximum(count, 1) ** 2) / np.where(many, 1 - 2 / np.maximum(count, 1), 1.0)
    return np.where(known, np.where(many, split, total / 2), np.inf)


def difference_errors(se: FloatArray, *, versus: int, group: IntArray | None = None) -> FloatArray:
    r"""Give the standard error of log delta of each batch less that of another.

    The variance is :math:`u_k + u_v` (see `quasi_variances`), kept inside what is possible for any covariance,
    :math:`(\mathrm{se}_k - \mathrm{se}_v)^2` to :math:`(\mathrm{se}_k + \mathrm{se}_v)^2`, and not below a hundredth of
    :math:`\mathrm{se}_k^2 + \mathrm{se}_v^2`: standard errors are estimates too, and no difference is known ten times
    better than if the two were independent on their account.

    Parameters
    ----------
    se
        Standard error of centred log delta, (n_genes, n_batches); inf where nothing is known.
    versus
        Column of the other batch v.
    group
        Group of each batch, (n_batches,), if log delta is centred within groups that cannot be compared; None if over
        all batches.

    Returns
    -------
    (n_genes, n_batches) inf where one of the two is unknown or of another group, 0 in column `versus` where it is known
    """
    if group is not None:
        se = np.where(group == group[versus], se, np.inf)
    known = np.isfinite(se)
    both = known & known[:, [versus]]
    own, other = np.where(both, se, 0.0), np.where(both, se[:, [versus]], 0.0)
    parts = np.where(known, quasi_variances(se), 0.0)
    variance = np.clip(parts + parts[:, [versus]], (own - other) ** 2, (own + other) ** 2)
    variance = np.maximum(variance, _FLOOR * (own**2 + other**2))
    variance[:, versus] = 0.0
    return np.where(both, np.sqrt(variance), np.inf)


@dataclass(frozen=True)
class Significance:
    """Result of `normal_tests`.

    Attributes
    ----------
    z
        Effect over standard error; 0 where nothing is tested.
    pvalue
        Two-sided, from the normal distribution; 1 where nothing is tested.
    qvalue
        Benjamini-Hochberg over what is tested; 1 elsewhere.
    """

    z: FloatArray
    pvalue: FloatArray
    qvalue: FloatArray


def normal_tests(effect: FloatArray, se: FloatArray) -> Significance:
    r"""Test effects against 0, :math:`z = d / \mathrm{se}`, :math:`p = 2 \Phi(-|z|)`.

    Parameters
    ----------
    effect
        (n,).
    se
        (n,) inf where nothing is known and 0 where nothing is estimated, as in the reference: both are no test and do
        not count among those corrected for.

    Returns
    -------
    Significance
    """
    tested = np.isfinite(se) & (se > 0)
    z = np.zeros(effect.shape)
    z[tested] = effect[tested] / se[tested]
    pvalue = 2 * special.ndtr(-np.abs(z))
    qvalue = np.ones(effect.shape)
    if tested.any():
        qvalue[tested] = q_values(pvalue[tested])
    return Significance(z, pvalue, qvalue)
