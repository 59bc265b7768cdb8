import numpy as np
import pytest
from scipy import sparse

from unbatch.core.projection import LogAxes, batch_design, project, random_basis, regress_out


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    return sparse.csr_array(rng.poisson(0.7, (60, 40)).astype(np.float32))


def test_basis_is_standard_normal_and_seeded():
    basis = random_basis(4000, 5, rng=np.random.default_rng(3))
    assert basis.shape == (4000, 5)
    assert abs(basis.mean()) < 0.03
    assert abs(basis.std() - 1) < 0.03
    assert np.array_equal(basis, random_basis(4000, 5, rng=np.random.default_rng(3)))
    assert not np.array_equal(basis, random_basis(4000, 5, rng=np.random.default_rng(4)))


def test_projection_equals_sums_over_genes(counts):
    basis = random_basis(40, 3, rng=np.random.default_rng(1))
    dense = counts.toarray()
    expected = [[sum(dense[j, g] * basis[g, k] for g in range(40)) for k in range(3)] for j in range(60)]
    assert project(counts, basis) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("block", [1, 7, 59])
def test_projection_has_the_same_bits_in_blocks(counts, block):
    basis = random_basis(40, 5, rng=np.random.default_rng(1))
    parts = [project(counts[start : start + block], basis) for start in range(0, 60, block)]
    assert np.array_equal(np.vstack(parts), project(counts, basis))


def test_axes_of_log_counts_project_as_dense_algebra_does(counts):
    """Genes that are on no axis count for the size of a cell only, if they do for that."""
    rng = np.random.default_rng(3)
    basis, log_delta, batch = rng.normal(size=(40, 3)), rng.normal(size=(40, 2)), rng.integers(0, 2, 60)
    basis[[0, 1, 7]] = 0
    genes = rng.random(40) < 0.8
    axes = LogAxes.of(basis, log_delta=log_delta, genes=genes)
    adjusted = counts.toarray() / np.exp(log_delta.T)[batch]
    size = adjusted[:, genes].sum(axis=1)
    np.testing.assert_allclose(axes.sizes(counts, batch.astype(np.int32)), size)
    for given, used in ((None, size), (size * 2, size * 2)):
        found = axes.project(counts, batch.astype(np.int32), scale=50.0, size=given)
        assert found.shape == (60, 3)
        np.testing.assert_allclose(found, np.log1p(50 * adjusted / used[:, None]) @ basis, rtol=1e-5)


def test_design_is_one_hot_and_leaves_out_negative_codes():
    design = batch_design(np.array([1, 0, -1, 2], dtype=np.int32), 3)
    assert np.array_equal(design, [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]])


def test_regressing_out_batches_subtracts_their_means():
    rng = np.random.default_rng(2)
    values, batch = rng.normal(5, 2, (90, 4)), rng.integers(0, 3, 90).astype(np.int32)
    expected = values.copy()
    for code in range(3):
        expected[batch == code] -= values[batch == code].mean(axis=0)
    result = regress_out(values, batch_design(batch, 3))
    assert result == pytest.approx(expected, abs=1e-12)
    assert np.abs(batch_design(batch, 3).T @ result).max() < 1e-11


def test_regressing_out_a_planted_batch_shift_removes_it():
    rng = np.random.default_rng(4)
    clean, batch = rng.normal(size=(400, 3)), np.repeat(np.array([0, 1], dtype=np.int32), 200)
    design = batch_design(batch, 2)
    shifted = clean + design @ np.array([[3.0, -2.0, 8.0], [-1.0, 4.0, 0.5]])
    assert regress_out(shifted, design) == pytest.approx(regress_out(clean, design), abs=1e-12)


def test_regressing_out_a_covariate_equals_least_squares_residuals():
    rng = np.random.default_rng(5)
    values, design = rng.normal(size=(50, 2)), np.column_stack([np.ones(50), rng.normal(size=50)])
    expected = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    assert regress_out(values, design) == pytest.approx(expected, abs=1e-12)


def test_collinear_columns_change_nothing():
    rng = np.random.default_rng(6)
    values, design = rng.normal(size=(50, 2)), rng.normal(size=(50, 2))
    collinear = np.column_stack([design, design.sum(axis=1), np.zeros(50)])
    assert regress_out(values, collinear) == pytest.approx(regress_out(values, design), abs=1e-12)


def test_a_cell_without_batch_and_a_design_without_columns_are_left_as_they_are():
    rng = np.random.default_rng(7)
    values, batch = rng.normal(size=(20, 3)), np.repeat(np.array([0, -1], dtype=np.int32), 10)
    result = regress_out(values, batch_design(batch, 1))
    assert np.array_equal(result[10:], values[10:])
    assert not np.allclose(result[:10], values[:10])
    assert np.array_equal(regress_out(values, np.empty((20, 0))), values)
