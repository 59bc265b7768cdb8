"""Effects of states in whole fits: over-correction probes, and planted effects that are found."""

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub

N_TYPES, N_BATCHES, N_GENES = 5, 4, 250


def simulated(factor=None, *, seed=0, **options):
    """Cells of five types in four batches of other composition; `factor` (types, batches, genes) thins the counts."""
    given = {"n_types": N_TYPES, "composition": 3.0, "median_depth": 1500, "log_delta_sd": 0.4, "dispersion": 0.05}
    given |= {"n_cells": 3000, "n_genes": N_GENES, "n_batches": N_BATCHES}
    adata = ub.simulate(seed=seed, **{**given, **options})
    if factor is not None:
        kind, batch = codes(adata)
        matrix = sparse.csr_matrix(adata.X)
        row = np.repeat(np.arange(adata.n_obs), np.diff(matrix.indptr))
        chance = factor[kind[row], batch[row], matrix.indices]
        matrix.data = np.random.default_rng(seed).binomial(matrix.data.astype(int), chance).astype(np.float32)
        adata.X = matrix
    return adata


def codes(adata):
    return (adata.obs[name].cat.codes.to_numpy() for name in ("cell_type", "batch"))


def fitted(adata, **design):
    ub.tl.batch_effects(adata, batch_key="batch", state_specific=True, **design)
    for name, of_states in {"shared": False, "by_state": True}.items():
        ub.pp.adjust_counts(adata, state_specific=of_states, key_added=name)
    states = adata.uns["unbatch"]["state_effects"]
    return states["unit"] * states["steps"].astype(float)


def log_rates(adata, layer):
    """Log rate of each type, batch and gene, and where there are counts enough to know it."""
    kind, batch = codes(adata)
    group = kind.astype(int) * N_BATCHES + batch
    sums = sparse.csr_matrix(
        (np.ones(adata.n_obs), (group, np.arange(adata.n_obs))), (N_TYPES * N_BATCHES, adata.n_obs)
    )
    counts = (sums @ sparse.csr_matrix(adata.layers[layer])).toarray()
    rate = np.log((counts + 0.5) / counts.sum(axis=1, keepdims=True)).reshape(N_TYPES, N_BATCHES, N_GENES)
    raw = (sums @ sparse.csr_matrix(adata.X)).toarray().reshape(rate.shape)
    return rate, raw.min(axis=1) > 50


def left(adata, layer):
    """Root mean square over types and genes of what still tells batches apart."""
    rate, known = log_rates(adata, layer)
    apart = rate - rate.mean(axis=1, keepdims=True)
    return np.sqrt((apart.transpose(0, 2, 1)[known] ** 2).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_without_effects_of_states_nothing_is_taken_though_batches_differ_in_composition(seed):
    adata = simulated(seed=seed, composition=0.7)
    log_rho = fitted(adata)
    assert np.abs(log_rho).max() < 0.1
    assert np.sqrt((log_rho**2).mean()) < 0.01
    assert left(adata, "by_state") < 1.02 * left(adata, "shared")


def test_graded_states_that_batches_share_unevenly_are_not_taken_for_effects():
    adata = ub.simulate(n_cells=2000, n_genes=N_GENES, confounding=0.6, seed=1)
    assert np.abs(fitted(adata)).max() < 0.1


def answering(strength, *, background=0.0, seed=0):
    """A treatment of two batches changes 15% of the genes of one type; `background` is the sd of effects of states."""
    rng = np.random.default_rng(seed + 10)
    answers, factor = rng.random(N_GENES) < 0.15, np.ones((N_TYPES, N_BATCHES, N_GENES))
    factor[1, 2:] = np.where(answers, 1 / strength, 1.0)
    if background:
        factor *= np.minimum(rng.gamma(1 / background**2, background**2, factor.shape) / 2, 1)
    adata = simulated(factor, seed=seed)
    adata.obs["treated"] = (adata.obs["batch"].cat.codes >= 2).astype(str)
    return adata, answers


def share_kept(adata, layer, answers, strength):
    """Share of the answer of the type, log fold between treated and other batches, that is in the adjusted counts."""
    rate, known = log_rates(adata, layer)
    fold = rate[1, 2:].mean(axis=0) - rate[1, :2].mean(axis=0)
    return (np.median(fold[answers & known[1]]) - np.median(fold[~answers & known[1]])) / -np.log(strength)


def test_the_answer_of_one_type_to_a_treatment_is_kept():
    adata, answers = answering(3.0)
    fitted(adata)
    shared, by_state = (share_kept(adata, layer, answers, 3.0) for layer in ("shared", "by_state"))
    assert by_state > 0.9
    assert by_state > shared - 0.03


def test_the_answer_to_a_treatment_that_is_told_is_kept_beside_effects_of_states():
    adata, answers = answering(3.0, background=0.2)
    confounded, apart = "fully confounded", "fall into 2 groups"
    with pytest.warns(ub.InputWarning, match=confounded), pytest.warns(ub.InputWarning, match=apart):
        fitted(adata, match_within="treated")
    adata.layers["raw"] = adata.X
    raw, by_state = (share_kept(adata, layer, answers, 3.0) for layer in ("raw", "by_state"))
    assert adata.uns["unbatch"]["state_effects"]["sd"] > 0.08
    assert by_state == pytest.approx(raw, abs=0.05)


def test_planted_effects_of_states_are_less_after_them():
    factor = np.minimum(np.random.default_rng(5).gamma(25, 1 / 25, (N_TYPES, N_BATCHES, N_GENES)) / 2, 1)
    adata = simulated(factor, size_factor_sd=0.2)
    log_rho = fitted(adata)
    assert 0.08 < adata.uns["unbatch"]["state_effects"]["sd"] < 0.3
    assert np.abs(log_rho).max() > 0.1
    assert left(adata, "by_state") < 0.9 * left(adata, "shared")


def test_a_sketch_finds_the_effects_of_states_from_all_cells():
    factor = np.minimum(np.random.default_rng(5).gamma(25, 1 / 25, (N_TYPES, N_BATCHES, N_GENES)) / 2, 1)
    adata = simulated(factor)
    fitted(adata, method=ub.MatchedOptions(sketch_size=1500))
    assert left(adata, "by_state") < 0.9 * left(adata, "shared")


def test_a_batch_that_is_too_small_has_its_place_and_no_effects():
    adata = simulated(n_cells=600)
    names = adata.obs["batch"].astype(str).to_numpy()
    names[0] = "alone"
    adata.obs["batch"] = names
    with pytest.warns(ub.InputWarning, match="alone"):
        log_rho = fitted(adata)
    assert adata.uns["unbatch"]["batches"].tolist()[0] == "alone"
    assert log_rho.shape[1:] == (5, N_GENES)
    assert not log_rho[:, 0].any()
