import numpy as np
import pytest

from unbatch.simulation.kernels import fill_alias, fill_clustered, fill_poisson


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keep, alias = np.empty(weights.size), np.empty(weights.size, dtype=np.int32)
    fill_alias(weights / weights.mean(), keep, alias, np.empty(weights.size, dtype=np.int32))
    return keep, alias


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [5.0], [0.0, 3.0, 0.0, 1.0], [1e-12, 1.0, 1e6]])
def test_alias_table_holds_the_probabilities(weights: list[float]) -> None:
    expected = np.array(weights) / np.sum(weights)
    keep, alias = alias_table(np.array(weights))
    implied = np.minimum(keep, 1) / keep.size
    np.add.at(implied, alias, np.maximum(1 - keep, 0) / keep.size)
    np.testing.assert_allclose(implied, expected, rtol=1e-9, atol=1e-14)


def test_alias_table_of_many_genes_holds_the_probabilities() -> None:
    weights = np.exp(2 * np.random.default_rng(0).standard_normal(3000))
    keep, alias = alias_table(weights)
    implied = np.minimum(keep, 1) / keep.size
    np.add.at(implied, alias, np.maximum(1 - keep, 0) / keep.size)
    np.testing.assert_allclose(implied, weights / weights.sum(), rtol=1e-9)


def _case(n_uniform: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    rates = rng.gamma(0.5, 2.0, size=(2, 3, 7))
    tables = [[alias_table(rates[k, t]) for t in range(3)] for k in range(2)]
    n_draws = rng.poisson(20, size=(5, 3))
    return {
        "batch": np.array([0, 1, 1, 0, 1], dtype=np.int32),
        "n_draws": n_draws,
        "keep": np.array([[table[0] for table in row] for row in tables]),
        "alias": np.array([[table[1] for table in row] for row in tables]),
        "uniform": rng.random((n_draws.sum(), n_uniform)),
        "scratch": np.zeros(7, dtype=np.int32),
        "weight": rng.gamma(1.0, 1.0, size=(5, 3)),
        "rates": rates,
    }


def _genes(case: dict[str, np.ndarray]) -> list[tuple[int, int, int]]:
    """Cell, row of uniforms and gene of each molecule."""
    found, draw = [], 0
    for j, k in enumerate(case["batch"]):
        for t in range(3):
            for _ in range(case["n_draws"][j, t]):
                g, rest = divmod(case["uniform"][draw, 0] * 7, 1)
                found.append((j, draw, int(g) if rest < case["keep"][k, t, int(g)] else case["alias"][k, t, int(g)]))
                draw += 1
    return found


def _dense(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    dense = np.zeros((5, 7))
    for j in range(5):
        own = slice(indptr[j], indptr[j + 1])
        assert (np.diff(indices[own]) > 0).all()
        dense[j, indices[own]] = data[own]
    return dense


def test_fill_poisson_equals_its_oracle() -> None:
    case = _case(1)
    expected = np.zeros((5, 7))
    for j, _, g in _genes(case):
        expected[j, g] += 1
    out = np.empty(35, dtype=np.float32), np.empty(35, dtype=np.int32), np.zeros(6, dtype=np.int32)
    fill_poisson(*[case[n] for n in ("batch", "n_draws", "keep", "alias", "uniform", "scratch")], *out)
    np.testing.assert_array_equal(_dense(*out), expected)
    assert not case["scratch"].any()


def test_fill_clustered_equals_its_oracle() -> None:
    case, a = _case(4), 0.8
    expected = np.zeros((5, 7))
    for j, draw, g in _genes(case):
        _, accept, u, v = case["uniform"][draw]
        m = case["weight"][j] @ case["rates"][case["batch"][j], :, g]
        if accept < np.log(1 + a * m) / (a * m):
            p = a * m / (1 + a * m)
            expected[j, g] += np.floor(1 + np.log(1 - v) / np.log(1 - (1 - p) ** u))
    out = np.empty(35, dtype=np.float32), np.empty(35, dtype=np.int32), np.zeros(6, dtype=np.int32)
    names = ("batch", "n_draws", "keep", "alias", "uniform", "scratch", "weight", "rates")
    fill_clustered(*[case[n] for n in names], a, *out)
    np.testing.assert_array_equal(_dense(*out), expected)
