"""Both ways give the eigenvectors of the largest eigenvalues, from the lower triangle, and the same bits each time."""

import numpy as np
import pytest
from numba import get_num_threads, set_num_threads
from scipy.sparse.linalg import ArpackNoConvergence

from unbatch.core import leading_axes as module
from unbatch.core.leading_axes import leading_axes


def scatter_of(n_points: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n_points, n)) * np.linspace(3.0, 1.0, n)
    return points.T @ points


@pytest.mark.parametrize("n", [3, 200, 700])
def test_axes_are_eigenvectors_largest_first(n):
    scatter = scatter_of(900, n)
    n_axes = min(n, 12)
    axes = leading_axes(np.tril(scatter), n_axes, n_points=900)
    values, vectors = np.linalg.eigh(scatter)
    np.testing.assert_allclose(axes.T @ axes, np.eye(n_axes), atol=1e-12)
    np.testing.assert_allclose(np.abs((axes * vectors[:, ::-1][:, :n_axes]).sum(axis=0)), np.ones(n_axes), atol=1e-10)
    np.testing.assert_allclose(np.diag(axes.T @ scatter @ axes), values[::-1][:n_axes], rtol=1e-12)


@pytest.mark.parametrize("n", [200, 700])
def test_rows_in_another_order_keep_their_signs(n):
    scatter, order = scatter_of(900, n), np.random.default_rng(1).permutation(n)
    axes = leading_axes(scatter[np.ix_(order, order)], 10, n_points=900)
    np.testing.assert_allclose(axes, leading_axes(scatter, 10, n_points=900)[order], atol=1e-9)


def test_few_points_have_axes_too():
    scatter = scatter_of(20, 700)
    axes = leading_axes(np.tril(scatter), 20, n_points=20)
    np.testing.assert_allclose(np.trace(axes.T @ scatter @ axes), np.trace(scatter), rtol=1e-10)


def test_points_that_do_not_differ_have_axes_all_the_same():
    axes = leading_axes(np.zeros((700, 700)), 5, n_points=900)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-12)


def test_threads_change_no_bit():
    scatter, before = scatter_of(900, 700), get_num_threads()
    try:
        found = []
        for n_threads in (1, 2):
            set_num_threads(min(n_threads, before))
            found.append(leading_axes(scatter.copy(), 10, n_points=900))
    finally:
        set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_what_lanczos_cannot_settle_is_found_directly(monkeypatch):
    def gives_up(*_: object, **__: object) -> None:
        raise ArpackNoConvergence("no convergence", np.zeros(0), np.zeros((0, 0)))

    scatter = scatter_of(900, 700)
    usual = leading_axes(scatter.copy(), 10, n_points=900)
    monkeypatch.setattr(module, "eigsh", gives_up)
    axes = leading_axes(scatter.copy(), 10, n_points=900)
    np.testing.assert_allclose(np.abs((axes * usual).sum(axis=0)), np.ones(10), atol=1e-10)
