"""Counts of the whole batch in each cell move types towards their mean, which looks like graded states and is none."""

import numpy as np
from matched_problems import rmse, simulated
from scipy import sparse


def contaminated(shares, **options):
    """Separate types, and a share of each cell's counts that is drawn from the mean of its batch."""
    how = {"marker_log_fold_sd": 2.0, "log_delta_sd": 0.4, "n_batches": len(shares), "n_cells": 400 * len(shares)}
    plain = simulated(**(how | options))
    counts, share = plain.counts.toarray(), np.array(shares)[plain.batch, None]
    profiles = np.stack([counts[plain.batch == k].sum(axis=0) for k in range(len(shares))])
    rate = share / (1 - share) * counts.sum(axis=1, keepdims=True) * profiles[plain.batch]
    rate /= profiles.sum(axis=1)[plain.batch, None]
    return plain._replace(counts=sparse.csr_array(counts + np.random.default_rng(0).poisson(rate)))


def share_compared(fit, problem):
    return fit.support[fit.states.code, problem.batch].mean()


def test_a_correction_that_costs_cells_their_counterparts_is_given_up(monkeypatch):
    shares, options = [0.15, 0.02, 0.1], {"n_types": 8, "composition": 1.0, "seed": 0}
    problem = contaminated(shares, median_depth=3000, variation=0.1, **options)
    found = problem.fit()
    monkeypatch.setattr("unbatch.core.rounds.GAINED", np.inf)
    corrected = problem.fit()
    assert corrected.composition.strength == 1
    assert found.composition.strength == 0
    assert len(found.trace["change"]) < len(corrected.trace["change"])
    assert share_compared(found, problem) > share_compared(corrected, problem) + 0.1
    assert rmse(found.effects.log_delta, problem) < 0.7 * rmse(corrected.effects.log_delta, problem)


def test_cells_that_are_drawn_by_links_are_not_corrected_besides(monkeypatch):
    problem = contaminated([0.03, 0.15], n_types=5, composition=1.0, median_depth=6000, variation=0.05, seed=3)
    found = problem.fit()
    assert found.linked is not None
    assert found.composition.strength == 0
    assert share_compared(found, problem) > 0.9
    monkeypatch.setattr("unbatch.core.matched._drawn_from_the_start", lambda _, settled, *__: settled)
    plain = problem.fit()
    assert share_compared(plain, problem) < 0.3
    assert rmse(found.effects.log_delta, problem) < 0.4 * rmse(plain.effects.log_delta, problem)
