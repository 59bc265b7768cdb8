import numpy as np
import pytest

from unbatch.core.diagnostics.strongest import strongest_genes


def test_what_is_at_least_large_comes_first():
    log_delta = np.array([[3.0], [1.0], [-1.2], [0.1], [0.0]])
    se = np.array([[2.0], [0.1], [0.1], [0.01], [np.inf]])
    found = strongest_genes(log_delta, se)
    assert found.gene.tolist() == [2, 1, 3, 0]
    assert found.rank.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.upper - found.lower, 2 * 1.959964 * found.se, rtol=1e-6)
    assert (found.q[:3] < 1e-3).all()
    assert found.q[3] == pytest.approx(2 * 0.0668, abs=0.01)


def test_each_batch_has_its_own_and_the_reference_none():
    rng = np.random.default_rng(0)
    log_delta, se = rng.normal(size=(30, 3)), np.full((30, 3), 0.1)
    se[:, 1] = 0
    found = strongest_genes(log_delta, se, n_genes=5)
    assert found.batch.tolist() == [0] * 5 + [2] * 5
    for k in (0, 2):
        best = np.argsort(-np.abs(log_delta[:, k]))[:5]
        assert found.gene[found.batch == k].tolist() == best.tolist()
    assert np.isfinite(found.q).all()


def test_nothing_known_is_an_empty_list():
    found = strongest_genes(np.zeros((4, 2)), np.full((4, 2), np.inf))
    assert len(found.gene) == len(found.q) == 0
