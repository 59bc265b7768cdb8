from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from unbatch.core.diagnostics import remainder
from unbatch.core.diagnostics.remainder import measure_remainder
from unbatch.core.diagnostics.sample import Sample


def sample(*, effect=0.0, spread=0.0, n_cells=1500, n_genes=60, dispersion=0.0, seed=0):
    """Two batches, three states; gene 0 has another effect in state 1 of batch 1; all genes differ by `spread`."""
    rng = np.random.default_rng(seed)
    batch, state = (rng.integers(0, n, n_cells).astype(np.int32) for n in (2, 3))
    rate = rng.gamma(2, 2, (3, n_genes)) + 2
    log_delta = np.column_stack([np.zeros(n_genes), 0.5 * rng.standard_normal(n_genes)])
    own = spread * rng.standard_normal((3, 2, n_genes))
    own[1, 1, 0] += effect
    mean = rate[state] * np.exp(log_delta.T[batch] + own[state, batch])
    if dispersion:
        mean = mean * rng.gamma(1 / dispersion, dispersion, mean.shape)
    counts = sparse.csr_array(rng.poisson(mean).astype(np.float32))
    return Sample(
        counts=counts,
        batch=batch,
        state=state,
        log_delta=log_delta - log_delta.mean(axis=1, keepdims=True),
        measured=np.ones((n_genes, 2), dtype=bool),
        n_states=3,
    )


def test_a_planted_departure_comes_first_with_its_size_and_error():
    found = measure_remainder(sample(effect=0.6))
    gene, state, batch = np.unravel_index(np.abs(found.z).argmax(), found.z.shape)
    assert (found.genes[gene], state) == (0, 1)
    between = found.log_ratio[gene, :, 1] - found.log_ratio[gene, :, 0]
    assert between[1] - (between[0] + between[2]) / 2 == pytest.approx(0.6, abs=0.15)
    assert found.qvalue[gene] < 1e-6
    assert np.abs(found.z[gene, 1, batch]) > 5


def test_one_effect_for_all_states_leaves_nothing():
    found = measure_remainder(sample())
    assert found.sd < 0.05
    assert (found.qvalue < 0.05).mean() < 0.05
    np.testing.assert_allclose(found.mean_square, 1, atol=0.6)
    assert np.average(found.mean_square, weights=found.cells) == pytest.approx(1, abs=0.2)
    assert (found.cells.sum(), (found.se > 0).all()) == (1500, True)


def test_overdispersed_counts_are_no_departure():
    found = measure_remainder(sample(dispersion=0.5))
    assert np.average(found.mean_square, weights=found.cells) == pytest.approx(1, abs=0.25)
    assert found.sd < 0.08
    assert (found.qvalue < 0.05).mean() < 0.05


def test_small_groups_of_few_counts_are_no_departure():
    found = [measure_remainder(sample(n_cells=90, n_genes=300, dispersion=0.3, seed=seed)) for seed in range(3)]
    assert np.mean([(one.qvalue < 0.05).mean() for one in found]) < 0.02


def test_of_many_genes_the_loudest_are_measured(monkeypatch):
    monkeypatch.setattr(remainder, "_VALUES", 60)  # ten genes of three states and two batches
    whole = sample()
    found = measure_remainder(whole)
    assert sorted(found.genes) == sorted(np.argsort(-whole.totals)[:10])
    assert found.z.shape == (10, 3, 2)


def test_the_usual_departure_grows_with_what_is_planted():
    small, large = (measure_remainder(sample(spread=spread)).sd for spread in (0.15, 0.5))
    assert 0.08 < small < large
    assert large == pytest.approx(0.5, abs=0.2)


def test_states_of_one_batch_say_nothing():
    whole = sample()
    alone = Sample(**{**vars(whole), "state": np.where(whole.batch == 1, 2, 0).astype(np.int32)})
    found = measure_remainder(alone)
    assert found.sd == 0
    for values in (found.z, found.log_ratio, found.mean_square, found.cells):
        assert not values.any()


def test_few_counts_and_cells_without_state_are_left_out():
    whole = sample(n_cells=12, n_genes=3)
    found = measure_remainder(Sample(**{**vars(whole), "state": np.full(12, -1, dtype=np.int32)}))
    assert not found.z.any()
    assert np.isfinite(measure_remainder(whole).z).all()


def test_a_gene_of_one_state_only_has_nothing_to_be_compared_with():
    whole = sample()
    counts = whole.counts.toarray()
    counts[whole.state != 2, 7] = 0
    found = measure_remainder(replace(whole, counts=sparse.csr_array(counts)))
    assert counts[:, 7].sum() > 1000
    assert not found.z[7].any()
    assert not found.se[7].any()
    assert found.z[8].all()


def test_dispersion_is_that_of_cells_about_the_mean_of_their_state_and_batch():
    whole = sample(n_cells=25, n_genes=400, dispersion=0.5)
    counts, group = whole.counts.toarray(), whole.state * 2 + whole.batch
    size = np.random.default_rng(0).uniform(0.5, 2, 25)
    table = remainder._table(whole.counts, whole.state, whole.batch, size, (3, 2))
    rate = np.stack([counts[group == g].sum(axis=0) / size[group == g].sum() for g in range(6)])
    mean = rate[group] * size[:, None]
    chi2 = np.where(mean > 0, (counts - mean) ** 2 / np.where(mean > 0, mean, 1), 0).sum(axis=0)
    free = (np.bincount(group)[:, None] - 1) * (rate > 0)  # a sum of 0 says nothing
    np.testing.assert_allclose(remainder._dispersion(table), np.maximum(chi2 / free.sum(axis=0), 1))
