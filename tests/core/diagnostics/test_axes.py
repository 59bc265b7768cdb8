import numpy as np
from scipy import sparse

from unbatch.core.diagnostics.axes import principal_coordinates


def test_coordinates_are_those_of_a_principal_component_analysis():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((80, 30)) * np.linspace(3, 0.5, 30)
    found = principal_coordinates(sparse.csr_array(values), genes=np.arange(30), n_dims=4)
    left, scale, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    sign = np.sign(axes[np.arange(4), np.abs(axes[:4]).argmax(axis=1)])
    np.testing.assert_allclose(found, left[:, :4] * scale[:4] * sign, rtol=1e-4, atol=1e-4)
    assert found.dtype == np.float32


def test_only_some_genes_take_part():
    values = np.random.default_rng(0).standard_normal((50, 6))
    values[:, 0] *= 100
    found = principal_coordinates(sparse.csr_array(values), genes=np.arange(1, 6), n_dims=2)
    assert np.abs(found).max() < 20


def test_fewer_genes_or_cells_than_axes_leave_zeros():
    values = np.random.default_rng(0).standard_normal((40, 2))
    found = principal_coordinates(sparse.csr_array(values), genes=np.arange(2), n_dims=5)
    assert found[:, :2].all()
    assert not found[:, 2:].any()
    one = principal_coordinates(sparse.csr_array(values[:1]), genes=np.arange(2), n_dims=5)
    assert not one.any()
    constant = principal_coordinates(sparse.csr_array(np.ones((9, 3))), genes=np.arange(3), n_dims=2)
    assert not constant.any()
