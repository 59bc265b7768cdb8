import math

import numpy as np
import pytest

from unbatch.core.kernels import logs

from .offsets import FORMS, parts, small_counts

RNG = np.random.default_rng(2)
DENSE = small_counts()
BASIS = RNG.normal(size=(30, 4))
BATCH = RNG.integers(0, 3, 40).astype(np.int32)
FACTOR = RNG.lognormal(size=(3, 30))
INSIDE = (np.arange(30) % 5 > 0).astype(np.float64)
PLACE = np.where(np.arange(30) % 3 == 0, np.arange(30) // 3, -1).astype(np.int32)
SCALING = RNG.lognormal(size=40)
LOGS = np.log1p(DENSE * FACTOR[BATCH] * SCALING[:, None])


def both(name):
    leaf = getattr(logs, name)
    return [leaf, leaf.py_func]


def scratch():
    return np.empty(30), np.empty(30), np.empty(30, dtype=np.int32)


CELLS = np.array([3, 39, 0, 17])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("sum_logs"))
def test_logs_and_their_squares_are_added_to_what_is_there(form, leaf):
    sums, squares = np.ones(30), np.ones(30)
    leaf(*parts(DENSE, form), CELLS, BATCH, FACTOR, SCALING, *scratch()[:2], sums, squares)
    np.testing.assert_allclose(sums, 1 + LOGS[CELLS].sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(squares, 1 + (LOGS[CELLS] ** 2).sum(axis=0), rtol=1e-13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("write_logs"))
def test_logs_of_some_genes_are_written_to_their_places(form, leaf):
    out = np.full((4, 10), np.nan)
    along = np.ascontiguousarray(FACTOR[:, PLACE >= 0])
    leaf(*parts(DENSE, form), CELLS, BATCH, along, PLACE, SCALING, *scratch(), out)
    np.testing.assert_allclose(out, LOGS[CELLS][:, PLACE >= 0], rtol=1e-13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("project_logs"))
def test_logs_of_adjusted_counts_times_the_basis(form, leaf):
    out = np.full((40, 4), np.nan)
    along = np.ascontiguousarray(FACTOR[:, PLACE >= 0])
    leaf(*parts(DENSE, form), BATCH, along, PLACE, BASIS[:10], SCALING, *scratch(), out)
    np.testing.assert_allclose(out, LOGS[:, PLACE >= 0] @ BASIS[:10], atol=1e-12)


def test_logarithms_are_those_of_the_library_over_their_whole_range():
    values = np.concatenate([1 + np.logspace(-17, 0, 500), np.logspace(0, 300, 2000), [1.0, 2.0, math.sqrt(2), np.e]])
    expected = np.log(values)
    logs._take_logs(values, np.empty_like(values))
    np.testing.assert_allclose(values, expected, rtol=4e-16, atol=1e-17)


def novelty_oracle(counts, centres, expected, inside):
    adjusted = counts * FACTOR[BATCH] * inside
    size = np.where(adjusted.any(axis=1), adjusted.sum(axis=1), 1.0)
    logs, out = np.log1p(adjusted * 20.0 / size[:, None]), np.zeros(40)
    for j in range(40):
        where = logs[j][PLACE >= 0] @ BASIS[:10]
        nearest = ((where - centres) ** 2).sum(axis=1).argmin()
        explained = np.zeros(30)
        explained[PLACE >= 0] = BASIS[:10] @ where
        excess = logs[j] - explained - expected[nearest]
        out[j] = (np.maximum(excess, 0) ** 6)[(counts[j] > 0) & inside].sum()
    return out, size


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("leaf", both("novelty"))
def test_novelty_is_the_sum_of_sixth_powers_of_what_is_too_much(form, leaf):
    rng = np.random.default_rng(3)
    centres, expected = rng.normal(size=(5, 4)), rng.normal(0, 0.2, (5, 30)).astype(np.float32)
    out, size = np.full(40, np.nan), np.full(40, np.nan)
    counts = np.where(
        (np.arange(40) == 7)[:, None] & (INSIDE > 0), 0.0, DENSE
    )  # a cell with counts of other genes only
    assert counts[7].any()
    leaf(
        *parts(counts, form),
        BATCH,
        FACTOR * INSIDE,
        np.where(INSIDE > 0, PLACE, np.int32(-1)),
        BASIS[:10],
        20.0,
        np.ascontiguousarray(centres.T),
        np.where(INSIDE > 0, expected, np.float32(np.inf)),
        *scratch(),
        np.empty(30, dtype=np.int32),
        np.empty(4),
        np.empty(5),
        size,
        out,
    )
    for mine, oracle in zip((out, size), novelty_oracle(counts, centres, expected, INSIDE > 0), strict=True):
        np.testing.assert_allclose(mine, oracle, rtol=1e-10)
