import numpy as np
import pytest
from scipy import stats

from unbatch.simulation import sampling
from unbatch.simulation.options import SimulationOptions
from unbatch.simulation.sampling import draw_counts, make_tables
from unbatch.simulation.scheme import States, draw_scheme


def repeat(n: int, dispersion: float) -> tuple[np.ndarray, np.ndarray]:
    """The counts of the same cell, n times, and their mean."""
    options = SimulationOptions(n_genes=12, n_types=2, n_factors=2, abundance_sd=1.5, median_depth=40)
    scheme = draw_scheme(options, seed=5)
    theta = np.array([0.0, 0.7, 0.1, 0.4])
    states = States(np.ones(n, np.int32), np.ones(n, np.int32), np.full(n, 1.7), np.tile(theta, (n, 1)))
    counts = draw_counts(make_tables(scheme), states, dispersion=dispersion, rng=np.random.default_rng(2))
    return counts.toarray(), 1.7 * (scheme.beta @ theta) * np.exp(scheme.log_delta[:, 1])


@pytest.mark.parametrize("dispersion", [0.0, 0.3, 3.0])
def test_each_gene_follows_its_distribution(dispersion: float) -> None:
    counts, mean = repeat(20_000, dispersion)
    assert mean.min() < 0.7
    assert mean.max() > 10
    p_values = []
    for g, m in enumerate(mean):
        law = stats.poisson(m) if dispersion == 0 else stats.nbinom(1 / dispersion, 1 / (1 + dispersion * m))
        edges = np.unique(law.ppf([0.1, 0.25, 0.5, 0.75, 0.9, 0.99]))
        cumulative = np.concatenate([[0], law.cdf(edges), [1]])
        seen = np.bincount(np.searchsorted(edges, counts[:, g]), minlength=len(edges) + 1)
        expected = np.diff(cumulative) * len(counts)
        p_values.append(stats.chisquare(seen[expected > 0], expected[expected > 0]).pvalue)
    assert min(p_values) > 0.05 / len(p_values)
    error = np.sqrt((mean + dispersion * mean**2) / len(counts))
    assert (np.abs(counts.mean(axis=0) - mean) < 4 * error).all()


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_genes_are_independent(dispersion: float) -> None:
    counts, _ = repeat(20_000, dispersion)
    correlation = np.corrcoef(counts.T)[np.triu_indices(counts.shape[1], 1)]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(counts))


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_drawing_in_portions_does_not_change_a_bit(monkeypatch: pytest.MonkeyPatch, dispersion: float) -> None:
    whole, _ = repeat(100, dispersion)
    monkeypatch.setattr(sampling, "_MOST_DRAWS", 300)
    portions, _ = repeat(100, dispersion)
    np.testing.assert_array_equal(whole, portions)


def test_a_cell_without_any_molecule_is_an_empty_row() -> None:
    scheme = draw_scheme(SimulationOptions(n_genes=3, median_depth=1e-9), seed=0)
    states = States(np.zeros(2, np.int32), np.zeros(2, np.int32), np.ones(2), np.ones((2, 5)))
    counts = draw_counts(make_tables(scheme), states, dispersion=0.0, rng=np.random.default_rng(0))
    assert counts.shape == (2, 3)
    assert counts.nnz == 0
