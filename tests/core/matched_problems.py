"""Data with known effects for the tests of the default estimator."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

import unbatch as ub
from unbatch.core.matched import MatchedFit, fit_matched

TYPES = {
    "n_types": 5,
    "n_factors": 3,
    "n_batches": 3,
    "composition": 0.4,
    "n_genes": 300,
    "n_cells": 1500,
    "median_depth": 1500,
    "log_delta_sd": 0.5,
    "size_factor_sd": 0.3,
}


class Problem(NamedTuple):
    counts: sparse.csr_array
    batch: np.ndarray
    cell_type: np.ndarray
    truth: np.ndarray

    def fit(self, **options) -> MatchedFit:
        options = {"measured": np.ones(self.truth.shape, dtype=bool)} | options
        return fit_matched(self.counts, self.batch, **options)


def simulated(**changes):
    adata = ub.simulate(**(TYPES | changes))
    return Problem(
        sparse.csr_array(adata.X).astype(np.float64),
        np.array(adata.obs["batch"].cat.codes, dtype=np.int32),
        np.array(adata.obs["cell_type"].cat.codes, dtype=np.int32),
        np.array(adata.varm["log_delta_true"]),
    )


def graded(*, shift=0.0, seed=0):
    """Graded states of which two batches hold different parts; batch 0 changes genes by a factor of its own per state.

    The shift is the standard deviation of its logarithm over states and genes.
    """
    adata = ub.simulate(n_cells=1500, n_genes=400, confounding=0.65, n_factors=4, log_delta_sd=0.5, seed=seed)
    batch = np.array(adata.obs["batch"].cat.codes, dtype=np.int32)
    rng = np.random.default_rng(seed)
    own = np.exp(rng.normal(0, shift, size=(4, 400)))
    factor = np.where((batch == 0)[:, None], own[adata.obsm["theta_true"].argmax(axis=1)], 1.0)
    counts = sparse.csr_array(rng.poisson(adata.X.toarray() * factor).astype(np.float64))
    return Problem(counts, batch, np.zeros_like(batch), np.array(adata.varm["log_delta_true"]))


def contrasts(log_delta):
    return log_delta - log_delta.mean(axis=1, keepdims=True)


def errors(log_delta, truth):
    """Differences of contrasts, without a factor common to the genes of a batch."""
    difference = contrasts(log_delta) - contrasts(truth)
    return difference - np.median(difference, axis=0)


def rmse(log_delta, problem):
    loud = problem.counts.sum(axis=0) > 200
    return float(np.sqrt(np.mean(errors(log_delta, problem.truth)[loud] ** 2)))
