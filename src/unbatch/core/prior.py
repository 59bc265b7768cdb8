"""What is known of effects before any one of them is looked at: how large they are, and how alike in size."""

from dataclasses import dataclass

import numpy as np

from unbatch._types import BoolArray, FloatArray
from unbatch.core.kernels.mixture import moments, update_shares, weigh_widths
from unbatch.core.parallel import in_ranges

_LADDER = 2.0 ** np.arange(-4, 4)
"""Widths that effects may have, in units of tau."""
_ONE_WIDTH, _ANY_WIDTH = 100.0, 1.0
"""Effects that were seen beforehand of width tau, and of each width: few effects are taken to be normal."""
_UPDATES, _SETTLED = 50, 1e-4
_LEAST_INFORMATION, _LEAST_PRECISION = 1e-9, 1e-2
_WIDEST = 3.0
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Widths:
    """Standard deviations, (n_genes, n_batches), of a normal prior that does for one effect what all widths do.

    Attributes
    ----------
    of_mode
        With it the mode is the mean over the widths.
    of_error
        With it the posterior standard deviation is that over the widths.
    """

    of_mode: FloatArray
    of_error: FloatArray


def find_widths(
    log_delta: FloatArray, variance: FloatArray, prior_sd: FloatArray, *, excess: FloatArray, known: BoolArray
) -> Widths:
    r"""Learn from a fit with a normal prior that effects are of different sizes: most small, a few large.

    .. math:: \log \delta_{gk} \sim \sum_m \pi_{km} \mathcal N(0, \lambda_m^2 \tau_k^2), \qquad
              \lambda_m = 2^{-4}, \ldots, 2^3

    The shares pi follow by expectation maximisation from what each effect would be without its prior, with its error
    (adaptive shrinkage: Stephens 2017, Biostatistics 18:275-294). As if 100 effects of width tau had been seen before,
    a small panel keeps a normal prior unless it is clearly wrong. The prior of one gene in one batch is then given
    as a normal one: narrow for an effect that is among many small ones, wide for one that stands out.

    What is taken for the error of an effect holds the prior of the other batches, that is their tau: widths that
    followed from the same counts would let two batches each explain a difference by the other.

    Parameters
    ----------
    log_delta, variance
        Posterior modes with the normal prior and their variances, (n_genes, n_batches).
    prior_sd
        tau, (n_batches,).
    excess
        Factor by which the error of the effects of a gene, squared, exceeds what the variances tell, (n_genes,): that
        of the scatter of states around the model.
    known
        Effects that counts tell anything of, (n_genes or 1, n_batches).

    Returns
    -------
    Widths
    """
    known = np.broadcast_to(known, log_delta.shape)
    of_mode, of_error = np.empty(log_delta.shape), np.empty(log_delta.shape)

    def one(k: int, _: int) -> None:
        least = _LEAST_INFORMATION / prior_sd[k] ** 2
        information = np.maximum(1 / np.maximum(variance[:, k], _TINY) - 1 / prior_sd[k] ** 2, least)
        error2, width2 = excess / information, (prior_sd[k] * _LADDER) ** 2
        observed = log_delta[:, k] / (variance[:, k] * information)
        likelihood, share = np.empty((len(error2), len(width2))), np.full(len(width2), 1 / len(width2))
        weigh_widths(observed, error2, np.ascontiguousarray(known[:, k]), width2, likelihood)
        before = np.where(_LADDER == 1, _ONE_WIDTH, _ANY_WIDTH)
        update_shares(likelihood, before, _UPDATES, _SETTLED, np.empty(len(width2)), share)
        kept, spread = np.empty(len(error2)), np.empty(len(error2))
        moments(observed, error2, width2, likelihood, share, kept, spread)
        of_mode[:, k] = 1 / np.sqrt(np.maximum((1 / kept - 1) / error2, _LEAST_PRECISION))
        of_error[:, k] = 1 / np.sqrt(np.maximum(1 / spread - 1 / error2, _LEAST_PRECISION))

    in_ranges(one, log_delta.shape[1], step=1)
    return Widths(of_mode, of_error)


def unknown_width(variance: FloatArray, prior_sd: FloatArray) -> FloatArray:
    r"""Square root of the standard error of tau squared, (n_batches,).

    .. math:: \mathrm{se}(\tau^2) = \sqrt{2 / \sum_g (\tau^2 + s_g^2)^{-2}}

    with s_g the standard error that the effect would have without a prior. Where few counts tell of a batch, its
    effects may well be larger than they seem, and errors as small as a tau near 0 would be false.

    Parameters
    ----------
    variance
        Posterior variances of the effects, (n_genes, n_batches).
    prior_sd
        tau, (n_batches,).
    """
    information = np.maximum(1 / np.maximum(variance, _TINY) - 1 / prior_sd**2, 0.0)
    weight = information / (1 + information * prior_sd**2)
    return np.asarray((2 / np.maximum((weight**2).sum(axis=0), 2 / _WIDEST**4)) ** 0.25)
