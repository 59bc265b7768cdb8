import numpy as np
import pytest

from unbatch.core.kernels import projection

from .offsets import FORMS, parts, small_counts

RNG = np.random.default_rng(2)
DENSE = small_counts()
BASIS = RNG.normal(size=(30, 4))
BATCH = RNG.integers(0, 3, 40).astype(np.int32)
FACTOR = RNG.lognormal(size=(3, 30))
INSIDE = (np.arange(30) % 5 > 0).astype(np.float64)


def both(name):
    leaf = getattr(projection, name)
    return [leaf, leaf.py_func]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("project"))
def test_counts_times_the_basis(form, leaf):
    out = np.full((40, 4), np.nan)
    leaf(*parts(DENSE, form), BASIS, out)
    np.testing.assert_allclose(out, DENSE @ BASIS, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("adjusted_sizes"))
def test_sizes_are_sums_of_adjusted_counts_over_some_genes(form, leaf):
    size = np.full(40, np.nan)
    leaf(*parts(DENSE, form), BATCH, FACTOR * INSIDE, size)
    np.testing.assert_allclose(size, (DENSE * FACTOR[BATCH] * INSIDE).sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("adjusted_sizes_of_two"))
def test_sizes_of_two_are_those_of_each_to_the_bit(form, leaf):
    found, other = np.full((2, 2, 40), np.nan), np.ascontiguousarray(FACTOR[:, ::-1])
    leaf(*parts(DENSE, form), BATCH, FACTOR, other, found[0, 0], found[0, 1])
    for factor, size in zip((FACTOR, other), found[1], strict=True):
        projection.adjusted_sizes(*parts(DENSE, form), BATCH, factor, size)
    np.testing.assert_array_equal(found[0], found[1])
